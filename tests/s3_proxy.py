"""A proxy before an S3 server, which counts requests and does something at one of them, such as killing the client."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

__all__ = ["Proxy", "proxy_of"]

MOMENTS = ("before", "amid", "after")
"""When it acts: the server has seen nothing of the request, half of its body, or all of it, and its answer is lost."""


class Proxy:
    """Passes requests on; once, at the first one of whose number and line `when` is true, it calls `act`.

    It does so at one of `MOMENTS`. What it calls may raise `ConnectionError`, to close the connection. `refuses` gives
    the status that a request is answered by instead.
    """

    def __init__(self, server: str) -> None:
        self._server = urlsplit(server)
        self._lock = threading.Lock()
        self.reset()
        self.refuses: Callable[[str], int | None] = lambda _line: None
        self.drops_headers: set[str] = set()
        self.endpoint = ""

    def reset(
        self,
        when: Callable[[int, str], bool] = lambda _number, _line: False,
        moment: str = "before",
        act: Callable[[], None] = lambda: None,
    ) -> None:
        """Count from 0 again, and act as these say."""
        self.requests: list[str] = []
        self._when, self._moment, self._act = when, moment, act
        self.acted = False

    def _moment_of(self, line: str) -> str:
        """When to act at the request `line`, which is counted; "" where not at all."""
        with self._lock:
            number = len(self.requests)
            self.requests.append(line)
            if self.acted or not self._when(number, line):
                return ""
            self.acted = True
            return self._moment

    def serve(self, request: BaseHTTPRequestHandler) -> None:
        """Pass on one request."""
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        line = f"{request.command} {request.path}"
        moment = self._moment_of(line)
        if moment == "before":
            self._act()
        if (status := self.refuses(line)) is not None:
            self._answer(request, status, {}, b"<Error><Code>Refused</Code></Error>")
            return
        connection = http.client.HTTPConnection(self._server.hostname or "", self._server.port or 0)
        connection.putrequest(request.command, request.path, skip_host=True, skip_accept_encoding=True)
        for name, value in request.headers.items():
            if name.lower() not in self.drops_headers:
                connection.putheader(name, value)
        connection.endheaders()
        if moment == "amid":
            connection.send(body[: len(body) // 2])
            connection.close()
            self._act()
        connection.send(body)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        if moment == "after":
            self._act()
        self._answer(request, response.status, dict(response.getheaders()), content)

    @staticmethod
    def _answer(request: BaseHTTPRequestHandler, status: int, headers: dict[str, str], content: bytes) -> None:
        request.send_response(status)
        is_head = request.command == "HEAD"
        for name, value in headers.items():
            if name.lower() not in {"connection", "transfer-encoding", "date", "server"} | (
                set() if is_head else {"content-length"}
            ):
                request.send_header(name, value)
        if not is_head and status not in {204, 304}:
            request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        if not is_head:
            request.wfile.write(content)


@contextmanager
def proxy_of(server: str) -> Iterator[Proxy]:
    """A proxy before the server at the URL `server`."""
    proxy = Proxy(server)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            with suppress(ConnectionError):
                super().handle_one_request()
                return
            self.close_connection = True

        def do_GET(self) -> None:
            proxy.serve(self)

        do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815 (the names that http.server looks for)

        def log_message(self, *_args: Any) -> None: ...

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    thread = threading.Thread(target=httpd.serve_forever, args=(0.05,))
    thread.start()
    proxy.endpoint = f"http://127.0.0.1:{httpd.server_address[1]}"
    try:
        yield proxy
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()
