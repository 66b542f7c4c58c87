"""What the run says of workers that Ray has no room for, with a gateway that is played."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any
from unittest.mock import patch

from batchchat.cluster import ray_cluster
from batchchat.cluster.assignment import WorkerMark
from batchchat.cluster.gateway_messages import WorkerStarted
from batchchat.cluster.ray_cluster import RayCluster
from batchchat.cluster.ray_worker import RayWorker
from batchchat.core.events import Event
from batchchat.core.notices import WorkersWait
from batchchat.store.worker_file import WorkerFile, lock_worker_file
from tests.job.given import MOCK, load


class FullCluster:
    """Has room for a worker only once `make_room` is called."""

    def __init__(self) -> None:
        self._waiting: list[tuple[RayWorker, WorkerFile]] = []
        self._locks: list[int] = []

    async def connected(self) -> FullCluster:
        return self

    def start(self, file: WorkerFile, _resources: Any, drain_s: float) -> RayWorker:
        gateway: Any = None  # nothing is said to it
        worker = RayWorker(len(self._locks), gateway, file, drain_s)
        self._waiting.append((worker, file))
        return worker

    def make_room(self) -> None:
        for worker, file in self._waiting:
            self._locks.append(lock_worker_file(file))
            worker.hear(WorkerStarted(0, "node-7"))
        self._waiting.clear()

    def end(self) -> None:
        for lock in self._locks:
            os.close(lock)


def test_workers_that_wait_for_room(tmp_path: Path) -> None:
    """They are told once for all that wait, and again where there is no room for one that replaces another."""
    events, full, was_told = list[Event](), FullCluster(), asyncio.Event()

    def tell(event: Event) -> None:
        events.append(event)
        was_told.set()

    async def run() -> None:
        cluster = RayCluster(load(f"{MOCK}workers: 2\ncluster: {{engine: ray}}\n"), tmp_path, 0, tell)

        async def start(*writers: int) -> None:
            was_told.clear()
            starting = [asyncio.create_task(cluster.start_worker(WorkerMark(0, 1, writer))) for writer in writers]
            await was_told.wait()
            full.make_room()
            await asyncio.gather(*starting)

        with patch.object(cluster, "_connected", full.connected):
            await start(1, 2)
            await start(3)

    with patch.object(ray_cluster, "_WAIT_TOLD_S", 0.01):
        asyncio.run(run())
    full.end()
    assert events == [WorkersWait(2, 2, {"CPU": 1.0}), WorkersWait(1, 2, {"CPU": 1.0})]
