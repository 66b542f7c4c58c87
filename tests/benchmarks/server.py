"""The endpoint of the benchmark: as little work a request as possible, so that it is not what is measured.

Prints its port, then answers every POST with one 2 KB chat completion, until it is ended. Where a stream is asked for,
the same text comes in 400 chunks.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any, cast

import orjson
import uvloop

REPLY_BYTES, CHUNKS = 2000, 400


def completion() -> dict[str, Any]:
    """A chat completion whose body is about 2 KB."""
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
    return body


def response() -> bytes:
    """The HTTP response of the completion."""
    return _http(b"application/json", orjson.dumps(completion()))


def stream() -> bytes:
    """The HTTP response of the same text as a stream."""
    body = completion()
    (choice,) = body.pop("choices")
    usage, text = body.pop("usage"), choice["message"]["content"]
    size = len(text) // CHUNKS + 1
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    choices = [{"index": 0, "delta": {"content": piece}, "finish_reason": None} for piece in pieces]
    chunks = [{**body, "choices": [choice]} for choice in choices]
    chunks.append({**body, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": usage})
    events = [b"data: %b\n\n" % orjson.dumps(chunk) for chunk in chunks]
    return _http(b"text/event-stream", b"".join([*events, b"data: [DONE]\n\n"]))


def _http(kind: bytes, data: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (kind, len(data), data)


class Endpoint(asyncio.Protocol):
    """Reads Content-Length, waits for the body, answers; requests may come in any pieces."""

    RESPONSE, STREAM = response(), stream()

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
            streams = b'"stream":true' in self._data[: end + 4 + length]
            self._data = self._data[end + 4 + length :]
            self._transport.write(self.STREAM if streams else self.RESPONSE)


async def serve() -> None:
    """Listen on a free port of loopback."""
    server = await asyncio.get_running_loop().create_server(Endpoint, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())
