"""A worker that Ray has placed, as the run sees it: what it says comes by way of the gateway.

Where that way is lost (its actor, its node, the gateway, the network), the worker may live on for as long as it keeps
what is in flight. So it is gone only once the lock of its file in the run folder is.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from batchchat.cluster.channel import Channel
from batchchat.cluster.gateway_messages import KillWorker, LaneData, WorkerEnded, WorkerRefused, WorkerStarted
from batchchat.cluster.ray_relay import SILENCE_S
from batchchat.errors import MachineError
from batchchat.store.worker_file import WorkerFile

__all__ = ["RayWorker"]

_LOOK_EACH_S = 0.1
_MORE_THAN_SILENCE_S = 120.0
"""What the file server of a machine that is no more takes to give up its locks."""
_LOST = "was lost: the process that speaks with Ray has ended"


class RayWorker:
    """The worker that is the number `lane` of a gateway, reached by `channel`; its process holds the lock of `file`.

    When nobody hears from it any more, what it has in flight gets `drain_s` seconds.
    """

    def __init__(self, lane: int, gateway: Channel, file: WorkerFile, drain_s: float) -> None:
        self._lane = lane
        self._gateway = gateway
        self._file = file
        self._patience_s = SILENCE_S + drain_s + _MORE_THAN_SILENCE_S
        loop = asyncio.get_running_loop()
        self._start: asyncio.Future[str | None] = loop.create_future()
        self._end: asyncio.Future[str] = loop.create_future()
        self._reader = asyncio.StreamReader()
        self.channel = Channel(self._reader, _LaneWriter(lane, gateway))
        self.host = ""

    @property
    def has_ended(self) -> bool:
        """Whether nothing more comes from it."""
        return self._end.done()

    async def started(self) -> str | None:
        """Wait until it runs; a sentence where it can't be started. Cancelled, it is not wanted any more."""
        try:
            return await self._start
        except asyncio.CancelledError:
            self.kill()
            raise

    def hear(self, message: Any) -> None:
        """Take in what the gateway says of it."""
        if isinstance(message, LaneData):
            self._reader.feed_data(message.data)
        elif isinstance(message, WorkerStarted):
            self.host = message.host
            self._settle(None)
        elif isinstance(message, WorkerRefused):
            self._settle(message.problem)
        elif isinstance(message, WorkerEnded):
            self._finish(message.how)

    def lost(self) -> None:
        """The gateway is gone."""
        self._finish(_LOST)

    def kill(self) -> None:
        """End it at once."""
        self._gateway.send(KillWorker(self._lane))

    async def end(self) -> str:
        """Wait until its processes are no more; how that came. Raises `MachineError` where they outlive that."""
        how = await self._end
        deadline = time.monotonic() + self._patience_s
        while self._file.is_locked():
            if time.monotonic() > deadline:
                raise MachineError(
                    f"a worker on {self.host} {how}, and still holds {self._file.path}. Every row reported as done is"
                    " kept. End its process there, then run the same command again."
                )
            await asyncio.sleep(_LOOK_EACH_S)
        self._file.remove()
        return how

    def _settle(self, problem: str | None) -> None:
        if not self._start.done():
            self._start.set_result(problem)

    def _finish(self, how: str) -> None:
        self._settle(None)  # whoever waits for its start hears of its end
        if not self._end.done():
            self._end.set_result(how)
            self._reader.feed_eof()


class _LaneWriter:
    """Writes to the worker of one lane."""

    def __init__(self, lane: int, gateway: Channel) -> None:
        self._lane = lane
        self._gateway = gateway
        self._is_closed = False

    @property
    def transport(self) -> _LaneWriter:
        return self

    def get_write_buffer_size(self) -> int:
        return self._gateway.backlog_bytes

    def is_closing(self) -> bool:
        return self._is_closed

    def write(self, data: bytes, /) -> None:
        self._gateway.send(LaneData(self._lane, data))

    async def drain(self) -> None:
        """There is always room."""

    def close(self) -> None:
        self._is_closed = True

    async def wait_closed(self) -> None:
        """It is closed at once."""
