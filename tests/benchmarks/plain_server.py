"""The endpoint of the benchmark where there is no nginx: the same paths and replies as nginx.lua, in Python.

Costs about as much CPU a request as the bare loop, so that figures taken with it are coarser.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import cast

import uvloop

from tests.benchmarks.rows import KINDS, VARIETY, replies, stream


class Server:
    """What the connections share: replies, and the count of requests."""

    def __init__(self) -> None:
        self._replies = {kind: replies(kind) for kind in KINDS}
        self._stream = _http(b"text/event-stream", stream())
        self._count = 0
        self._first_at = 0.0
        self._waiting = self._most = 0

    def answer(self, path: str) -> tuple[float, bytes]:
        """Seconds to wait, and the HTTP response then."""
        if path == "/stats":
            counts = self._count, self._first_at, self._most
            return 0, _http(b"application/json", b'{"requests": %d, "first": %f, "most": %d}' % counts)
        if path == "/reset":
            self._count = self._most = 0
            self._first_at = 0.0
            return 0, _http(b"text/plain", b"")
        parts = path.split("/")
        if len(parts) != 5 or parts[1] not in {*KINDS, "stream"}:
            return 0, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
        number, self._count = self._count, self._count + 1
        self._first_at = self._first_at or time.time()
        wait_s = int(parts[2]) / 1000
        if wait_s:
            self._waiting += 1
            self._most = max(self._most, self._waiting)
        if parts[1] == "stream":
            return wait_s, self._stream
        reply = self._replies[parts[1]][number % VARIETY]
        return wait_s, _http(b"application/json", b"%b%012x%b" % (reply.head, number, reply.tail))

    def answered(self) -> None:
        """One that waited has its answer."""
        self._waiting -= 1


def _http(kind: bytes, data: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (kind, len(data), data)


class Connection(asyncio.Protocol):
    """Reads Content-Length, waits for the body, answers; requests may come in any pieces."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._data = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._data[:end]).lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r", 1)[0]) if at >= 0 else 0
            if len(self._data) < end + 4 + length:
                return
            del self._data[: end + 4 + length]
            wait_s, response = self._server.answer(head.split(b" ", 2)[1].decode())
            if wait_s:
                asyncio.get_running_loop().call_later(wait_s, self._answer, response)
            else:
                self._transport.write(response)

    def _answer(self, response: bytes) -> None:
        self._server.answered()
        self._transport.write(response)


async def serve(port: int) -> None:
    """Listen on loopback."""
    shared = Server()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(shared), "127.0.0.1", port, backlog=8192)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
