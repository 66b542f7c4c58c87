"""A worker that Ray has placed, as the run sees it, with a gateway that is played."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from unittest.mock import patch

import pytest

from batchchat.cluster import ray_worker
from batchchat.cluster.channel import Channel
from batchchat.cluster.gateway_messages import KillWorker, LaneData, WorkerEnded, WorkerRefused, WorkerStarted
from batchchat.cluster.ray_worker import RayWorker
from batchchat.errors import MachineError
from batchchat.store.worker_file import WorkerFile, lock_worker_file

Play = Callable[[RayWorker, Channel], Awaitable[None]]


def played(file: WorkerFile, play: Play) -> None:
    """`play` with a worker of `file`, and the gateway's end of its channel."""

    async def run() -> None:
        ends = _pair()
        ours, theirs = await Channel.open(ends[0]), await Channel.open(ends[1])
        try:
            await play(RayWorker(3, ours, file, 0.0), theirs)
        finally:
            await ours.close()
            await theirs.close()

    asyncio.run(run())


def _pair() -> tuple[socket.socket, socket.socket]:
    ends = socket.socketpair()
    for end in ends:
        end.setblocking(False)
    return ends


def test_both_ways(tmp_path: Path) -> None:
    """What the run says goes to its lane; what comes from there is whole again, however it was cut."""

    async def play(worker: RayWorker, gateway: Channel) -> None:
        worker.hear(WorkerStarted(3, "node-7"))
        assert await worker.started() is None
        assert worker.host == "node-7"
        worker.channel.send({"so": "much"})
        sent = await gateway.receive()
        assert sent.lane == 3
        for at in range(len(sent.data)):
            worker.hear(LaneData(3, sent.data[at : at + 1]))
        assert await worker.channel.receive() == {"so": "much"}
        worker.kill()
        assert await gateway.receive() == KillWorker(3)
        worker.hear(WorkerEnded(3, "was killed by signal 9"))
        assert await worker.channel.receive() is None
        assert await worker.end() == "was killed by signal 9"

    file = WorkerFile.create(tmp_path, 1)
    played(file, play)
    assert not file.path.exists()


def test_a_refusal(tmp_path: Path) -> None:
    """It is what `started` gives."""

    async def play(worker: RayWorker, gateway: Channel) -> None:
        worker.hear(WorkerRefused(3, "no room"))
        assert await worker.started() == "no room"

    played(WorkerFile.create(tmp_path, 1), play)


def test_who_is_lost_may_live_on(tmp_path: Path) -> None:
    """It has ended once its lock is gone, and not when nobody hears from it any more."""
    file = WorkerFile.create(tmp_path, 1)
    descriptor = lock_worker_file(file)

    async def play(worker: RayWorker, gateway: Channel) -> None:
        worker.lost()
        assert await worker.started() is None
        assert await worker.channel.receive() is None
        ending = asyncio.create_task(worker.end())
        await asyncio.sleep(0.3)
        assert not ending.done()
        os.close(descriptor)
        assert await ending == "was lost: the process that speaks with Ray has ended"

    played(file, play)


def test_who_never_ends(tmp_path: Path) -> None:
    """The run does not wait for ever, and says what holds it up."""
    file = WorkerFile.create(tmp_path, 1)
    descriptor = lock_worker_file(file)

    async def play(worker: RayWorker, gateway: Channel) -> None:
        worker.lost()
        with pytest.raises(MachineError, match="Every row reported as done is kept"):
            await worker.end()

    with patch.object(ray_worker, "_MORE_THAN_SILENCE_S", 0.0), patch.object(ray_worker, "SILENCE_S", 0.1):
        played(file, play)
    os.close(descriptor)
