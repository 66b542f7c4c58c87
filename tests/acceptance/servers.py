"""Endpoints for acceptance tests: the mock, in a thread or as its own process, and raw loopback servers."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from batchchat.mock import MockOptions, MockServer

__all__ = ["Asked", "Mock", "Raw", "completion", "http", "mock_process", "mock_thread", "raw_server"]


T = TypeVar("T")


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def call(self, play: Coroutine[Any, Any, T]) -> T:
        """The result of `play`, run in the loop."""
        future: Future[T] = asyncio.run_coroutine_threadsafe(play, self.loop)
        return future.result(30)

    def end(self) -> None:
        """Stop the loop and its thread."""
        self.call(_cancel_others())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(30)
        self.loop.close()


async def _cancel_others() -> None:
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class Mock:
    """A mock server to be asked and looked at."""

    root: str

    @property
    def url(self) -> str:
        return f"{self.root}/v1/openai"

    @property
    def host(self) -> str:
        return self.root.removeprefix("http://")

    def stats(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.root}/stats", timeout=30) as response:
            stats: dict[str, Any] = json.load(response)
        return stats


@contextmanager
def mock_thread(**options: Any) -> Iterator[Mock]:
    """A `MockServer` in a thread of this process."""
    loop, server = Loop(), MockServer(MockOptions(**options))
    try:
        yield Mock(loop.call(server.start()))
    finally:
        loop.call(server.stop())
        loop.end()


@contextmanager
def mock_process(*options: str) -> Iterator[Mock]:
    """`batchchat mock-server --port 0` as its own process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "batchchat", "mock-server", "--port", "0", *options], stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r"http://[0-9.:]+", line)
        assert found, line
        yield Mock(found.group())
    finally:
        process.terminate()
        process.wait(30)
        if process.stderr is not None:
            process.stderr.close()


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def said(self) -> str:
        """The last message's text."""
        text: str = json.loads(self.body)["messages"][-1]["content"]
        return text

    @property
    def model(self) -> str:
        model: str = json.loads(self.body)["model"]
        return model


Answer = Callable[[Asked], bytes | None]


class Raw:
    """A server that writes what `answer` gives, byte for byte; None leaves the client waiting."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        self.host = ""
        self.loop: Loop
        self.server: asyncio.Server
        self._open: set[asyncio.StreamWriter] = set()
        self._released = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://{self.host}/v1"

    @property
    def requests(self) -> int:
        return len(self.asked)

    def release(self, answer: Answer) -> None:
        """Give everyone who waits, and who is to come, this answer."""
        self.answer = answer
        self.loop.loop.call_soon_threadsafe(self._released.set)

    def suspend(self) -> None:
        """Hang up on everybody and listen no more, as a server that was killed."""
        self.loop.call(self._suspend())

    async def _suspend(self) -> None:
        self.server.close()
        for writer in self._open:
            writer.transport.abort()

    def resume(self) -> None:
        """Listen again, at the same place."""
        host, port = self.host.split(":")
        self.server = self.loop.call(asyncio.start_server(self.serve, host, int(port), backlog=512))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                first_byte = await reader.readexactly(1)
                if first_byte == b"\x16":  # a TLS handshake; web servers answer it so
                    writer.write(http(400, b"", connection="close"))
                    break
                head = (first_byte + await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                first, *lines = head.rstrip().split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                asked = Asked(first.split(" ")[1], headers, body)
                self.asked.append(asked)
                while (answer := self.answer(asked)) is None:
                    await self._released.wait()
                writer.write(answer)
                await writer.drain()
                if not answer or b"connection: close" in answer[:400].lower():
                    break
        self._open.discard(writer)
        writer.close()


@contextmanager
def raw_server(answer: Answer) -> Iterator[Raw]:
    """A raw loopback server in a thread."""
    loop, raw = Loop(), Raw(answer)

    async def start() -> asyncio.Server:
        return await asyncio.start_server(raw.serve, "127.0.0.1", 0, backlog=512)

    async def stop() -> None:
        raw.server.close()

    raw.server = loop.call(start())
    raw.loop = loop
    raw.host = "{}:{}".format(*raw.server.sockets[0].getsockname())
    try:
        yield raw
    finally:
        loop.call(stop())
        loop.end()


def http(status: int, body: bytes | Any, **headers: str) -> bytes:
    """A whole HTTP response; what is not bytes is sent as JSON. `retry_after="1"` is the header Retry-After."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {"content_type": "application/json", "content_length": str(len(content)), **headers}
    lines = [f"HTTP/1.1 {status} Status", *(f"{name.replace('_', '-')}: {value}" for name, value in given.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def completion(text: str | None = "An answer.", **more: Any) -> dict[str, Any]:
    """A chat completion's JSON; `usage` and others go in or, as None, out."""
    whole = {
        "id": "chatcmpl-1",
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "estimated_cost": 0.000002},
        **more,
    }
    return {name: value for name, value in whole.items() if value is not None}
