"""Hand-written servers on loopback: each answers a connection with bytes of its choosing."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from batchchat.core.attempt import Attempt, Request
from batchchat.core.conversation import Key
from batchchat.endpoint import wire
from batchchat.endpoint.client import MAX_BODY_BYTES, Client, Endpoint
from batchchat.endpoint.network import Proxy
from batchchat.pricing.cost import Pricing, pricing
from batchchat.pricing.rates import Rates
from batchchat.secret import Redactor, Secret

KEY = "sk-test-0123456789abcdef"
USAGE = {"prompt_tokens": 15, "completion_tokens": 16, "total_tokens": 31, "estimated_cost": 0.0000268}


def completion(text: Any = "Hello!", **other: Any) -> dict[str, Any]:
    """A chat completion as DeepInfra's page on the model shows; `other` replaces its members, or the message's."""
    message = {"role": "assistant", "content": text, **other.pop("message", {})}
    choice = {"index": 0, "message": message, "finish_reason": other.pop("finish_reason", "stop")}
    return {
        "id": "chatcmpl-guMTxWgpFf",
        "object": "chat.completion",
        "created": 1694623155,
        "model": "microsoft/WizardLM-2-8x22B",
        "choices": [choice],
        "usage": USAGE,
        **other,
    }


def answer(body: Any, status: int = 200, *headers: str, kind: str = "application/json") -> bytes:
    """An HTTP response with its length; a body that is not bytes is sent as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Type: {kind}", f"Content-Length: {len(data)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


@dataclass
class Received:
    """One request as it came in."""

    line: str
    headers: dict[str, str]
    body: bytes


Play = Callable[["Server", Received, asyncio.StreamWriter], Awaitable[bool]]
"""Answers one request; whether the connection stays open."""


@dataclass
class Server:
    """What a server saw."""

    port: int = 0
    connections: int = 0
    received: list[Received] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1/chat/completions"


def sends(*answers: bytes, stays: bool = True, pause_s: float = 0.0) -> Play:
    """The answer, in as many writes as there are parts."""

    async def play(server: Server, received: Received, writer: asyncio.StreamWriter) -> bool:
        for part in answers:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause_s)
        return stays

    return play


async def _read(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    line, *rest = head.strip().split("\r\n")
    headers = {name.lower(): value for name, value in (header.split(": ", 1) for header in rest)}
    return Received(line, headers, await reader.readexactly(int(headers.get("content-length", 0))))


@asynccontextmanager
async def serving(play: Play, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """A server that lives as long as the block."""
    server = Server()
    tasks: set[asyncio.Task[Any] | None] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        tasks.add(asyncio.current_task())
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError):
            stays = True
            while stays:
                received = await _read(reader)
                server.received.append(received)
                stays = await play(server, received, writer)
        writer.close()

    listening = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for task in tasks:
            if task is not None:
                task.cancel()
        await asyncio.gather(*(task for task in tasks if task is not None), return_exceptions=True)
        await listening.wait_closed()


def request(text: str = "Hello!", **params: Any) -> Request:
    return wire.compose(Key("1"), "a/model", [{"role": "user", "content": text}], params)


def client(
    url: str,
    *,
    total_s: float = 5.0,
    connect_s: float = 2.0,
    proxy: Proxy | None = None,
    tls: ssl.SSLContext | None = None,
    tell_cost: Pricing | None = None,
    max_body_bytes: int = MAX_BODY_BYTES,
) -> Client:
    headers = {"Authorization": Secret(f"Bearer {KEY}")}
    endpoint = Endpoint(url, headers, total_s, connect_s, proxy, tls)
    secrets = [Secret(KEY)] + ([proxy.url] if proxy else []) + ([proxy.password] if proxy and proxy.password else [])
    return Client(endpoint, Redactor(secrets), tell_cost or pricing(Rates("")), max_body_bytes=max_body_bytes)


def exchanged(play: Play, *, times: int = 1, **given: Any) -> tuple[list[Attempt], Server]:
    """The attempts of one client with a server that answers as `play`, and what the server saw."""

    async def main() -> tuple[list[Attempt], Server]:
        async with serving(play) as server, client(given.pop("url", server.url), **given) as ours:
            return [await ours.send(request()) for _ in range(times)], server

    return asyncio.run(main())


def met(play: Play, **given: Any) -> Attempt:
    """The one attempt with a server that answers as `play`."""
    attempts, _ = exchanged(play, **given)
    return attempts[0]
