"""A request in, an attempt out. It never raises for what an endpoint or a network does.

Timeouts are explicit, and the pool never makes a request wait. Redirects are not followed. A body is read up to a
maximum size. Secrets are redacted in each response before anything else reads it.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import aiohttp
from yarl import URL

from batchchat.core.attempt import Attempt, Billed, Failure, Request
from batchchat.core.conversation import ErrorKind, Key
from batchchat.endpoint import lookups, verdicts
from batchchat.endpoint.body import NO_BODY, Body, ReceivedBody, read_body
from batchchat.endpoint.file_parts import FilePartSender, Files, names_files
from batchchat.endpoint.judged_response import JudgedResponse, judge_response, raw_to_keep
from batchchat.endpoint.lookups import ModelListLearner
from batchchat.endpoint.network import Proxy, keepalive_socket
from batchchat.endpoint.network_failures import TOO_LARGE, describe, is_undecodable, judge_network_error
from batchchat.endpoint.post import MAX_HEADER_BYTES, MAX_HEADERS, PostSender, Response
from batchchat.endpoint.quota import Allowance, read_quota
from batchchat.endpoint.reading import BodyTooLargeError, OpenBody, ReadingMemory, read_bytes
from batchchat.endpoint.unavailable import Unavailable
from batchchat.errors import UsageError
from batchchat.pricing.cost import Pricing
from batchchat.pricing.rates import ListedModel
from batchchat.secret import Redactor, Secret

if TYPE_CHECKING:
    from batchchat.endpoint.stream import StreamSender

__all__ = ["MAX_BODY_BYTES", "Client", "Endpoint"]

MAX_BODY_BYTES = 64 << 20
"""A response larger than this fails. A reply of 16,384 tokens is about 100 KB; the limit is for defective servers."""


class Endpoint(NamedTuple):
    """Where and how to send; times in seconds. With `keep_raw` an attempt has the body as received.

    With `stream` replies are asked for as streams, and joined. `files` reads local files that messages name.
    """

    url: str
    headers: Mapping[str, Secret]
    total_s: float
    connect_s: float
    proxy: Proxy | None = None
    tls: ssl.SSLContext | None = None
    keep_raw: bool = False
    models_url: str = ""
    stream: bool = False
    files: Files | None = None


_MAX_REMEMBERED = 10_000
_NOTHING_RECEIVED = ReceivedBody(NO_BODY)
_BEFORE_LIST = ("reported", "job")  # the sources of a cost that the endpoint's list does not change


class Client:
    """Use as `async with Client(...) as client: attempt = await client.send(request)`.

    `on_model_list` is called with the endpoint's list of models, which is fetched after the first reply that reports no
    cost, and again where that failed. A response of more than `max_body_bytes` is given up; `memory` bounds all
    of them together, those of other clients with the same one included.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        redactor: Redactor,
        pricing: Pricing,
        on_model_list: Callable[[Mapping[str, ListedModel]], None] | None = None,
        *,
        max_body_bytes: int = MAX_BODY_BYTES,
        memory: ReadingMemory | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._redactor = redactor
        self._pricing = pricing
        self._max_body_bytes = max_body_bytes
        self.memory = ReadingMemory() if memory is None else memory
        self._streamed: StreamSender | None = None
        if endpoint.stream:
            from batchchat.endpoint.stream import StreamSender, read_stream

            self._streamed, self._read_stream = StreamSender(self._send), read_stream
        self._with_files = None if endpoint.files is None else FilePartSender(endpoint.files, self._send_body)
        self._url = URL(endpoint.url)
        self._host = self._url.host or ""
        self._sessions: list[aiohttp.ClientSession] = []
        self._model_list = (
            None if on_model_list is None else ModelListLearner(self.listing, on_model_list, time.monotonic)
        )
        # The rows whose last attempt met a closed connection: the next is made on a new one, since the others in the
        # pool may have been closed with it.
        self._dropped: set[Key] = set()
        self._check()

    async def __aenter__(self) -> Self:
        # Below the shortest idle timeout in use (uvicorn's 5 s is met by the instant retry).
        pooled = self._connector(keepalive_timeout=30.0)
        self._sessions = [self._new_session(pooled), self._new_session(self._connector(force_close=True))]
        proxied = self._endpoint.proxy is not None
        self._pooled, self._unpooled = (PostSender(session, self._url, proxied=proxied) for session in self._sessions)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._model_list is not None:
            await self._model_list.close()
        for session in self._sessions:
            await session.close()

    def _connector(self, **options: Any) -> aiohttp.TCPConnector:
        return aiohttp.TCPConnector(
            # The gate is the limit; waiting for a pooled connection would count towards the attempt's timeout.
            limit=0,
            ssl=self._endpoint.tls if self._endpoint.tls is not None else True,
            socket_factory=keepalive_socket,
            **options,
        )

    def _new_session(self, connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
        endpoint = self._endpoint
        accept = "text/event-stream, application/json" if endpoint.stream else "application/json"
        headers = {"Content-Type": "application/json", "Accept": accept}
        headers |= {name: value.reveal() for name, value in endpoint.headers.items()}
        return aiohttp.ClientSession(
            connector=connector,
            headers=headers,
            timeout=aiohttp.ClientTimeout(
                total=endpoint.total_s, connect=endpoint.connect_s, sock_connect=endpoint.connect_s
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=endpoint.proxy.url.reveal() if endpoint.proxy else None,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            max_headers=MAX_HEADERS,
        )

    @property
    def _lookup_session(self) -> aiohttp.ClientSession:
        """The session that makes a connection for each request."""
        return self._sessions[1]

    def _sender_for(self, key: Key) -> PostSender:
        """The sender over pooled connections, or after a stale one the sender over new ones."""
        if self._dropped and key in self._dropped:
            self._dropped.discard(key)
            return self._unpooled
        return self._pooled

    async def send(self, request: Request) -> Attempt:
        """Send `request` once; the attempt says how it ended, with a reply or a failure."""
        if self._with_files is not None and names_files(request):
            return await self._with_files(request)
        return await self._send_body(request)

    async def _send_body(self, request: Request) -> Attempt:
        if self._streamed is not None:
            return await self._streamed(request)
        return await self._send(request, request.body)

    async def _send(self, request: Request, data: bytes) -> Attempt:
        """Send `data`, the body of `request`."""
        started_at, start = time.time(), time.perf_counter()
        response: Response | None = None
        received, reader = _NOTHING_RECEIVED, object()
        try:
            response = await self._sender_for(request.key)(data)
            try:
                received = await self._receive(response, reader)
            finally:
                response.release()
            answer = self._judge(response, received.body, received.broken, request.model)
        except BodyTooLargeError:
            answer = JudgedResponse(
                TOO_LARGE,
                Failure(ErrorKind.TOO_LARGE, f"the response is larger than {self._max_body_bytes >> 20} MiB"),
            )
        except (aiohttp.ClientError, OSError) as error:
            answer = self._network_failure(error)
        finally:
            self.memory.release(reader)
        if answer.verdict.instant and len(self._dropped) < _MAX_REMEMBERED:
            self._dropped.add(request.key)
        latency_s = time.perf_counter() - start
        status = None if response is None else response.status
        raw = raw_to_keep(status, received.body, answer, all_of_it=self._endpoint.keep_raw)
        streamed, first_token_at, received = received.body.streamed, received.first_token_at, _NOTHING_RECEIVED
        if self._model_list is not None and answer.reply is not None and answer.usage is not None:
            answer = await self._with_cost(self._model_list, answer, request)
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
            streamed,
            None if first_token_at is None else first_token_at - start,
        )

    async def _receive(self, response: Response, reader: object) -> ReceivedBody:
        """The body of `response`, with what it broke off with."""
        if self._streamed is not None:
            return await self._read_stream(
                OpenBody(response, self._max_body_bytes, self.memory, reader), self._redactor
            )
        data, broken = await read_bytes(response, self._max_body_bytes, self.memory, reader)
        content_type = response.headers.get("Content-Type", "")
        return ReceivedBody(read_body(data, content_type, self._redactor, complete=broken is None), broken)

    def _judge(self, response: Response, body: Body, broken: BaseException | None, model: str) -> JudgedResponse:
        """Judge `response` by its `body`, or by what it `broken` off with where that holds no reply."""
        answer = judge_response(
            response.status, response.headers, body, self._pricing, self._redactor, model_requested=model
        )
        if broken is None or answer.reply is not None:
            return answer
        if isinstance(broken, aiohttp.ClientPayloadError) and not is_undecodable(broken):
            return answer
        failure = self._network_failure(broken)
        if answer.verdict.billed is not Billed.YES:
            return failure
        # A stream that reported its usage before it broke off
        verdict = failure.verdict._replace(billed=Billed.YES)
        return failure._replace(verdict=verdict, usage=answer.usage, cost=answer.cost)

    async def _with_cost(self, models: ModelListLearner, answer: JudgedResponse, request: Request) -> JudgedResponse:
        """`answer` with its cost computed from the endpoint's list, where neither response nor job have one."""
        assert answer.usage is not None
        if models.done or (answer.cost is not None and answer.cost.source in _BEFORE_LIST):
            return answer
        await models.needed()
        return answer._replace(cost=self._pricing(answer.usage, request.model, answer.reply))

    async def allowance(self, url: str) -> Allowance | Unavailable:
        """What the account may do at once, from `url`."""
        return await lookups.allowance(self._lookup_session, url, self._max_body_bytes)

    async def listing(self, *, once: bool = False) -> dict[str, ListedModel] | Unavailable:
        """The endpoint's list of models, by id; asked for again where that failed, if not `once`."""
        return await lookups.listing(self._lookup_session, self._endpoint.models_url, self._max_body_bytes, once=once)

    async def billed(self, url: str, ids: Sequence[str]) -> list[Decimal | None] | Unavailable:
        """What was billed for each response id, in USD, from `url`; None for an id that the endpoint does not know."""
        return await lookups.billed(self._lookup_session, url, ids, self._max_body_bytes)

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
        verdict, template = judge_network_error(error)
        endpoint = self._endpoint
        text = template.format(
            host=error.host if isinstance(error, aiohttp.ClientConnectorDNSError) else self._host,
            port=self._url.port,
            error=describe(error),
            proxy=endpoint.proxy.host if endpoint.proxy else "",
            connect_s=endpoint.connect_s,
            total_s=endpoint.total_s,
            max_header_kib=MAX_HEADER_BYTES >> 10,
        )
        assert verdict.kind is not None
        return JudgedResponse(verdict, Failure(verdict.kind, verdicts.one_line(self._redactor.redact(text))))
