"""Values sent between a run and one of its workers, over a socket that no other process has.

They are pickled: both ends are this very program, and what an endpoint said is in them as text. Nothing is on disk, so
that the API key, which is part of a job, is nowhere but in the memory of the two.
"""

from __future__ import annotations

import asyncio
import pickle
import socket
from contextlib import suppress
from typing import Any, Protocol

__all__ = ["Channel", "ChannelTransport", "ChannelWriter"]

_LENGTH_BYTES = 8


class ChannelTransport(Protocol):
    """What is written on its way."""

    def get_write_buffer_size(self) -> int:
        """How many bytes have not left yet."""


class ChannelWriter(Protocol):
    """Where the bytes of a channel go: `asyncio.StreamWriter` is one."""

    @property
    def transport(self) -> ChannelTransport:
        """What is written on its way."""

    def is_closing(self) -> bool:
        """Whether nothing more can be written."""

    def write(self, data: bytes, /) -> None:
        """Send `data` after all that was written before."""

    async def drain(self) -> None:
        """Wait until there is room for more."""

    def close(self) -> None:
        """Close it once all has been sent."""

    async def wait_closed(self) -> None:
        """Wait until it is closed."""


class Channel:
    """One end. What can't be sent is dropped: `receive` says that the other end is gone."""

    def __init__(self, reader: asyncio.StreamReader, writer: ChannelWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._length: int | None = None
        """Of the message that is on its way: whoever waited for it may have been cancelled."""

    @classmethod
    async def open(cls, end: socket.socket) -> Channel:
        """The channel over `end`, a connected socket."""
        return cls(*await asyncio.open_unix_connection(sock=end))

    @property
    def backlog_bytes(self) -> int:
        """How many bytes the other end has not taken yet."""
        return self._writer.transport.get_write_buffer_size()

    def send(self, message: object) -> None:
        """Send `message`, which arrives whole or not at all."""
        if self._writer.is_closing():
            return
        data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
        self._writer.write(len(data).to_bytes(_LENGTH_BYTES, "little") + data)

    async def receive(self) -> Any:
        """The next message; None where the other end is gone."""
        try:
            if self._length is None:
                self._length = int.from_bytes(await self._reader.readexactly(_LENGTH_BYTES), "little")
            data = await self._reader.readexactly(self._length)
        except (OSError, asyncio.IncompleteReadError):
            return None
        self._length = None
        return pickle.loads(data)  # noqa: S301 (the other end is this program)

    async def close(self) -> None:
        """Close it, once all has been sent."""
        with suppress(OSError):
            await self._writer.drain()
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()
