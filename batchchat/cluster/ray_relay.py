"""The relay: an actor of Ray on the node of a worker, which starts the worker's process and passes on what is said.

The worker is a process of its own, as it is without Ray: with its own event loop, and no child of Ray's, which would
kill it together with the actor. If the actor, the gateway or the network between them is gone, the socket closes: for
the worker the run is gone, so that it keeps what is in flight and ends.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from typing import IO

from batchchat.cluster.gateway_messages import WorkerOrder
from batchchat.cluster.process import WORKER, end_words, module_command, own_path
from batchchat.store.worker_file import lock_worker_file
from batchchat.version import __version__

__all__ = ["SILENCE_S", "Relay"]

SILENCE_S = 60.0
"""A relay that hears nothing for so long is cut off from the run."""
_POLL_S = 10.0
_GATHER_S = 0.03
"""What a worker says within so long is passed on as one."""
_MAX_BYTES = 1 << 16
"""Of one call: Ray passes more by way of its object store, which may be written to disk."""
_SIGNALLED = 128
_KEEPER = '("$@" 2>&1); exit $?'
"""A shell that has no stderr, where it would say of itself that the worker was killed."""


class Relay:
    """The actor of one worker. `start` is called first, and once."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._heard_at = time.monotonic()
        self._watching: asyncio.TimerHandle | None = None

    async def start(self, order: WorkerOrder) -> tuple[str, str | None]:
        """Start the worker; the name of this machine, and a sentence where it can't be started."""
        host = socket.gethostname()
        if order.version != __version__:
            return host, (
                f"{host} has batchchat {__version__}, and this machine {order.version}. Install the same version on all"
                " nodes of the cluster."
            )
        try:
            descriptor = lock_worker_file(order.file)
        except FileNotFoundError:
            return host, (
                f"{host} does not have the run folder {order.file.path.parent} of this machine. Put `output.path` on a"
                " file system that all nodes share, or run a part on each machine with --shard I/N."
            )
        except OSError as error:
            return host, f"{host} can't lock {order.file.path}: {error.strerror}."
        try:
            await self._spawn(descriptor)
        except OSError as error:
            return host, f"{host} can't start a process: {error.strerror}. Free memory and processes there."
        finally:
            os.close(descriptor)
        self._watch()
        return host, None

    async def send(self, data: bytes) -> None:
        """Pass `data` on to the worker."""
        self._heard_at = time.monotonic()
        assert self._writer is not None, "it is started"
        if not self._writer.is_closing():
            self._writer.write(data)
            with suppress(OSError):
                await self._writer.drain()

    async def receive(self) -> bytes | None:
        """What the worker has said since: nothing, where that takes long; None once its end of the socket is closed."""
        self._heard_at = time.monotonic()
        assert self._reader is not None, "it is started"
        try:
            async with asyncio.timeout(_POLL_S):
                data = await self._reader.read(_MAX_BYTES)
        except TimeoutError:
            return b""
        except OSError:
            return None
        if data and len(data) < _MAX_BYTES:
            with suppress(TimeoutError, OSError):
                async with asyncio.timeout(_GATHER_S):
                    while len(data) < _MAX_BYTES and (more := await self._reader.read(_MAX_BYTES - len(data))):
                        data += more
        return data or None

    async def end(self) -> str:
        """Wait for the end of the process; how that came."""
        assert self._process is not None, "it is started"
        assert self._output is not None, "it is started"
        if self._watching is not None:
            self._watching.cancel()
        await self.close()
        code = await asyncio.to_thread(self._process.wait)
        with self._output as output:
            return end_words(_SIGNALLED - code if code > _SIGNALLED else code, output)

    async def close(self) -> None:
        """The run is gone."""
        if self._writer is not None:
            self._writer.close()
            with suppress(OSError):
                await self._writer.wait_closed()

    async def kill(self) -> None:
        """End the worker at once."""
        if self._process is not None and self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def _spawn(self, descriptor: int) -> None:
        """Start the worker's process; it inherits `descriptor`, the lock of its file. Raises `OSError`."""
        ours, theirs = socket.socketpair()
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 (the worker's own)
        try:
            with theirs:
                self._process = _start_apart(theirs.fileno(), self._output, descriptor)
            ours.setblocking(False)
            self._reader, self._writer = await asyncio.open_unix_connection(sock=ours)
        except BaseException:
            ours.close()
            raise

    def _watch(self) -> None:
        """Close the socket where nothing is heard of the run: it may have given up this worker by now."""
        assert self._writer is not None, "it is started"
        left_s = self._heard_at + SILENCE_S - time.monotonic()
        if left_s <= 0:
            self._writer.close()
        else:
            self._watching = asyncio.get_running_loop().call_later(left_s, self._watch)


def _start_apart(channel: int, output: IO[bytes], lock: int) -> subprocess.Popen[bytes]:
    """Start a worker under a shell that waits for it, in a process group of their own, without Ray's variables."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return subprocess.Popen(  # noqa: S603 (this very program)
        ["/bin/sh", "-c", _KEEPER, "sh", *module_command(WORKER, str(channel))],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.DEVNULL,
        pass_fds=(channel, lock),
        start_new_session=True,
        env={**environ, **own_path()},
    )
