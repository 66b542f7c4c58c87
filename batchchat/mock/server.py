"""The endpoint: aiohttp in front, the pure parts behind.

Rules: a request is checked in the order key, body, fault 429, gate, latency, other faults. An answer is billed
once its latency has passed, before the first byte is sent; a client that disconnects earlier pays nothing and
frees its slot. Answers are written inside the handler, so the ledger is complete before the client can read it.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from hmac import compare_digest
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from batchchat.mock.bodies import chunks, completion, event, model_entry, model_list, request_costs, response_id
from batchchat.mock.chance import uniform
from batchchat.mock.faults import BAD_JSON, OVERLOADED, UNBILLED_ANSWERS, draw_fault
from batchchat.mock.gate import SlotGate
from batchchat.mock.ledger import CLIENT_GONE, DROPPED, BillingLedger
from batchchat.mock.replies import MockReply, empty_reply, reply_to
from batchchat.mock.request import MockRequest, RefusedRequest, check_model, parse_request, parse_request_ids

if TYPE_CHECKING:
    from batchchat.mock.options import MockOptions

__all__ = ["MockServer"]

PREFIXES = ("/v1/openai", "/v1")
DEEPINFRA_IN_FLIGHT = 200  # its limit of requests in flight for each model
MAX_BODY_BYTES = 64 << 20
BACKLOG = 4096  # a bench connects a thousand clients at once; the default of 128 makes them wait for SYN retries
STOP_S = 0.05
JSON = "application/json"
GARBAGE = b'<html>\x00\xff{"id": not JSON'

Sent = tuple[str, web.StreamResponse]  # how the request ended, and the response for aiohttp


class MockServer:
    """One server; `start` and `stop` it within one event loop, or use it as `async with server as url`."""

    def __init__(self, options: MockOptions) -> None:
        self._options = options
        self._ledger = BillingLedger()
        self._gate = SlotGate(options.max_concurrent, options.rate_limit, time.monotonic)
        self._runner: web.AppRunner | None = None

    @property
    def stats(self) -> dict[str, Any]:
        """The body of GET /stats."""
        now = {"in_flight": self._gate.in_flight, "max_in_flight": self._gate.max_in_flight}
        return {**self._ledger.figures(), **now}

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listen; port 0 picks a free one.

        Returns the root, such as `http://127.0.0.1:43121`. Raises `OSError`.
        """
        if self._runner is not None:
            raise RuntimeError("the mock server is already running")
        runner = web.AppRunner(self._application(), access_log=None, handler_cancellation=True, shutdown_timeout=STOP_S)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port, backlog=BACKLOG).start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        bound = runner.addresses[0][1]
        return f"http://[{host}]:{bound}" if ":" in host else f"http://{host}:{bound}"

    async def stop(self) -> None:
        """Stop listening and close all connections. Does nothing if the server is not running."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def __aenter__(self) -> str:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def __repr__(self) -> str:
        return f"MockServer({self._options!r})"

    def _application(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        for prefix in PREFIXES:
            app.router.add_post(f"{prefix}/chat/completions", self._chat)
            app.router.add_get(f"{prefix}/models", self._models)
            app.router.add_get(f"{prefix}/models/{{id:.+}}", self._model)
        app.router.add_get("/v1/me/rate_limit", self._rate_limit)
        app.router.add_post("/v1/request-costs", self._request_costs)
        app.router.add_get("/stats", self._stats)
        app.router.add_route("*", "/{path:.*}", _not_found)
        return app

    async def _stats(self, _: web.Request) -> web.Response:
        return _json(200, self.stats)

    async def _models(self, http: web.Request) -> web.Response:
        try:
            self._authorize(http)
        except RefusedRequest as refused:
            return _refusal(refused)
        return _json(200, model_list(self._options.context_length))

    async def _model(self, http: web.Request) -> web.Response:
        model = http.match_info["id"]
        try:
            self._authorize(http)
            check_model(model)
        except RefusedRequest as refused:
            return _refusal(refused)
        return _json(200, model_entry(model, self._options.context_length))

    async def _rate_limit(self, http: web.Request) -> web.Response:
        try:
            self._authorize(http)
        except RefusedRequest as refused:
            return _refusal(refused)
        options = self._options
        in_flight = options.max_concurrent or DEEPINFRA_IN_FLIGHT
        return _json(200, {"rate_limit": in_flight, "tpm_rate_limit": options.tpm_rate_limit})

    async def _request_costs(self, http: web.Request) -> web.Response:
        try:
            self._authorize(http)
            ids = parse_request_ids(await _read(http))
        except RefusedRequest as refused:
            return _refusal(refused)
        return _json(200, request_costs(ids, self._options.seed, self._ledger.arrivals))

    async def _chat(self, http: web.Request) -> web.StreamResponse:
        arrival = self._ledger.arrive()
        outcome = CLIENT_GONE
        response: web.StreamResponse = web.Response()
        try:
            try:
                outcome, response = await self._answer(http, arrival)
            except RefusedRequest as refused:
                outcome, response = await _send(http, _refusal(refused))
                if http.content.exception() is not None:
                    # aiohttp would read on in the broken body, and log the same failure as a defect.
                    http.protocol.force_close()
        except ConnectionError:
            pass  # the client disconnected while it was written to
        finally:
            self._ledger.end(outcome)
        return response

    async def _answer(self, http: web.Request, arrival: int) -> Sent:
        """Answer one request. Raises `RefusedRequest` for one that gets no answer."""
        options = self._options
        self._authorize(http)
        request = parse_request(await _read(http), options.context_length, options.refused_formats)
        json_request = request.content if request.json_schema is not None else None
        fault = draw_fault(options.faults, options.seed, arrival, json_request)
        if fault == "429":
            raise RefusedRequest(429, OVERLOADED)
        self._gate.enter()
        try:
            delay_s = self._delay_s(request, arrival) + (options.slow_s if fault == "slow" else 0.0)
            if delay_s > 0:
                await asyncio.sleep(delay_s)
            if fault in UNBILLED_ANSWERS:
                return await _send_unbilled(http, request, *UNBILLED_ANSWERS[fault])
            if fault == "drop":
                return _hang_up(http)
            return await self._deliver(http, request, arrival, fault)
        finally:
            self._gate.leave()

    async def _deliver(self, http: web.Request, request: MockRequest, arrival: int, fault: str | None) -> Sent:
        """Bill the answer and send it, whole or changed by `fault`."""
        options = self._options
        if fault == "empty":
            reply = empty_reply(request)
        else:
            reply = reply_to(request, options.seed, options.reply_tokens, bad_json=fault == BAD_JSON)
        reply = self._priced(reply, request, arrival)
        cost = reply.usage.cost_nano_usd
        self._ledger.bill(request.identity, cost)
        if fault == "drop-after":
            return _hang_up(http)
        id_ = response_id(options.seed, arrival, cost)
        deliver = _deliver_stream if request.stream else _deliver_plain
        sent = await deliver(http, request, reply, id_, fault)
        if fault not in ("truncate", "garbage"):
            self._ledger.report(cost, has_text=bool(reply.text))
        return sent

    def _delay_s(self, request: MockRequest, arrival: int) -> float:
        options = self._options
        if not options.latency_jitter_s:
            return options.latency_s
        share = uniform("latency", options.seed, arrival, request.content)
        return options.latency_s + options.latency_jitter_s * share

    def _priced(self, reply: MockReply, request: MockRequest, arrival: int) -> MockReply:
        """`reply` with its cost at the share of the price that is drawn for this arrival."""
        low, high = self._options.price_share
        if low == high == 1.0:
            return reply
        share = low + (high - low) * uniform("price", self._options.seed, arrival, request.content)
        usage = reply.usage
        return replace(reply, usage=replace(usage, cost_nano_usd=int(usage.cost_nano_usd * share)))

    def _authorize(self, http: web.Request) -> None:
        key = self._options.api_key
        if key is None:
            return
        authorization = http.headers.get("Authorization", "")
        # As bytes: compare_digest takes no str beyond ASCII, and a header may hold anything.
        if not compare_digest(authorization.encode(errors="surrogateescape"), f"Bearer {key}".encode()):
            raise RefusedRequest(401, {"detail": "Unauthorized"})


async def _read(http: web.Request) -> bytes:
    """The body, uncompressed. Raises `RefusedRequest` for one that is too large or can't be decoded."""
    try:
        return await http.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise RefusedRequest(413, {"detail": error.reason}) from None
    except web.RequestPayloadError:
        undecodable = {"error": {"message": "The body can't be decoded"}}
        raise RefusedRequest(400, undecodable, {"Connection": "close"}) from None


async def _deliver_plain(
    http: web.Request, request: MockRequest, reply: MockReply, id_: str, fault: str | None
) -> Sent:
    body = completion(reply, request.model, id_, int(time.time()))
    if fault == "garbage":
        body = GARBAGE
    if fault != "truncate":
        return await _send(http, web.Response(body=body, content_type=JSON))
    response = web.StreamResponse(headers={"Content-Type": JSON, "Content-Length": str(len(body))})
    await response.prepare(http)
    await response.write(body[: len(body) // 2])
    _hang_up(http)
    return "200", response


async def _deliver_stream(
    http: web.Request, request: MockRequest, reply: MockReply, id_: str, fault: str | None
) -> Sent:
    response = _event_stream()
    await response.prepare(http)
    events = chunks(reply, request.model, id_, int(time.time()), include_usage=request.include_usage)
    if fault == "truncate":
        whole = b"".join(events)
        await response.write(whole[: len(whole) // 2])
        _hang_up(http)
        return "200", response
    if fault == "garbage":
        await response.write(b"data: " + GARBAGE + b"\n\n")
    else:
        for chunk in events:
            await response.write(chunk)
    await response.write_eof()
    return "200", response


async def _send_unbilled(http: web.Request, request: MockRequest, status: int, body: dict[str, Any]) -> Sent:
    if not (request.stream and status == 200):  # noqa: PLR2004 - HTTP's own number
        return await _send(http, _json(status, body))
    response = _event_stream()
    await response.prepare(http)
    await response.write(event(body))
    await response.write_eof()
    return "200", response


async def _send(http: web.Request, response: web.Response) -> Sent:
    """Write the whole answer now; aiohttp sees that it is sent and writes nothing."""
    await response.prepare(http)
    await response.write_eof()
    return str(response.status), response


def _hang_up(http: web.Request) -> Sent:
    """Close the connection once what was written is flushed.

    The response that aiohttp is given then can't be written; it takes that for a disconnected client, and logs nothing.
    """
    if http.transport is not None:
        http.transport.close()
    return DROPPED, web.Response()


def _event_stream() -> web.StreamResponse:
    return web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})


def _refusal(refused: RefusedRequest) -> web.Response:
    return _json(refused.status, refused.body, refused.headers)


def _json(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, headers=headers, content_type=JSON)


async def _not_found(_: web.Request) -> web.Response:
    return _json(404, {"detail": "Not Found"})
