"""The one user of aiohttp: a request in, an attempt out. It never raises for what an endpoint or a network does.

Timeouts are explicit, and the pool never makes a request wait. Redirects are not followed. A body is read up to a cap.
Secrets are blanked out of each response before anything else sees it.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar
from urllib.parse import urlsplit, urlunsplit

import aiohttp
from yarl import URL

from batchchat import lossless_json
from batchchat.core.attempt import Action, Attempt, Billed, Cost, Failure, Reply, Request, Scope, Usage, Verdict
from batchchat.core.conversation import ErrorKind
from batchchat.endpoint import verdicts, wire
from batchchat.endpoint.billing import read_costs
from batchchat.endpoint.model_list import read_listing
from batchchat.endpoint.network import Proxy, keepalive_socket
from batchchat.endpoint.quota import Allowance, read_allowance, read_quota
from batchchat.errors import UsageError
from batchchat.pricing.cost import Pricing
from batchchat.pricing.rates import ListedModel
from batchchat.secret import Redactor, Secret

__all__ = ["BODY_CAP", "Client", "Endpoint", "allowance_url", "completions_url", "costs_url", "models_url"]

Asked = TypeVar("Asked")

BODY_CAP = 64 << 20
"""Bytes of one response. A reply of 16,384 tokens is about 100 KB; this is for servers gone mad."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where and how to send; times in seconds. With `keep_raw` attempts hold the body as it came."""

    url: str
    headers: Mapping[str, Secret]
    total_s: float
    connect_s: float
    proxy: Proxy | None = None
    tls: ssl.SSLContext | None = None
    keep_raw: bool = False
    models_url: str = ""


def completions_url(base_url: str) -> str:
    """The chat completions address of a base URL; a query (Azure's `api-version`) stays behind it."""
    parts = urlsplit(base_url)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/chat/completions"))


def allowance_url(base_url: str) -> str:
    """Where DeepInfra, and who answers like it, says what an account may do at once: beside its `/v1`."""
    return _beside_v1(base_url, "me/rate_limit")


def costs_url(base_url: str) -> str:
    """Where the same endpoints say what they billed."""
    return _beside_v1(base_url, "request-costs")


def _beside_v1(base_url: str, name: str) -> str:
    parts = urlsplit(base_url)
    head, found, _ = parts.path.rpartition("/v1")
    return urlunsplit(parts._replace(path=f"{head if found else ''}/v1/{name}", query=""))


def models_url(base_url: str) -> str:
    """The list of models of a base URL; a query stays behind it."""
    parts = urlsplit(base_url)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/models"))


def _verdict(kind: ErrorKind, action: Action, scope: Scope, billed: Billed, *, instant: bool = False) -> Verdict:
    return Verdict(action, scope, billed, kind, instant=instant)


_UNREACHED = _verdict(ErrorKind.CONNECTION, Action.RETRY, Scope.ENDPOINT, Billed.NO)
_DROPPED = _verdict(ErrorKind.CONNECTION, Action.RETRY, Scope.ROW, Billed.MAYBE, instant=True)
_TIMED_OUT = _verdict(ErrorKind.TIMEOUT, Action.RETRY, Scope.ROW, Billed.MAYBE)
_NOT_HTTP = _verdict(ErrorKind.BAD_RESPONSE, Action.RETRY, Scope.ROW, Billed.MAYBE)
_NOT_TRUSTED = _verdict(ErrorKind.CONNECTION, Action.RETRY_IF_ANSWERED, Scope.ROW, Billed.NO)
_TOO_LARGE = _verdict(ErrorKind.TOO_LARGE, Action.FAIL_ROW, Scope.ROW, Billed.YES)

# The first that the exception is an instance of; aiohttp's classes stand before the OSErrors they derive from.
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


_ASK_S = 10.0
"""The longest that a run waits to be told its allowance."""
_OK, _REDIRECT, _BAD_REQUEST, _SERVER_ERROR = 200, 300, 400, 500


class _TooLargeError(Exception):
    """The body passed the cap."""


class Client:
    """Use as `async with Client(...) as client: attempt = await client.send(request)`.

    `learn` is given the endpoint's list of models, which is asked for once, with the first answer that tells no cost.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        blanker: Redactor,
        pricing: Pricing,
        learn: Callable[[Mapping[str, ListedModel]], None] | None = None,
    ) -> None:
        self._learn = learn
        self._learning: asyncio.Task[None] | None = None
        self._endpoint = endpoint
        self._blanker = blanker
        self._pricing = pricing
        self._url = URL(endpoint.url)
        self._host = self._url.host or ""
        self._session: aiohttp.ClientSession | None = None
        self._check()

    async def __aenter__(self) -> Self:
        endpoint = self._endpoint
        connector = aiohttp.TCPConnector(
            # The gate is the limit; a pool that waits would do so on the attempt's own time.
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
        """One attempt at `request`, whatever comes of it."""
        assert self._session is not None
        started_at, start = time.time(), time.perf_counter()
        response: aiohttp.ClientResponse | None = None
        raw: str | None = None
        try:
            async with self._session.post(self._url, data=request.body, allow_redirects=False) as response:
                body = self._blanker.redact_bytes(await _read(response))
        except aiohttp.ClientPayloadError:
            assert response is not None
            answer = self._judge(response.status, response.headers, b"", complete=False)
        except _TooLargeError:
            answer = _Answer(_TOO_LARGE, Failure(ErrorKind.TOO_LARGE, f"the response passes {BODY_CAP >> 20} MiB"))
        except (aiohttp.ClientError, OSError) as error:
            answer = self._broken(error)
        else:
            answer = self._judge(response.status, response.headers, body, complete=True, asked=request.model)
            raw = body.decode("utf-8", "surrogateescape") if self._endpoint.keep_raw else None
        latency_s = time.perf_counter() - start
        if self._learn is not None and answer.reply is not None and answer.usage is not None:
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

    async def allowance(self, url: str) -> Allowance | str:
        """What the account may do at once, asked at `url`; or why that is not known, in a few words of ours."""
        return await self._asked(url, read_allowance)

    async def listing(self) -> dict[str, ListedModel] | str:
        """What the endpoint's list of models says of each; or why that is not known."""
        return await self._asked(self._endpoint.models_url, read_listing)

    async def billed(self, url: str, ids: Sequence[str]) -> list[Decimal | None] | str:
        """What was billed for each response id, in USD, None where the endpoint knows nothing of it; or why not."""
        return await self._asked(
            url, lambda payload: read_costs(payload, ids), lossless_json.dumps({"requestIds": ids})
        )

    async def _with_cost(self, answer: _Answer, request: Request) -> _Answer:
        """The answer with its cost by the endpoint's list, where it told none itself."""
        assert answer.usage is not None
        if answer.usage.cost_usd is not None:
            return answer
        if self._learning is None:
            self._learning = asyncio.create_task(self._ask_to_learn())
        await asyncio.shield(self._learning)
        return answer._replace(cost=self._pricing(answer.usage, request.model, answer.reply))

    async def _ask_to_learn(self) -> None:
        found, learn = await self.listing(), self._learn
        if learn is not None and not isinstance(found, str):
            learn(found)
        self._learn = None

    async def _asked(self, url: str, read: Callable[[Any], Asked | None], body: bytes | None = None) -> Asked | str:
        """What `read` makes of the JSON that is answered to a GET, or a POST of `body`; or why there is none."""
        assert self._session is not None
        timeout = aiohttp.ClientTimeout(total=_ASK_S)
        try:
            method = "GET" if body is None else "POST"
            asked = self._session.request(method, url, data=body, timeout=timeout, allow_redirects=False)
            async with asked as response:
                data = await _read(response)
        except TimeoutError:
            return f"no answer within {_ASK_S:g} s"
        except (aiohttp.ClientError, OSError, _TooLargeError):
            return "no answer"
        if response.status != _OK:
            return f"HTTP {response.status}"
        try:
            found = read(lossless_json.loads_lenient(data))
        except ValueError:
            found = None
        return "an answer of another kind" if found is None else found

    def _judge(
        self, status: int, headers: Mapping[str, str], body: bytes, *, complete: bool, asked: str = ""
    ) -> _Answer:
        try:
            payload = lossless_json.loads_lenient(body)
        except ValueError:
            payload = None
        if not _OK <= status < _REDIRECT:
            error = verdicts.read_error(payload, body)
            if _REDIRECT <= status < _BAD_REQUEST:
                location = self._blanker.redact(headers.get("location", "nowhere"))
                error = verdicts.ErrorBody(f"HTTP {status}, a redirect to {location}", frozenset())
            return _Answer(*verdicts.judge_error(status, headers, error))
        if not isinstance(payload, dict):
            return _Answer(*verdicts.judge_unreadable(body, complete=complete))
        usage = wire.read_usage(payload)
        reply = wire.read_reply(payload)
        cost = None if usage is None else self._pricing(usage, asked, reply)
        if payload.get("error") and (reply is None or not verdicts.answers(reply)):  # OpenRouter: an error inside a 200
            error = verdicts.read_error(payload, body)
            return _paid(*verdicts.judge_error(error.status or _SERVER_ERROR, headers, error), usage, cost)
        if reply is None:
            return _paid(*verdicts.judge_unreadable(body, complete=True), usage, cost)
        return _Answer(*verdicts.judge_reply(reply), reply, usage, cost)

    def _check(self) -> None:
        """What would break each request is refused before the first: the encoders raise no error of aiohttp's."""
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

    def _broken(self, error: BaseException) -> _Answer:
        verdict, words = next((verdict, words) for kind, verdict, words in _FAILURES if isinstance(error, kind))
        endpoint = self._endpoint
        text = words.format(
            host=error.host if isinstance(error, aiohttp.ClientConnectorDNSError) else self._host,
            error=_words(error),
            proxy=endpoint.proxy.host if endpoint.proxy else "",
            connect_s=endpoint.connect_s,
            total_s=endpoint.total_s,
        )
        assert verdict.kind is not None
        return _Answer(verdict, Failure(verdict.kind, verdicts.shorten(self._blanker.redact(text))))


class _Answer(NamedTuple):
    verdict: Verdict
    failure: Failure | None
    reply: Reply | None = None
    usage: Usage | None = None
    cost: Cost | None = None


def _paid(verdict: Verdict, failure: Failure, usage: Usage | None, cost: Cost | None) -> _Answer:
    """A failure that came with what it cost; then it is not a question whether it was billed."""
    if cost is not None and cost.usd > 0:
        verdict = replace(verdict, billed=Billed.YES)
    return _Answer(verdict, failure, None, usage, cost)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The body, of at most `BODY_CAP` bytes however it is framed or compressed."""
    length = response.content_length
    if length is not None and "Content-Encoding" not in response.headers:
        if length > BODY_CAP:
            raise _TooLargeError
        return await response.read()
    parts, size = [], 0
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > BODY_CAP:
            raise _TooLargeError
    return b"".join(parts)


def _words(error: BaseException) -> str:
    """What an exception says, without the object dump aiohttp puts around it."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        refusal = error.certificate_error
        return getattr(refusal, "verify_message", "") or str(refusal)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"{error.status} {error.message}"
    if isinstance(error, aiohttp.ClientResponseError):
        return error.message  # its status is of aiohttp's making
    inner: object = getattr(error, "os_error", error)
    if isinstance(inner, ssl.SSLError):
        # aiohttp's own SSL errors are SSLErrors that lack what those have.
        reason: str | None = getattr(inner, "reason", None)
        return reason.replace("_", " ").lower() if reason else str(inner)
    if isinstance(inner, OSError) and inner.errno:
        return os.strerror(inner.errno)
    return str(inner) or type(inner).__name__
