"""The bytes of a response, bounded for itself and together with those of all others, and kept where they break off."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import aiohttp

from batchchat.endpoint.post import Response

__all__ = ["FREE_BYTES", "BodyTooLargeError", "OpenBody", "ReadingMemory", "read_bytes"]

FREE_BYTES = 1 << 20
"""As much of each response costs nothing to count: replies are smaller, but for images and defects."""
MAX_SHARED_BYTES = 256 << 20
"""What the larger responses may have in memory together, beyond the free part of each."""


class BodyTooLargeError(Exception):
    """The body is larger than the maximum."""


class ReadingMemory:
    """Bounds the bytes of all responses that are being read, with those that wait to be written.

    The response that has waited longest is always read on while nothing else has bytes, so that none waits for ever.
    """

    def __init__(self, max_bytes: int = MAX_SHARED_BYTES) -> None:
        self._max_bytes = max_bytes
        self._backlog: Callable[[], int] = lambda: 0
        self._bytes = 0
        self._readers: dict[object, int] = {}
        self._waiting: deque[asyncio.Future[None]] = deque()

    def count_backlog(self, backlog: Callable[[], int]) -> None:
        """Count what `backlog` gives, the bytes that wait to be written; `wake` is called when there are fewer."""
        self._backlog = backlog

    async def take(self, reader: object, size: int) -> None:
        """Count `size` more bytes of `reader`; returns when there is room, or `reader` is the first of all."""
        held = self._readers.setdefault(reader, 0)
        while self._bytes + self._backlog() + size > self._max_bytes and not self._goes_on(reader):
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            try:
                await waiter
            finally:
                if waiter in self._waiting:
                    self._waiting.remove(waiter)
            held = self._readers.setdefault(reader, 0)
        self._readers[reader] = held + size
        self._bytes += size

    def release(self, reader: object) -> None:
        """Forget the bytes of `reader`."""
        if (held := self._readers.pop(reader, None)) is not None:
            self._bytes -= held
            self.wake()

    def wake(self) -> None:
        """Let those who wait look again: something was released or written."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)

    def _goes_on(self, reader: object) -> bool:
        """Whether `reader` is the oldest, and nothing waits to be written that could make room."""
        return next(iter(self._readers)) is reader and self._backlog() <= self._max_bytes


async def read_bytes(
    response: Response, max_bytes: int, memory: ReadingMemory, reader: object, head: bytes = b""
) -> tuple[bytes, BaseException | None]:
    """The body of `response`, of at most `max_bytes` however it is framed or compressed; `head` was read already.

    Where it breaks off, what came before, and the error. What is beyond the free bytes is counted in `memory` for
    `reader`, which the caller releases. Raises `BodyTooLargeError`.
    """
    headers = response.headers
    length = headers.get("Content-Length", "")
    if length.isdecimal() and int(length) > max_bytes and "Content-Encoding" not in headers:
        raise BodyTooLargeError
    content, size, counted = response.content, len(head), FREE_BYTES
    parts = [head] if head else list[bytes]()
    broken: BaseException | None = None
    while True:
        try:
            # Nearly every reply came in one piece with its head, and whole.
            part = content.read_nowait() if content.is_eof() else await content.readany()
        except (aiohttp.ClientError, OSError) as error:  # a TimeoutError is an OSError
            broken, part = error, _unread(content)
        if part:
            parts.append(part)
            size += len(part)
        if size > max_bytes:
            raise BodyTooLargeError
        if broken is not None or not part or content.at_eof():
            return parts[0] if len(parts) == 1 else b"".join(parts), broken
        if size > counted:
            await memory.take(reader, size - counted)
            counted = size


class OpenBody:
    """The body of one response that is read piece by piece. What its reader keeps is counted in `memory`."""

    def __init__(self, response: Response, max_bytes: int, memory: ReadingMemory, reader: object) -> None:
        self.max_bytes = max_bytes
        self.content_type = response.headers.get("Content-Type", "")
        self._response = response
        self._memory = memory
        self._reader = reader
        self._counted = FREE_BYTES

    async def next_part(self) -> tuple[bytes, BaseException | None]:
        """The next piece, b"" at the end; where the body breaks off, what had arrived by then and the error."""
        content = self._response.content
        try:
            return await content.readany(), None
        except (aiohttp.ClientError, OSError) as error:  # a TimeoutError is an OSError
            return _unread(content), error

    async def whole(self, head: bytes) -> tuple[bytes, BaseException | None]:
        """The whole body, of which `head` was read already; as `read_bytes`."""
        return await read_bytes(self._response, self.max_bytes, self._memory, self._reader, head)

    async def count(self, size: int) -> None:
        """Of what was read `size` bytes are kept by now; returns when there is room for them."""
        if size > self._counted:
            await self._memory.take(self._reader, size - self._counted)
            self._counted = size


def _unread(content: aiohttp.StreamReader) -> bytes:
    """What had arrived when the connection broke and was not read yet: aiohttp has it, and raises in its place."""
    buffer: deque[bytes] = getattr(content, "_buffer", deque())
    offset: int = getattr(content, "_buffer_offset", 0)
    return b"".join(buffer)[offset:]
