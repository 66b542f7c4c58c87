"""A scripted web server on loopback with one file: it may break replies off, have no ranges, or replace the file."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Web", "web_server"]


class Web:
    """What the server has and does; `requests` are the headers of each that came.

    `script` has what to do with the next requests: None answers, a number breaks the reply off after so many bytes, a
    text is the status of a refusal.
    """

    def __init__(self) -> None:
        self.content = b""
        self.etag: str | None = '"v1"'
        self.ranges = True
        self.script: list[int | str | None] = []
        self.before: Callable[[], None] = lambda: None
        self.requests: list[dict[str, str]] = []
        self.port = 0

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}"

    @property
    def ranges_asked(self) -> list[str]:
        return [request.get("range", "") for request in self.requests]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    web: Web

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        web = self.web
        web.requests.append({name.lower(): value for name, value in self.headers.items()} | {"path": self.path})
        web.before()
        step = web.script.pop(0) if web.script else None
        if isinstance(step, str):
            self.send_response(int(step))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        asked = self.headers.get("If-Match")
        if asked is not None and asked != web.etag:
            self.send_response(412)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = self._part()
        if body is None:
            return
        self.end_headers()
        with suppress(OSError):  # a reader may go away
            self.wfile.write(body[:step])
            if step is not None:
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True

    def _part(self) -> bytes | None:
        web, wanted = self.web, self.headers.get("Range")
        body, total = web.content, len(web.content)
        if web.ranges and wanted is not None:
            start, end = (int(number) for number in wanted.removeprefix("bytes=").split("-"))
            if start >= total:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{total}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return None
            body = body[start : end + 1]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{start + len(body) - 1}/{total}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        if web.etag is not None:
            self.send_header("ETag", web.etag)
        return body


@contextmanager
def web_server() -> Iterator[Web]:
    """A server that runs until the end of the block."""
    web = Web()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"web": web}))
    server.daemon_threads = True
    web.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
