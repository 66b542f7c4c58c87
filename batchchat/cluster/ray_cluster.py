"""Workers that Ray places: the run starts them by the gateway, a process of its own that speaks with Ray."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO

from batchchat.cluster.assignment import WorkerMark
from batchchat.cluster.channel import Channel
from batchchat.cluster.gateway_messages import MAX_JOIN_S, ConnectRay, RayConnected, StartWorker, WorkerOrder
from batchchat.cluster.process import last_line, module_command, own_path
from batchchat.cluster.ray_worker import RayWorker
from batchchat.core.events import Subscriber
from batchchat.core.notices import WorkersWait
from batchchat.errors import BatchchatError, MachineError, UsageError
from batchchat.job import JobSpec
from batchchat.job.cluster import CPU, worker_count
from batchchat.store.worker_file import WorkerFile, remove_worker_files
from batchchat.version import __version__

__all__ = ["RayCluster"]

_WAIT_TOLD_S = 30.0
_STARTS = 5
"""Ray gives itself 30 seconds to start, which a busy machine may not have."""
_MAX_TEMP_NAME = 24
"""Longer names of a folder leave no room for those of Ray's sockets, whose length the kernel limits."""
_KEPT = "Every row reported as done is kept."
_GATEWAY = "batchchat.cluster.ray_gateway"


class RayCluster:
    """Starts workers of `job` on nodes of its cluster, which write the journal in `folder`.

    Of `lock`, the open file that is the run's lock, the gateway is a holder as well. Workers that wait for room on a
    node are told, once until none waits any more.
    """

    def __init__(self, job: JobSpec, folder: Path, lock: int, tell: Subscriber) -> None:
        self._job = job
        self._tell = tell
        self._folder = folder
        self._lock = lock
        self._resources = {CPU: 1.0, **job.cluster.resources}
        self._gateway: _Gateway | None = None
        self._workers = worker_count(job.cluster, job.workers, job.concurrency)
        self._waiting = 0
        self._has_told = False
        self._has_started = False
        """Whether a worker has been: rows may be sent by now."""
        self._refusal: BatchchatError | None = None
        self._connecting = asyncio.Lock()

    async def start_worker(self, mark: WorkerMark) -> RayWorker:
        """Have Ray place a worker, which waits for its assignment; where no node has room, it is waited for.

        Raises `OSError` where this machine has no room, `BatchchatError` where Ray or a node refuses it.
        """
        gateway = await self._connected()
        file = WorkerFile.create(self._folder, mark.writer)
        try:
            worker = gateway.start(file, self._resources, self._job.drain)
            problem = await self._started(worker)
        except BaseException:
            file.remove()
            raise
        if problem is not None:
            file.remove()
            raise self._refused(problem)
        if not file.is_locked() and not worker.has_ended:
            worker.kill()
            await worker.end()
            raise self._refused(
                f"this machine does not see the file locks of {worker.host} in {self._folder}, so that two runs could"
                " write there. Mount that file system with locks that all nodes share."
            )
        self._has_started = True
        return worker

    async def _started(self, worker: RayWorker) -> str | None:
        """Wait until `worker` has been placed; a sentence where it can't be started."""
        telling = asyncio.get_running_loop().call_later(_WAIT_TOLD_S, self._tell_waiting)
        self._waiting += 1
        try:
            return await worker.started()
        finally:
            telling.cancel()
            self._waiting -= 1
            self._has_told = self._has_told and self._waiting > 0

    def _tell_waiting(self) -> None:
        if not self._has_told:
            self._has_told = True
            self._tell(WorkersWait(self._waiting, self._workers, self._resources))

    async def close(self) -> None:
        """Every worker has ended: leave Ray, and end the one that was started for this run."""
        if self._gateway is not None:
            await self._gateway.close()

    async def _connected(self) -> _Gateway:
        async with self._connecting:
            if self._refusal is not None:
                raise self._refusal
            if self._gateway is None or self._gateway.is_gone:
                try:
                    await self._connect()
                except BatchchatError as error:
                    self._refusal = error
                    raise
            assert self._gateway is not None, "it is connected"
            return self._gateway

    async def _connect(self) -> None:
        if self._gateway is None:
            remove_worker_files(self._folder)
        else:
            await self._gateway.close()
        address = self._job.cluster.address
        needs = {name: amount * self._workers for name, amount in self._resources.items()}
        problem: str | None = None
        for _ in range(_STARTS if address is None else 1):
            gateway = self._gateway = await _Gateway.open(self._lock)
            try:
                problem = await gateway.connect(ConnectRay(address, needs))
            except asyncio.CancelledError:
                gateway.kill()
                raise
            if problem is None:
                return
            await gateway.close()
        assert problem is not None, "it was tried"
        what = "Ray can't be started here" if address is None else f"the Ray cluster at {address} can't be joined"
        way_out = "Use `--engine local`" if address is None else "Correct `cluster.address`, or start Ray there"
        raise self._refused(f"{what}: {problem.removesuffix('.')}. {way_out}, then run the same command again.")

    def _refused(self, sentence: str) -> BatchchatError:
        """The error of a run for which Ray has no worker: nothing was sent yet, or all that was answered is kept."""
        return MachineError(f"{sentence} {_KEPT}") if self._has_started else UsageError(sentence)


class _Gateway:
    """The gateway's process, by `channel`. `output` is what Ray writes, and `folder` where it keeps its files."""

    def __init__(self, process: subprocess.Popen[bytes], channel: Channel, output: IO[bytes], folder: str) -> None:
        self._process = process
        self._folder = folder
        self._channel = channel
        self._output = output
        self._lanes: dict[int, RayWorker] = {}
        self._count = 0
        self._answer: asyncio.Future[RayConnected] = asyncio.get_running_loop().create_future()
        self._listening = asyncio.create_task(self._listen())
        self.is_gone = False

    @classmethod
    async def open(cls, lock: int) -> _Gateway:
        """Start the process, which inherits `lock`. Raises `OSError`."""
        ours, theirs = socket.socketpair()
        output = tempfile.TemporaryFile()  # noqa: SIM115 (the gateway's own)
        folder = _new_folder()
        try:
            with theirs:
                process = _start_gateway(theirs.fileno(), output, lock, folder)
            ours.setblocking(False)
            return cls(process, await Channel.open(ours), output, folder)
        except BaseException:
            ours.close()
            output.close()
            shutil.rmtree(folder, ignore_errors=True)
            raise

    async def connect(self, order: ConnectRay) -> str | None:
        """Have it connect to Ray; what hinders it, None where nothing does."""
        self._channel.send(order)
        return (await asyncio.shield(self._answer)).problem

    def start(self, file: WorkerFile, resources: dict[str, float], drain_s: float) -> RayWorker:
        """A worker with `file`, which starts once Ray has room for it."""
        self._count += 1
        worker = self._lanes[self._count] = RayWorker(self._count, self._channel, file, drain_s)
        self._channel.send(StartWorker(self._count, WorkerOrder(__version__, file), resources))
        if self.is_gone:
            worker.lost()
        return worker

    def kill(self) -> None:
        """End it at once: the Ray that it starts ends with it."""
        self._process.kill()

    async def close(self) -> None:
        """End it, with the Ray that it may have started."""
        await self._channel.close()
        await asyncio.to_thread(self._process.wait)
        self._listening.cancel()
        with suppress(asyncio.CancelledError):
            await self._listening
        self._output.close()
        shutil.rmtree(self._folder, ignore_errors=True)  # as the gateway does, if it was not killed

    async def _listen(self) -> None:
        while (message := await self._channel.receive()) is not None:
            if isinstance(message, RayConnected):
                self._answer.set_result(message)
            elif (worker := self._lanes.get(message.lane)) is not None:
                worker.hear(message)
        self.is_gone = True
        if not self._answer.done():
            self._answer.set_result(RayConnected(await self._words()))
        for worker in self._lanes.values():
            worker.lost()

    async def _words(self) -> str:
        """Why the process has ended before it was connected."""
        if await asyncio.to_thread(self._process.wait) == -signal.SIGALRM:
            return f"there was no answer within {MAX_JOIN_S} s"
        return last_line(self._output) or "it ended at once"


def _new_folder() -> str:
    """A folder that only this user can look into."""
    parent = tempfile.gettempdir()
    return tempfile.mkdtemp(prefix="batchchat-ray-", dir=parent if len(parent) <= _MAX_TEMP_NAME else "/tmp")  # noqa: S108


def _start_gateway(channel: int, output: IO[bytes], lock: int, folder: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 (this very program)
        module_command(_GATEWAY, str(channel)),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        pass_fds=(channel, lock),
        start_new_session=True,  # Ctrl-C in a terminal is the run's to act on
        cwd=folder,  # Ray looks for modules where its driver runs
        env={**os.environ, **own_path()},
    )
