"""A loopback endpoint that plays a script: `answer` is given each request and says what is sent back, and when.

Field tests re-make with it what endpoints, gateways and proxies really answered.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any

from tests.acceptance.servers import Loop, completion, http

__all__ = ["Asked", "End", "Endpoint", "endpoint", "error", "ok"]

_NOT_FOUND = http(404, {"detail": "Not Found"})


class End(Enum):
    """What may come in place of more bytes."""

    CLOSE = "the connection is closed"
    RESET = "the connection is reset"
    HANG = "nothing more comes"


Step = bytes | float | End
"""Bytes to send, seconds to wait, or an end."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One POST: the `number`-th of all and the `attempt`-th with this `text`, `at` seconds after the first.

    `peer` is the port at which the client has this connection.
    """

    number: int
    attempt: int
    text: str
    body: dict[str, Any]
    headers: dict[str, str]
    path: str
    at: float
    in_flight: int
    peer: int


Answer = Callable[[Asked], "Step | list[Step]"]
Get = Callable[[str], bytes]


class Endpoint:
    """A running endpoint. `asked` are the POSTs in their order, `gets` the paths of the GETs."""

    def __init__(self, answer: Answer, get: Get) -> None:
        self.answer = answer
        self.get = get
        self.asked: list[Asked] = []
        self.gets: list[str] = []
        self.attempts: Counter[str] = Counter()
        """POSTs by the text of their last message."""
        self.in_flight = self.max_in_flight = 0
        self.port = 0
        self._first_at: float | None = None

    @property
    def url(self) -> str:
        """What a job's `endpoint.base_url` is."""
        return f"http://127.0.0.1:{self.port}/v1"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while await self._serve_one(reader, writer):
                pass
        writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip().split("\r\n")
        method, path, _ = first.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if method == "GET":
            self.gets.append(path)
            return await self._play(self.get(path), writer)
        body = json.loads(await reader.readexactly(int(headers.get("content-length", 0))))
        content = body["messages"][-1].get("content")
        text = content if isinstance(content, str) else json.dumps(content)
        self.attempts[text] += 1
        now = time.monotonic()
        self._first_at = now if self._first_at is None else self._first_at
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        asked = Asked(
            len(self.asked) + 1,
            self.attempts[text],
            text,
            body,
            headers,
            path,
            now - self._first_at,
            self.in_flight,
            writer.get_extra_info("peername")[1],
        )
        self.asked.append(asked)
        try:
            return await self._play(self.answer(asked), writer)
        finally:
            self.in_flight -= 1

    async def _play(self, steps: Step | list[Step], writer: asyncio.StreamWriter) -> bool:
        """Whether the connection stays open."""
        for step in steps if isinstance(steps, list) else [steps]:
            match step:
                case bytes():
                    writer.write(step)
                    await writer.drain()
                case End.CLOSE:
                    return False
                case End.RESET:
                    connection: socket.socket = writer.get_extra_info("socket")
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    writer.transport.abort()
                    return False
                case End.HANG:
                    await asyncio.sleep(3600)
                case _:
                    await asyncio.sleep(step)
        return True


@contextmanager
def endpoint(answer: Answer, get: Get = lambda _: _NOT_FOUND, *, port: int = 0) -> Iterator[Endpoint]:
    """An endpoint on loopback, in a thread of this process; `port` 0 takes a free one."""
    loop, server = Loop(), Endpoint(answer, get)

    async def start() -> asyncio.Server:
        return await asyncio.start_server(server.serve, "127.0.0.1", port, backlog=4096, limit=1 << 26)

    async def stop() -> None:
        listening.close()

    listening = loop.call(start())
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        loop.call(stop())
        loop.end()


def ok(text: str | None = "Fine.", *, message: Any = None, finish_reason: str | None = "stop", **more: Any) -> bytes:
    """A 200 with a chat completion: `message` in place of one with `text`; `usage=None` leaves the usage out."""
    content = {"role": "assistant", "content": text} if message is None else message
    choice = {"index": 0, "message": content, "finish_reason": finish_reason, **more.pop("choice", {})}
    return http(200, completion(choices=[choice], **more))


def error(
    status: int, message: str, *, body: Any = None, headers: dict[str, str] | None = None, **fields: Any
) -> bytes:
    """An error in OpenAI's shape: `fields` stand beside the message, as `code` and `type`; or `body` as it stands."""
    content = {"error": {"message": message, **fields}} if body is None else body
    return http(status, content, **(headers or {}))
