"""A worker as a process on this machine, and what its end says."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import tempfile
from typing import IO, Protocol

from batchchat.cluster.assignment import WorkerMark
from batchchat.cluster.channel import Channel
from batchchat.cluster.process import WORKER, end_words, module_command, own_path

__all__ = ["LocalWorker", "WorkerHandle", "start_local_worker"]


class WorkerHandle(Protocol):
    """A worker that was started, wherever it runs."""

    @property
    def channel(self) -> Channel:
        """Where it is told what to do."""

    def kill(self) -> None:
        """End it at once."""

    async def end(self) -> str:
        """Wait until its process is no more; how that ended, in words that follow "worker 2": `was killed by ...`."""


class LocalWorker:
    """`process` reads from the other end of `channel`; what it writes on its own goes to `output`."""

    def __init__(self, process: subprocess.Popen[bytes], channel: Channel, output: IO[bytes]) -> None:
        self.channel = channel
        self._process = process
        self._output = output

    def kill(self) -> None:
        self._process.kill()

    async def end(self) -> str:
        # Its end of the channel is closed, or it was killed: this takes no time, and would still stop the event loop.
        code = await asyncio.to_thread(self._process.wait)
        await self.channel.close()
        with self._output as output:
            return end_words(code, output)


async def start_local_worker(descriptors: tuple[int, ...], _mark: WorkerMark) -> LocalWorker:
    """Start a worker that waits for its assignment; it inherits the open `descriptors`. Raises `OSError`."""
    ours, theirs = socket.socketpair()
    output = tempfile.TemporaryFile()  # noqa: SIM115 (the worker's own)
    try:
        with theirs:
            process = _spawn(theirs.fileno(), output, descriptors)
        ours.setblocking(False)
        return LocalWorker(process, await Channel.open(ours), output)
    except BaseException:
        ours.close()
        output.close()
        raise


def _spawn(channel: int, output: IO[bytes], descriptors: tuple[int, ...]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 (this very program)
        module_command(WORKER, str(channel)),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        pass_fds=(channel, *descriptors),
        env={**os.environ, **own_path()},
    )
