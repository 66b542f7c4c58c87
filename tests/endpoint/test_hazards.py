"""The table of what providers say, once more through a real socket; and what only a real connection shows."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from batchchat.core.attempt import Action, Attempt
from tests.endpoint.server import Received, Server, answer, client, completion, met, request, sends, serving
from tests.endpoint.test_verdicts import TABLE, text_of


def test_every_documented_response_is_judged_the_same_on_the_wire() -> None:
    """Status, headers and body of each row of the table, sent by a server, come out as the table says."""
    left = iter(TABLE)

    async def play(server: Server, received: Received, writer: asyncio.StreamWriter) -> bool:
        status, headers, body, _ = next(left)
        writer.write(answer(text_of(body), status, *(f"{name}: {value}" for name, value in headers.items())))
        await writer.drain()
        return True

    async def main() -> list[Attempt]:
        async with serving(play) as server, client(server.url) as ours:
            return [await ours.send(request()) for _ in TABLE]

    for attempt, (status, _, body, expected) in zip(asyncio.run(main()), TABLE, strict=True):
        verdict = attempt.verdict
        found = (verdict.kind, verdict.action, verdict.scope, verdict.billed, verdict.wait_s)
        assert found == expected, (status, body)
        assert attempt.http_status == status


def test_an_idle_connection_is_kept_alive_by_the_kernel() -> None:
    """The socket that a pooled connection really has probes its peer, so a NAT that forgot it is noticed."""

    async def main() -> list[int]:
        async with serving(sends(answer(completion()))) as server, client(server.url) as ours:
            await ours.send(request())
            connector: Any = ours._sessions[0].connector
            ((pooled, _),) = next(iter(connector._conns.values()))
            real = pooled.transport.get_extra_info("socket")
            wanted = ((socket.SOL_SOCKET, socket.SO_KEEPALIVE), (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE))
            return [real.getsockopt(*option) for option in wanted]

    assert asyncio.run(main()) == [1, 30]


def test_blank_lines_for_a_while_are_no_failure() -> None:
    """A server that keeps a connection alive with blank lines up to just before the timeout is heard to its end."""
    body = b"\n" * 30
    whole = answer(completion())
    head, _, json_bytes = whole.partition(b"\r\n\r\n")
    head = b"\r\n".join(line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length"))
    lines = [bytes([byte]) for byte in body]
    attempt = met(sends(head + b"\r\n\r\n", *lines, json_bytes, stays=False, pause_s=0.02), total_s=30)
    assert attempt.verdict.action is Action.ACCEPT
    assert attempt.latency_s > 0.6


def test_connections_that_a_middlebox_dropped_are_replaced() -> None:
    """After a reset of all of them new ones are made; a request that still met an old one may go again at once."""
    writers: list[asyncio.StreamWriter] = []

    async def play(server: Server, received: Received, writer: asyncio.StreamWriter) -> bool:
        writers.append(writer)
        writer.write(answer(completion()))
        await writer.drain()
        return True

    async def main() -> tuple[list[Attempt], Attempt, int]:
        async with serving(play) as server, client(server.url) as ours:
            await asyncio.gather(*(ours.send(request()) for _ in range(8)))
            before = server.connections
            for writer in writers:
                writer.transport.abort()
            again = await asyncio.gather(*(ours.send(request()) for _ in range(8)))
            return again, await ours.send(request()), server.connections - before

    again, last, new = asyncio.run(main())
    assert last.verdict.action is Action.ACCEPT
    assert new > 0
    assert all(attempt.verdict.action is Action.ACCEPT or attempt.verdict.instant for attempt in again)
