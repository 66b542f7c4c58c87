"""The endpoint of the benchmark: as little work a request as possible, so that it is not what is measured.

Prints its port, then answers every POST with one 2 KB chat completion, until it is ended.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import orjson
import uvloop

REPLY_BYTES = 2000


def response() -> bytes:
    """One HTTP response of a chat completion whose body is about 2 KB."""
    message = {"role": "assistant", "content": ""}
    body = {
        "id": "chatcmpl-benchmark",
        "object": "chat.completion",
        "created": 1715688169,
        "model": "benchmark",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 170, "completion_tokens": 400, "total_tokens": 570, "estimated_cost": 0.00035493},
    }
    words = "the quick brown fox jumps over the lazy dog and says so in plain words; " * 40
    message["content"] = words[: REPLY_BYTES - len(orjson.dumps(body))]
    data = orjson.dumps(body)
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(data), data)


class Endpoint(asyncio.Protocol):
    """Reads Content-Length, waits for the body, answers; requests may come in any pieces."""

    RESPONSE = response()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._data = b""

    def data_received(self, data: bytes) -> None:
        self._data = self._data + data if self._data else data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            at = self._data[:end].lower().find(b"content-length:")
            length = int(self._data[at + 15 : self._data.find(b"\r", at)])
            if len(self._data) < end + 4 + length:
                return
            self._data = self._data[end + 4 + length :]
            self._transport.write(self.RESPONSE)


async def serve() -> None:
    """Listen on a free port of loopback."""
    server = await asyncio.get_running_loop().create_server(Endpoint, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())
