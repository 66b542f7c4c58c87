"""A POST over a connection of the pool is on the wire, and ends, as that of an aiohttp session does."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from batchchat.core.attempt import Action, Attempt
from batchchat.endpoint import post
from batchchat.endpoint.post import KNOWN_VERSIONS
from tests.endpoint.server import Received, Server, answer, client, completion, exchanged, request, sends, serving

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"


def test_the_installed_aiohttp_is_known() -> None:
    """Else each request takes 190 µs more. Read what its ClientSession._request does with a connection, and add it."""
    assert aiohttp.__version__.rpartition(".")[0] in KNOWN_VERSIONS


def test_a_session_sends_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The request line, all headers and the body are those of a session; so is what is made of the answer."""

    def met() -> tuple[Attempt, Received]:
        (attempt,), server = exchanged(sends(CONTINUE, answer(completion())))
        received = server.received[0]
        received.headers["host"] = "the port differs"
        return attempt, received

    attempt, received = met()
    monkeypatch.setattr(post, "KNOWN_VERSIONS", frozenset())
    by_session, received_of_session = met()
    assert received == received_of_session
    assert attempt.reply == by_session.reply
    assert attempt.verdict.action is Action.ACCEPT


def test_after_a_stale_connection_none_is_kept() -> None:
    """A request that follows a dropped one says that its connection is to be closed, and has a new one."""

    async def main() -> tuple[list[Attempt], Server]:
        async def play(server: Server, received: Received, writer: asyncio.StreamWriter) -> bool:
            if len(server.received) > 1:
                writer.write(answer(completion()))
                await writer.drain()
            return len(server.received) > 1

        async with serving(play) as server, client(server.url) as ours:
            return [await ours.send(request()) for _ in range(3)], server

    attempts, server = asyncio.run(main())
    assert [attempt.verdict.action for attempt in attempts] == [Action.RETRY, Action.ACCEPT, Action.ACCEPT]
    assert [received.headers.get("connection") for received in server.received] == [None, "close", None]
    assert server.connections == 3


def test_a_connection_with_unsent_bytes_is_not_used_again() -> None:
    """A server that answers before it has read the body: what is left of that must not come before the next request."""
    large = "x" * (8 << 20)

    async def main() -> tuple[list[Attempt], int]:
        bodies = []
        connections = 0

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            while head := await reader.readuntil(b"\r\n\r\n"):
                assert head.startswith(b"POST /")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                if length < len(large):
                    bodies.append(await reader.readexactly(length))
                writer.write(answer(completion()))
                await writer.drain()

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, client(f"http://127.0.0.1:{port}/v1/chat/completions") as ours:
            attempts = [await ours.send(request(text)) for text in (large, "short", "shorter")]
        assert [body for body in bodies if not body.startswith(b'{"model"')] == []
        return attempts, connections

    attempts, connections = asyncio.run(main())
    assert [attempt.verdict.action for attempt in attempts] == [Action.ACCEPT] * 3
    assert connections == 2


def test_what_came_unasked_is_no_answer() -> None:
    """A server that says more on an idle connection (408 before it closes, an answer twice): not the next one's."""

    async def main() -> list[Attempt]:
        async def play(server: Server, received: Received, writer: asyncio.StreamWriter) -> bool:
            writer.write(answer(completion(f"answer {len(server.received)}")))
            await writer.drain()
            await asyncio.sleep(0.02)
            writer.write(answer(completion("unasked")))
            await writer.drain()
            return True

        async with serving(play) as server, client(server.url) as ours:
            first = await ours.send(request())
            await asyncio.sleep(0.1)
            return [first, await ours.send(request())]

    texts = [attempt.reply and attempt.reply.text for attempt in asyncio.run(main())]
    assert texts == ["answer 1", "answer 2"]
