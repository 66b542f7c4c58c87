"""Replies that are asked for as streams: joined as they arrive, to the body that a whole response would have.

What is kept of a stream is what it says; the JSON around each token is twenty times as long. A response that is no
stream is read as a whole one.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable

from batchchat import lossless_json
from batchchat.core.attempt import Action, Attempt, Request, StreamCancelledError
from batchchat.endpoint import wordings
from batchchat.endpoint.body import MAX_RAW_CHARS, Body, ReceivedBody, add_events, joined_body, read_body
from batchchat.endpoint.reading import FREE_BYTES, BodyTooLargeError, OpenBody
from batchchat.endpoint.sse import ChunkJoiner, EventParser
from batchchat.endpoint.wire import as_stream
from batchchat.secret import Redactor

__all__ = ["AFTER_END_S", "StreamSender", "read_stream"]

AFTER_END_S = 1.0
"""So long a connection may stay open behind the event that ends its stream; then we close it."""
_MAX_OVERHEAD = 16
"""A stream may have so many times the bytes that a whole body may have."""
_FIELDS = (b"data:", b"event:", b"id:", b"retry:")
_BOM = b"\xef\xbb\xbf"
_BEFORE = re.compile(rb"(?:[\s\x00]+|\xef\xbb\xbf|:[^\r\n]*(?:[\r\n]|$))*")
_BEGINNING_BYTES = 4096


async def read_stream(body: OpenBody, redactor: Redactor) -> ReceivedBody:
    """Read `body`, whose largest size is without the framing of a stream. Raises `BodyTooLargeError`."""
    head, broken, is_stream = b"", None, None
    while is_stream is None:
        part, broken = await body.next_part()
        head += part
        is_stream = _is_event_stream(head)
        if broken is not None or not part:
            break
        if is_stream is None:  # comments, which some send until the reply begins
            head = head[head.rfind(b"\n") + 1 :]
    if is_stream:
        return await _Joining(body, redactor).read(head, broken)
    if broken is None:
        head, broken = await body.whole(head)
    return ReceivedBody(read_body(head, body.content_type, redactor, complete=broken is None), broken)


class _Joining:
    """Reads one stream to its end, or to where it breaks off."""

    def __init__(self, body: OpenBody, redactor: Redactor) -> None:
        self._body = body
        self._redactor = redactor
        self._parser, self._joiner = EventParser(), ChunkJoiner()
        self._beginning = b""
        self._size = self._measured_at = 0
        self._first_token_at: float | None = None

    async def read(self, part: bytes, broken: BaseException | None) -> ReceivedBody:
        """The body that begins with `part`, and has `broken` off behind it if that is no None."""
        is_at_end = False
        while True:
            self._take(part)
            if broken is not None or is_at_end:
                return ReceivedBody(self._joined(complete=broken is None), broken, self._first_token_at)
            if self._size - self._measured_at >= min(FREE_BYTES, self._body.max_bytes):
                await self._measure()
            part, broken = await self._next_part()
            is_at_end = not part

    async def _next_part(self) -> tuple[bytes, BaseException | None]:
        """The next piece; behind the end of the stream b"" where none comes: its connection can't be used again then.

        Raises `StreamCancelledError` where the attempt is cancelled.
        """
        if not self._joiner.ended:
            try:
                return await self._body.next_part()
            except asyncio.CancelledError:
                partial = self._joined(complete=False)
                if partial.partial is None:
                    raise
                raise StreamCancelledError(partial.raw[:MAX_RAW_CHARS]) from None
        try:
            async with asyncio.timeout(AFTER_END_S):
                return await self._body.next_part()
        except TimeoutError:
            return b"", None

    def _take(self, part: bytes) -> None:
        self._size += len(part)
        if len(self._beginning) < _BEGINNING_BYTES:
            self._beginning += part[: _BEGINNING_BYTES - len(self._beginning)]
        add_events(self._parser.feed(part), self._joiner)
        if self._first_token_at is None and self._joiner.has_content:
            self._first_token_at = time.perf_counter()

    async def _measure(self) -> None:
        """Count what is kept by now; called with each MiB that comes, since to look takes a millisecond for one."""
        self._measured_at = self._size
        kept_bytes = len(lossless_json.dumps(self._joiner.response())) + self._parser.pending_bytes
        if kept_bytes > self._body.max_bytes or self._size > _MAX_OVERHEAD * self._body.max_bytes:
            raise BodyTooLargeError
        await self._body.count(kept_bytes)

    def _joined(self, *, complete: bool) -> Body:
        # What the stream ended in without a line end may be half a chunk: whether it is whole, its other chunks say.
        add_events(self._parser.close(), self._joiner, torn=True)
        beginning = self._redactor.redact_bytes(self._beginning)
        return joined_body(beginning, self._joiner, self._redactor, complete=complete, size=self._size)


def _is_event_stream(head: bytes) -> bool | None:
    """Whether a body that begins with `head` consists of events; None while that is open."""
    before = _BEFORE.match(head)
    beginning = head[0 if before is None else before.end() :]
    if beginning.startswith(_FIELDS):
        return True
    return None if any(field.startswith(beginning) for field in (*_FIELDS, _BOM)) else False


class StreamSender:
    """Sends requests by `send` so that their replies are streamed, with the usage where the endpoint takes that.

    One that refuses the field is asked without it at once, and from then on if it answers so: the refusal was not
    billed, and is no attempt of the row.
    """

    def __init__(self, send: Callable[[Request, bytes], Awaitable[Attempt]]) -> None:
        self._send = send
        self._with_usage = True

    async def __call__(self, request: Request) -> Attempt:
        """Send `request` once."""
        body = as_stream(request.body, usage=self._with_usage)
        attempt = await self._send(request, body)
        field = attempt.verdict.refused_field
        if field != wordings.STREAM_FIELD or (plain := as_stream(request.body, usage=False)) == body:
            return attempt
        attempt = await self._send(request, plain)
        if attempt.verdict.action is not Action.ACCEPT:
            return attempt
        self._with_usage = False
        return attempt._replace(verdict=attempt.verdict._replace(refused_field=field))
