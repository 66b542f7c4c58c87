"""The one user of aiohttp: a request in, an attempt out. It never raises for what an endpoint or a network does.

Timeouts are explicit, and the pool never makes a request wait. Redirects are not followed. A body is read up to a
maximum size. Secrets are redacted in each response before anything else reads it.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp
from yarl import URL

from batchchat import lossless_json
from batchchat.core.attempt import Action, Attempt, Billed, Failure, Request, Scope, Verdict
from batchchat.core.conversation import ErrorKind
from batchchat.endpoint import verdicts
from batchchat.endpoint.billing import read_costs
from batchchat.endpoint.judged_response import JudgedResponse, judge_response
from batchchat.endpoint.model_list import read_listing
from batchchat.endpoint.network import Proxy, keepalive_socket
from batchchat.endpoint.quota import Allowance, read_allowance, read_quota
from batchchat.endpoint.unavailable import Unavailable
from batchchat.errors import UsageError
from batchchat.pricing.cost import Pricing
from batchchat.pricing.rates import ListedModel
from batchchat.secret import Redactor, Secret

__all__ = ["MAX_BODY_BYTES", "Client", "Endpoint"]

Answer = TypeVar("Answer")

MAX_BODY_BYTES = 64 << 20
"""A response larger than this fails. A reply of 16,384 tokens is about 100 KB; the limit is for defective servers."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where and how to send; times in seconds. With `keep_raw` an attempt has the body as received."""

    url: str
    headers: Mapping[str, Secret]
    total_s: float
    connect_s: float
    proxy: Proxy | None = None
    tls: ssl.SSLContext | None = None
    keep_raw: bool = False
    models_url: str = ""


def _verdict(kind: ErrorKind, action: Action, scope: Scope, billed: Billed, *, instant: bool = False) -> Verdict:
    return Verdict(action, scope, billed, kind, instant=instant)


_UNREACHED = _verdict(ErrorKind.CONNECTION, Action.RETRY, Scope.ENDPOINT, Billed.NO)
_DROPPED = _verdict(ErrorKind.CONNECTION, Action.RETRY, Scope.ROW, Billed.MAYBE, instant=True)
_TIMED_OUT = _verdict(ErrorKind.TIMEOUT, Action.RETRY, Scope.ROW, Billed.MAYBE)
_NOT_HTTP = _verdict(ErrorKind.BAD_RESPONSE, Action.RETRY, Scope.ROW, Billed.MAYBE)
_NOT_TRUSTED = _verdict(ErrorKind.CONNECTION, Action.RETRY_IF_ANSWERED, Scope.ROW, Billed.NO)
_TOO_LARGE = _verdict(ErrorKind.TOO_LARGE, Action.FAIL_ROW, Scope.ROW, Billed.YES)

# The first class that the exception is an instance of wins; aiohttp's classes precede the OSErrors they derive from.
_FAILURES: tuple[tuple[type[BaseException], Verdict, str], ...] = (
    (aiohttp.ClientConnectorCertificateError, _NOT_TRUSTED, "the certificate of {host} is not trusted: {error}"),
    (aiohttp.ClientConnectorSSLError, _NOT_TRUSTED, "no TLS connection to {host}: {error}"),
    (aiohttp.ClientConnectorDNSError, _UNREACHED, "{host} does not resolve"),
    (aiohttp.ClientProxyConnectionError, _UNREACHED, "the proxy {proxy} can't be reached: {error}"),
    (aiohttp.ClientHttpProxyError, _UNREACHED, "the proxy {proxy} refuses to connect to {host}: {error}"),
    (aiohttp.ClientConnectorError, _UNREACHED, "{host} can't be reached: {error}"),
    (aiohttp.ConnectionTimeoutError, _UNREACHED, "no connection to {host} within {connect_s:g} s"),
    (aiohttp.ServerDisconnectedError, _DROPPED, "{host} closed the connection without an answer"),
    (aiohttp.ClientResponseError, _NOT_HTTP, "{host} answered with something that is not HTTP: {error}"),
    (TimeoutError, _TIMED_OUT, "no answer within {total_s:g} s"),
    (aiohttp.ClientOSError, _DROPPED, "the connection to {host} broke: {error}"),
    (OSError, _DROPPED, "the connection to {host} broke: {error}"),
    (aiohttp.ClientError, _NOT_HTTP, "{error}"),
)


_LOOKUP_S = 10.0
"""How long a run waits at most for limits, a list of models or a bill."""
_OK, _TOO_MANY_REQUESTS, _SERVER_ERROR = 200, 429, 500


class _TooLargeError(Exception):
    """The body is larger than the maximum."""


class Client:
    """Use as `async with Client(...) as client: attempt = await client.send(request)`.

    `on_model_list` is called with the endpoint's list of models, which is fetched once, after the first reply that
    reports no cost. A response of more than `max_body_bytes` is given up.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        redactor: Redactor,
        pricing: Pricing,
        on_model_list: Callable[[Mapping[str, ListedModel]], None] | None = None,
        *,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        self._on_model_list = on_model_list
        self._model_list: asyncio.Task[None] | None = None
        self._max_body_bytes = max_body_bytes
        self._endpoint = endpoint
        self._redactor = redactor
        self._pricing = pricing
        self._url = URL(endpoint.url)
        self._host = self._url.host or ""
        self._session: aiohttp.ClientSession | None = None
        self._check()

    async def __aenter__(self) -> Self:
        endpoint = self._endpoint
        connector = aiohttp.TCPConnector(
            # The gate is the limit; waiting for a pooled connection would count towards the attempt's timeout.
            limit=0,
            ssl=endpoint.tls if endpoint.tls is not None else True,
            socket_factory=keepalive_socket,
            # Below the shortest idle timeout in use (uvicorn's 5 s is met by the instant retry).
            keepalive_timeout=30.0,
        )
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        headers |= {name: value.reveal() for name, value in endpoint.headers.items()}
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers=headers,
            timeout=aiohttp.ClientTimeout(
                total=endpoint.total_s, connect=endpoint.connect_s, sock_connect=endpoint.connect_s
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=endpoint.proxy.url.reveal() if endpoint.proxy else None,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(self, request: Request) -> Attempt:
        """Send `request` once; the attempt says how it ended, with a reply or a failure."""
        assert self._session is not None
        started_at, start = time.time(), time.perf_counter()
        response: aiohttp.ClientResponse | None = None
        raw: str | None = None
        try:
            async with self._session.post(self._url, data=request.body, allow_redirects=False) as response:
                body = self._redactor.redact_bytes(await _read(response, self._max_body_bytes))
        except aiohttp.ClientPayloadError:
            assert response is not None
            answer = judge_response(
                response.status, response.headers, b"", self._pricing, self._redactor, complete=False
            )
        except _TooLargeError:
            answer = JudgedResponse(
                _TOO_LARGE,
                Failure(ErrorKind.TOO_LARGE, f"the response is larger than {self._max_body_bytes >> 20} MiB"),
            )
        except (aiohttp.ClientError, OSError) as error:
            answer = self._network_failure(error)
        else:
            answer = judge_response(
                response.status,
                response.headers,
                body,
                self._pricing,
                self._redactor,
                complete=True,
                model_requested=request.model,
            )
            raw = body.decode("utf-8", "surrogateescape") if self._endpoint.keep_raw else None
        latency_s = time.perf_counter() - start
        if self._on_model_list is not None and answer.reply is not None and answer.usage is not None:
            answer = await self._with_cost(answer, request)
        status = None if response is None else response.status
        return Attempt(
            request,
            answer.verdict,
            started_at,
            started_at + latency_s,
            latency_s,
            status,
            answer.reply,
            answer.failure,
            answer.usage,
            answer.cost,
            raw,
            None if response is None else read_quota(response.headers),
        )

    async def allowance(self, url: str) -> Allowance | Unavailable:
        """What the account may do at once, from `url`."""
        return await self._look_up(url, read_allowance)

    async def listing(self) -> dict[str, ListedModel] | Unavailable:
        """The endpoint's list of models, by id."""
        return await self._look_up(self._endpoint.models_url, read_listing)

    async def billed(self, url: str, ids: Sequence[str]) -> list[Decimal | None] | Unavailable:
        """What was billed for each response id, in USD, from `url`; None for an id that the endpoint does not know."""
        body = lossless_json.dumps({"requestIds": ids})
        return await self._look_up(url, lambda payload: read_costs(payload, ids), body)

    async def _with_cost(self, answer: JudgedResponse, request: Request) -> JudgedResponse:
        """`answer` with its cost computed from the endpoint's list, where the response reports none."""
        assert answer.usage is not None
        if answer.usage.cost_usd is not None:
            return answer
        if self._model_list is None:
            self._model_list = asyncio.create_task(self._fetch_model_list())
        await asyncio.shield(self._model_list)
        return answer._replace(cost=self._pricing(answer.usage, request.model, answer.reply))

    async def _fetch_model_list(self) -> None:
        models, on_model_list = await self.listing(), self._on_model_list
        if on_model_list is not None and not isinstance(models, Unavailable):
            on_model_list(models)
        self._on_model_list = None

    async def _look_up(
        self, url: str, read: Callable[[Any], Answer | None], body: bytes | None = None
    ) -> Answer | Unavailable:
        """The JSON that a GET of `url` (a POST, given a `body`) returns, as `read` reads it; or why there is none.

        `read` returns None for a payload of another form.
        """
        assert self._session is not None
        timeout = aiohttp.ClientTimeout(total=_LOOKUP_S)
        method = "GET" if body is None else "POST"
        try:
            sending = self._session.request(method, url, data=body, timeout=timeout, allow_redirects=False)
            async with sending as response:
                data = await _read(response, self._max_body_bytes)
        except TimeoutError:
            return Unavailable(f"no response within {_LOOKUP_S:g} s", None, retryable=True)
        except (aiohttp.ClientError, OSError, _TooLargeError):
            return Unavailable("no response", None, retryable=True)
        status = response.status
        if status != _OK:
            retryable = status == _TOO_MANY_REQUESTS or _SERVER_ERROR <= status < _SERVER_ERROR + 100
            return Unavailable(f"HTTP {status}", status, retryable)
        try:
            answer = read(lossless_json.loads_lenient(data))
        except ValueError:
            answer = None
        return Unavailable("an unexpected response", status, retryable=False) if answer is None else answer

    def _check(self) -> None:
        """Refuse before the first request what would break each of them: encoders raise no error of aiohttp's."""
        try:
            (self._url.raw_host or "").encode("idna")
        except UnicodeError as error:
            raise UsageError(f"`endpoint.base_url` has no valid host name: {self._host}.") from error
        for name, value in self._endpoint.headers.items():
            try:
                value.reveal().encode()
            except UnicodeEncodeError:
                raise UsageError(
                    f"`endpoint.headers.{name}` can't be sent: it is not valid UTF-8 (the value is not shown)."
                ) from None

    def _network_failure(self, error: BaseException) -> JudgedResponse:
        verdict, template = next(
            (verdict, template) for kind, verdict, template in _FAILURES if isinstance(error, kind)
        )
        endpoint = self._endpoint
        text = template.format(
            host=error.host if isinstance(error, aiohttp.ClientConnectorDNSError) else self._host,
            error=_describe(error),
            proxy=endpoint.proxy.host if endpoint.proxy else "",
            connect_s=endpoint.connect_s,
            total_s=endpoint.total_s,
        )
        assert verdict.kind is not None
        return JudgedResponse(verdict, Failure(verdict.kind, verdicts.one_line(self._redactor.redact(text))))


async def _read(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    """The body, of at most `max_bytes` however it is framed or compressed. Raises `_TooLargeError`."""
    length = response.content_length
    if length is not None and "Content-Encoding" not in response.headers:
        if length > max_bytes:
            raise _TooLargeError
        return await response.read()
    parts, size = [], 0
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > max_bytes:
            raise _TooLargeError
    return b"".join(parts)


def _describe(error: BaseException) -> str:
    """The message of `error`, without the object dump that aiohttp puts around it."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        refusal = error.certificate_error
        return getattr(refusal, "verify_message", "") or str(refusal)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"{error.status} {error.message}"
    if isinstance(error, aiohttp.ClientResponseError):
        return error.message  # aiohttp made its status up
    inner: object = getattr(error, "os_error", error)
    if isinstance(inner, ssl.SSLError):
        # aiohttp's own SSL errors are SSLErrors that lack what those have.
        reason: str | None = getattr(inner, "reason", None)
        return reason.replace("_", " ").lower() if reason else str(inner)
    if isinstance(inner, OSError) and inner.errno:
        return os.strerror(inner.errno)
    return str(inner) or type(inner).__name__
