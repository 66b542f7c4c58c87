"""Puts what is in local files into a request while it is sent, within a bound of memory.

The request keeps the paths: the journal and a retry need no more, and the large body lives only as long as one attempt.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from batchchat.core.attempt import Action, Attempt, Billed, Failure, Request, Scope, Verdict
from batchchat.core.bad import Bad
from batchchat.core.conversation import ErrorKind

__all__ = ["FilePartSender", "Files", "names_files"]

_MARK = b'"file:'
_MAX_BYTES = 256 << 20
"""Of all bodies that are being sent; one that is larger is sent alone."""


class Files(Protocol):
    """Reads the files that a request body names; both methods block."""

    def size(self, body: bytes) -> int:
        """About how many bytes the body has with what is in its files."""

    def expand(self, body: bytes) -> bytes | Bad | None:
        """The body with what is in its files; `Bad` where one can't be read, None where it names none."""


def names_files(request: Request) -> bool:
    """Whether `request` may name local files, as the parts of a message may; cheap, and never false where it does."""
    for message in request.messages:
        if type(message.get("content")) is list:
            return _MARK in request.body
    return False


class FilePartSender:
    """Sends requests whose bodies name files by `send`, with what `files` reads."""

    def __init__(self, files: Files, send: Callable[[Request], Awaitable[Attempt]]) -> None:
        self._files = files
        self._send = send
        self._bytes = 0
        self._freed = asyncio.Condition()

    async def __call__(self, request: Request) -> Attempt:
        """Send `request` once; a file that can't be read any more fails its row, and nothing is sent."""
        size = await asyncio.to_thread(self._files.size, request.body)
        async with self._room(size):
            body = await asyncio.to_thread(self._files.expand, request.body)
            if isinstance(body, Bad):
                return _unsent(request, body)
            attempt = await self._send(request if body is None else request._replace(body=body))
            return attempt._replace(request=request)

    @asynccontextmanager
    async def _room(self, size: int) -> AsyncIterator[None]:
        async with self._freed:
            await self._freed.wait_for(lambda: not self._bytes or self._bytes + size <= _MAX_BYTES)
            self._bytes += size
        try:
            yield
        finally:
            self._bytes -= size
            async with self._freed:
                self._freed.notify_all()


def _unsent(request: Request, problem: Bad) -> Attempt:
    now = time.time()
    verdict = Verdict(Action.FAIL_ROW, Scope.ROW, Billed.NO, ErrorKind.INVALID_INPUT)
    return Attempt(request, verdict, now, now, 0.0, failure=Failure(ErrorKind.INVALID_INPUT, problem.sentence))
