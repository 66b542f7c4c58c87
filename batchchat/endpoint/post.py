"""A POST to one URL, and its response: over the connections of an aiohttp session, without what that does for each.

A session makes the headers of each request anew, sends its body in a task of its own, sets a timer and looks for
cookies, redirects and traces: of its 270 µs of CPU a request 190 are spent on that. Here what stands before a body is
written once. The pool, TLS, the parser and the reader are aiohttp's.

What is used of a connection is documented but for its `protocol`. So with another version of aiohttp than those that
were looked at the session sends; and so it does through a proxy, which changes the request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

import aiohttp
from aiohttp.http import HttpProcessingError
from yarl import URL

from batchchat.endpoint.deadlines import Deadline, Deadlines

__all__ = ["KNOWN_VERSIONS", "MAX_HEADERS", "MAX_HEADER_BYTES", "PostSender", "Response"]

MAX_HEADER_BYTES = 64 << 10
MAX_HEADERS = 1024
KNOWN_VERSIONS = frozenset({"3.13", "3.14"})
"""The versions of aiohttp whose protocol of a connection is used here."""

_MAX_UNASKED = 1000
"""Connections given up in a row: a server may say something on each before it is asked."""
_INFORMATIONAL = range(100, 200)
_SWITCHING_PROTOCOLS = 101


class Response(Protocol):
    """A response whose body is to be read; those of an aiohttp session are of this form too."""

    @property
    def status(self) -> int:
        """The HTTP status."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, by their names in any case."""

    @property
    def content(self) -> aiohttp.StreamReader:
        """The body."""

    def release(self) -> Any:
        """Give the connection back; it is closed where the body was not read to its end."""


class PostSender:
    """Sends bodies to `url` with the headers of `session` and over its connections.

    A request may take the total of the session's timeout, its response with the body included. Use it inside one event
    loop.
    """

    def __init__(self, session: aiohttp.ClientSession, url: URL, *, proxied: bool) -> None:
        self._session = session
        self._url = url
        self._direct: _Direct | None = None
        if not proxied and aiohttp.__version__.rpartition(".")[0] in KNOWN_VERSIONS:
            self._direct = _Direct(session, url)

    async def __call__(self, data: bytes) -> Response:
        """The response to a POST of `data`, to be released. Raises what aiohttp raises."""
        if self._direct is None:
            return await self._session.post(self._url, data=data, allow_redirects=False)
        return await self._direct.post(data)


class _Direct:
    """Writes to connections of the session's pool, and lets their protocol parse what comes."""

    def __init__(self, session: aiohttp.ClientSession, url: URL) -> None:
        connector = session.connector
        assert connector is not None
        self._connect: Any = connector.connect
        self._timeout = session.timeout
        self._deadlines = Deadlines(session.timeout.total)
        # Says where to connect; and has the headers that a session would send.
        self._request = aiohttp.ClientRequest(
            "POST", url, headers=session.headers, loop=asyncio.get_running_loop(), session=session
        )
        headers = self._request.headers
        headers.popall("Content-Length", None)
        if connector.force_close:
            headers["Connection"] = "close"
        lines = [f"POST {url.raw_path_qs} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        self._head = "\r\n".join([*lines, "Content-Length: "]).encode()

    async def post(self, data: bytes) -> Response:
        """The response to a POST of `data`."""
        deadline, connection = self._deadlines.begin(), None
        try:
            with deadline:
                connection = await self._connected()
                message, content = await self._exchange(connection, deadline, data)
        except BaseException:
            deadline.forget()
            if connection is not None:
                connection.close()
            raise
        return _DirectResponse(message, content, connection, deadline)

    async def _connected(self) -> Any:
        """A connection over which nothing has come that could be taken for the response."""
        connection: Any = None
        try:
            for _ in range(_MAX_UNASKED):
                connection = await self._connect(self._request, [], self._timeout)
                protocol = connection.protocol
                # One that was closed says so when it is read.
                if not protocol.should_close or not protocol.is_connected():
                    break
                connection.close()
            else:
                raise aiohttp.ClientConnectionError("the server sends before it is asked")
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError(f"Connection timeout to host {self._request.url}") from error
        return connection

    async def _exchange(self, connection: Any, deadline: Deadline, data: bytes) -> tuple[Any, aiohttp.StreamReader]:
        """The head of the response, and its body to be read."""
        protocol, transport = connection.protocol, connection.transport
        protocol.set_response_params(
            timer=deadline,
            read_until_eof=True,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            max_headers=MAX_HEADERS,
        )
        if transport is not None:  # else it was closed at once, and reading raises why
            transport.writelines((b"%b%d\r\n\r\n" % (self._head, len(data)), data))
        try:
            while True:
                message, content = await protocol.read()
                if message.code not in _INFORMATIONAL or message.code == _SWITCHING_PROTOCOLS:
                    return message, content
        except HttpProcessingError as error:
            raise aiohttp.ClientResponseError(
                self._request.request_info, (), status=error.code, message=error.message, headers=error.headers
            ) from error


class _DirectResponse:
    """The response that came over `connection`."""

    __slots__ = ("_connection", "_deadline", "content", "headers", "status")

    def __init__(self, message: Any, content: aiohttp.StreamReader, connection: Any, deadline: Deadline) -> None:
        self.status: int = message.code
        self.headers: Mapping[str, str] = message.headers
        self.content = content
        self._connection = connection
        self._deadline = deadline

    def release(self) -> None:
        """Give the connection back. It is closed where the body was not read, or the request not sent, to the end."""
        self._deadline.forget()
        transport = self._connection.transport
        if transport is not None and transport.get_write_buffer_size():
            self._connection.close()
        else:
            self._connection.release()
