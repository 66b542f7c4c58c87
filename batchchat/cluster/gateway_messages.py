"""What a run and its gateway to Ray say to each other, and the gateway to the relay of a worker.

Each worker of a gateway has a number, its `lane`. What is said to it and by it passes through as bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from batchchat.store.worker_file import WorkerFile

__all__ = [
    "MAX_JOIN_S",
    "ConnectRay",
    "KillWorker",
    "LaneData",
    "RayConnected",
    "StartWorker",
    "WorkerEnded",
    "WorkerOrder",
    "WorkerRefused",
    "WorkerStarted",
]

MAX_JOIN_S = 60
"""The gateway that has not joined a cluster by then is ended by SIGALRM: Ray looks for one for a quarter of an hour."""


class ConnectRay(NamedTuple):
    """Connect to the Ray cluster at `address`, or start one here that has `resources`, where that is None."""

    address: str | None
    resources: Mapping[str, float]


class RayConnected(NamedTuple):
    """The answer to it; `problem` says in one line why not, None where it is connected."""

    problem: str | None = None


class WorkerOrder(NamedTuple):
    """What the node of a worker is told: the version of the program that it must have, and the worker's file."""

    version: str
    file: WorkerFile


class StartWorker(NamedTuple):
    """Have Ray place a worker that needs `resources`."""

    lane: int
    order: WorkerOrder
    resources: Mapping[str, float]


class WorkerStarted(NamedTuple):
    """It runs, on the machine `host`, and waits for its assignment."""

    lane: int
    host: str


class WorkerRefused(NamedTuple):
    """It can't be started. `problem` is a sentence that says why, and what to do."""

    lane: int
    problem: str


class LaneData(NamedTuple):
    """Bytes to a worker, or from it."""

    lane: int
    data: bytes


class KillWorker(NamedTuple):
    """End it at once."""

    lane: int


class WorkerEnded(NamedTuple):
    """Nothing more comes from it. `how` follows "worker 2": `was killed by signal 9`."""

    lane: int
    how: str
