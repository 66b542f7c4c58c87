from __future__ import annotations

import asyncio
import gzip
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from batchchat.mock import Fault, MockOptions, MockServer
from batchchat.mock.request import parse_request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

CHAT = "/v1/openai/chat/completions"
HI = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
STREAM = {**HI, "stream": True, "stream_options": {"include_usage": True}}


@asynccontextmanager
async def talking(options: MockOptions) -> AsyncIterator[tuple[MockServer, aiohttp.ClientSession]]:
    server = MockServer(options)
    async with server as url, aiohttp.ClientSession(url) as session:
        yield server, session


async def ask(session: aiohttp.ClientSession, body: Any = HI, **more: Any) -> tuple[int, bytes]:
    async with session.post(CHAT, json=body, **more) as response:
        return response.status, await response.read()


def faulty(kind: str) -> MockOptions:
    return MockOptions(faults=(Fault(kind, 1),))


async def once(options: MockOptions, body: Any = HI) -> tuple[int, Any, dict[str, Any]]:
    """Status and JSON of one request, and the books after it."""
    async with talking(options) as (server, session):
        status, raw = await ask(session, body)
        return status, orjson.loads(raw), server.stats


async def broken(options: MockOptions, body: Any = HI) -> tuple[Exception, dict[str, Any]]:
    """The client's error of one request, and the books after it."""
    async with talking(options) as (server, session):
        with pytest.raises(aiohttp.ClientError) as error:
            await ask(session, body)
        await settled(server)
        return error.value, server.stats


async def settled(server: MockServer) -> None:
    """Wait until no request is being handled."""
    async with asyncio.timeout(3):
        # The books tell by their state alone; an event in the server would serve nothing but this.
        while sum(server.stats["statuses"].values()) < server.stats["requests"]:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def test_both_paths_and_the_books() -> None:
    """Both paths answer, and GET /stats is the property."""

    async def scenario() -> None:
        async with talking(MockOptions()) as (server, session):
            for path in (CHAT, "/v1/chat/completions"):
                async with session.post(path, json=HI) as response:
                    assert response.status == 200
                    assert response.content_type == "application/json"
            async with session.get("/stats") as response:
                stats = await response.json()
            assert stats == server.stats
            assert stats["statuses"] == {"200": 2}
            assert (stats["billed_rows"], stats["billed_twice"], stats["in_flight"]) == (1, 1, 0)

    asyncio.run(scenario())


def test_models_are_listed_and_fetched() -> None:
    """Both paths list models and give one by its id; an unknown one, or an unknown path, is a 404 in JSON."""

    async def scenario() -> None:
        async with talking(MockOptions(context_length=8192)) as (_, session):
            for prefix in ("/v1/openai/models", "/v1/models"):
                async with session.get(prefix) as response:
                    models = (await response.json())["data"]
                async with session.get(f"{prefix}/{models[0]['id']}") as response:
                    assert await response.json() == models[0]
                    assert models[0]["metadata"]["context_length"] == 8192
                async with session.get(f"{prefix}/no-such") as response:
                    assert response.status == 404
            async with session.get("/v2") as response:
                assert (response.status, await response.json()) == (404, {"detail": "Not Found"})

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("options", "limits"),
    [
        (MockOptions(), {"rate_limit": 200, "tpm_rate_limit": None}),
        (MockOptions(max_concurrent=7, tpm_rate_limit=90_000), {"rate_limit": 7, "tpm_rate_limit": 90_000}),
    ],
)
def test_limits_are_told(options: MockOptions, limits: dict[str, int | None]) -> None:
    """The account's limits are what the options say, 200 in flight where they say nothing."""

    async def scenario() -> None:
        async with talking(options) as (_, session), session.get("/v1/me/rate_limit") as response:
            assert (response.status, await response.json()) == (200, limits)

    asyncio.run(scenario())


def test_costs_afterwards() -> None:
    """What an answer cost can be asked for by its id, streamed or not; together that is what the books have."""

    async def scenario() -> None:
        async with talking(MockOptions(seed=3)) as (server, session):
            plain = orjson.loads((await ask(session))[1])
            events = (await ask(session, STREAM))[1].decode().split("\n\n")
            streamed = [orjson.loads(event.removeprefix("data: ")) for event in events[:-2]]
            assert len({chunk["id"] for chunk in streamed}) == 1
            usages = (plain["usage"], streamed[-1]["usage"])
            costs = [int(Decimal(repr(usage["estimated_cost"])).scaleb(9)) for usage in usages]
            ids = [streamed[0]["id"], "chatcmpl-other", plain["id"]]
            async with session.post("/v1/request-costs", json={"requestIds": ids}) as response:
                assert response.status == 200
                found = (await response.json())["requests"]
            wanted = dict(zip((plain["id"], streamed[0]["id"]), costs, strict=True))
            assert found == [{"requestId": id_, "costNanoUsd": wanted.get(id_)} for id_ in ids]
            assert Decimal(sum(costs)).scaleb(-9) == Decimal(server.stats["cost_usd"])
            assert server.stats["requests"] == 2

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("body", "status", "place"),
    [
        (b"{", 400, None),
        (b"[]", 422, ["body"]),
        (b"{}", 422, ["body", "requestIds"]),
        (b'{"requestIds":"x"}', 422, ["body", "requestIds"]),
        (b'{"requestIds":["x",7]}', 422, ["body", "requestIds", 1]),
        (orjson.dumps({"requestIds": ["x"] * 10_001}), 422, ["body", "requestIds"]),
        (b'{"requestIds":[]}', 200, None),
    ],
)
def test_what_is_no_list_of_ids(body: bytes, status: int, place: list[Any] | None) -> None:
    """Costs asked for by anything but a list of texts are refused with the place of what is wrong."""

    async def scenario() -> None:
        async with talking(MockOptions()) as (_, session), session.post("/v1/request-costs", data=body) as response:
            assert response.status == status
            answer = await response.json()
        assert (answer["detail"][0]["loc"] if status == 422 else None) == place

    asyncio.run(scenario())


def test_the_key_guards_all_but_stats() -> None:
    """Without the right bearer every path is a 401, except the books."""

    async def scenario() -> None:
        async with talking(MockOptions(api_key="kéy")) as (server, session):
            for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "kéy"}):
                for path in ("/v1/models", "/v1/openai/models/m", "/v1/me/rate_limit"):
                    async with session.get(path, headers=headers) as response:
                        assert response.status == 401
                async with session.post("/v1/request-costs", json={"requestIds": []}, headers=headers) as response:
                    assert (response.status, await response.json()) == (401, {"detail": "Unauthorized"})
                status, raw = await ask(session, headers=headers)
                assert (status, orjson.loads(raw)) == (401, {"detail": "Unauthorized"})
            assert (await ask(session, headers={"Authorization": "Bearer kéy"}))[0] == 200
            async with session.get("/stats") as response:
                assert response.status == 200
            assert server.stats["statuses"] == {"200": 1, "401": 3}

    asyncio.run(scenario())


def test_bodies_of_every_coding(caplog: pytest.LogCaptureFixture) -> None:
    """A gzip body is read; a broken one is a 400, one too large a 413, and the server lives on."""

    async def scenario() -> None:
        async with talking(MockOptions()) as (server, session):
            headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
            packed = gzip.compress(orjson.dumps(HI))
            for data, expected in ((packed, 200), (b"no gzip at all", 400)):
                async with session.post(CHAT, data=data, headers=headers) as response:
                    assert response.status == expected
            async with session.post(CHAT, data=b"{") as response:
                assert response.status == 400
            bomb = gzip.compress(b" " * (65 << 20))
            async with session.post(CHAT, data=bomb, headers=headers) as response:
                assert response.status == 413
            assert (await ask(session))[0] == 200
            assert server.stats["statuses"] == {"200": 2, "400": 2, "413": 1}

    asyncio.run(scenario())
    assert not [record for record in caplog.records if record.name.startswith("aiohttp")]


QUESTIONS = st.lists(st.text(max_size=40), min_size=1, max_size=8)


@settings(max_examples=15)
@given(QUESTIONS, st.integers(0, 3))
def test_two_servers_answer_alike(questions: list[str], seed: int) -> None:
    """Two servers of one seed give the same replies and usage, in whatever order they are asked."""

    async def replies(order: list[str]) -> dict[str, Any]:
        async with talking(MockOptions(seed=seed)) as (_, session):
            found = {}
            for question in order:
                body = {"messages": [{"role": "user", "content": question}], "model": "m"}
                answer = orjson.loads((await ask(session, body))[1])
                found[question] = (answer["choices"], answer["usage"])
            return found

    assert asyncio.run(replies(questions)) == asyncio.run(replies(questions[::-1]))


def test_the_books_are_exact_under_concurrency() -> None:
    """Of 300 requests at once, 100 asked twice, every sum and count is exact."""

    async def scenario() -> None:
        async with talking(MockOptions(latency_s=0.05, latency_jitter_s=0.05)) as (server, session):
            bodies = [{**HI, "user": str(number % 200)} for number in range(300)]
            answers = await asyncio.gather(*(ask(session, body) for body in bodies))
            costs = [Decimal(repr(orjson.loads(raw)["usage"]["estimated_cost"])) for _, raw in answers]
            stats = server.stats
            assert Decimal(stats["cost_usd"]) == sum(costs)
            assert stats["cost_usd"] == stats["answered_cost_usd"] == stats["reported_cost_usd"]
            assert (stats["requests"], stats["billed_rows"], stats["billed_twice"]) == (300, 200, 100)
            assert stats["max_in_flight"] == 100  # aiohttp's pool holds no more
            assert len({orjson.loads(raw)["id"] for _, raw in answers}) == 300

    asyncio.run(scenario())


def test_above_the_ceiling_is_429() -> None:
    """Requests beyond max_concurrent are refused at once, unbilled, and the ceiling is never passed."""

    async def scenario() -> None:
        async with talking(MockOptions(latency_s=0.2, max_concurrent=3)) as (server, session):
            answers = await asyncio.gather(*(ask(session, {**HI, "user": str(n)}) for n in range(10)))
            assert sorted(status for status, _ in answers) == [200] * 3 + [429] * 7
            assert orjson.loads(next(raw for status, raw in answers if status == 429)) == {
                "error": {
                    "message": "Model busy, retry later",
                    "type": "invalid_request_error",
                    "code": "engine_overloaded",
                }
            }
            assert (server.stats["max_in_flight"], server.stats["billed_rows"]) == (3, 3)

    asyncio.run(scenario())


def test_above_the_rate_is_429_with_retry_after() -> None:
    """The request over the rate is told when to come back."""

    async def scenario() -> None:
        async with talking(MockOptions(rate_limit=2)) as (_, session):
            statuses = []
            for _ in range(3):
                async with session.post(CHAT, json=HI) as response:
                    statuses.append((response.status, response.headers.get("Retry-After")))
            assert statuses == [(200, None), (200, None), (429, "30")]

    asyncio.run(scenario())


@pytest.mark.parametrize("body", [HI, STREAM])
def test_a_client_that_leaves_frees_its_slot(body: Any) -> None:
    """A client that hangs up while it waits is neither billed nor counted in flight any more."""

    async def scenario() -> None:
        async with talking(MockOptions(latency_s=30, max_concurrent=1)) as (server, session):
            with pytest.raises(TimeoutError):
                await ask(session, body, timeout=aiohttp.ClientTimeout(total=0.1))
            await settled(server)
            stats = server.stats
            assert (stats["in_flight"], stats["billed_rows"], stats["statuses"]) == (0, 0, {"client_gone": 1})

    asyncio.run(scenario())


def test_stopping_is_quick() -> None:
    """Stopping does not wait for a slow answer; the server can be started again, and stopped twice."""

    async def scenario() -> None:
        server = MockServer(MockOptions(latency_s=30))
        url = await server.start()
        with pytest.raises(RuntimeError, match="already running"):
            await server.start()
        async with aiohttp.ClientSession(url) as session:
            waiting = asyncio.create_task(ask(session))
            while not server.stats["in_flight"]:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
            await asyncio.wait_for(server.stop(), 20)
            with pytest.raises(aiohttp.ClientError):
                await waiting
        assert server.stats["in_flight"] == 0
        await server.stop()
        await server.start()
        await server.stop()

    asyncio.run(scenario())


def test_a_taken_port_is_an_oserror() -> None:
    """A port in use is the caller's to explain; nothing is left open."""

    async def scenario() -> None:
        async with MockServer(MockOptions()) as url:
            with pytest.raises(OSError, match="address already in use"):
                await MockServer(MockOptions()).start(port=int(url.rpartition(":")[2]))

    asyncio.run(scenario())


@pytest.mark.parametrize(("kind", "expected"), [("429", 429), ("500", 500), ("503", 503), ("error-in-200", 200)])
def test_a_fault_with_a_status(kind: str, expected: int) -> None:
    """429, 500, 503 and error-in-200 give an error object under their status, unbilled."""
    status, body, stats = asyncio.run(once(faulty(kind)))
    assert status == expected
    assert set(body) == {"error"}
    assert stats["statuses"] == {str(expected): 1}
    assert (stats["cost_usd"], stats["billed_rows"], stats["answered"]) == ("0", 0, 0)


def test_an_error_within_a_stream() -> None:
    """error-in-200 comes as an event where a stream was asked."""

    async def scenario() -> None:
        async with talking(faulty("error-in-200")) as (_, session):
            status, raw = await ask(session, STREAM)
            assert (status, raw) == (
                200,
                b'data: {"error":{"message":"Provider returned error","code":502}}\n\n',
            )

    asyncio.run(scenario())


@pytest.mark.parametrize("body", [HI, STREAM])
@pytest.mark.parametrize(("kind", "billed"), [("drop", 0), ("drop-after", 1)])
def test_a_dropped_connection(kind: str, billed: int, body: Any) -> None:
    """Both drops close without a byte; only drop-after bills, and neither reports."""
    error, stats = asyncio.run(broken(faulty(kind), body))
    assert isinstance(error, aiohttp.ServerDisconnectedError)
    assert (stats["statuses"], stats["in_flight"]) == ({"dropped": 1}, 0)
    assert (stats["billed_rows"], stats["reported_cost_usd"]) == (billed, "0")


@pytest.mark.parametrize("body", [HI, STREAM])
def test_a_truncated_body(body: Any) -> None:
    """Truncate breaks off a billed 200 in the middle."""
    error, stats = asyncio.run(broken(faulty("truncate"), body))
    assert isinstance(error, aiohttp.ClientPayloadError)
    assert stats["statuses"] == {"200": 1}
    assert (stats["billed_rows"], stats["reported_cost_usd"]) == (1, "0")


@pytest.mark.parametrize("body", [HI, STREAM])
def test_garbage(body: Any) -> None:
    """Garbage is a billed 200 whose bytes are no JSON."""

    async def scenario() -> None:
        async with talking(faulty("garbage")) as (server, session):
            status, raw = await ask(session, body)
            assert status == 200
            with pytest.raises(orjson.JSONDecodeError):
                orjson.loads(raw.removeprefix(b"data: "))
            assert (server.stats["billed_rows"], server.stats["answered_cost_usd"]) == (1, "0")

    asyncio.run(scenario())


def test_an_empty_answer() -> None:
    """Empty is a whole answer without text, whose prompt is billed and reported but which answers nothing."""
    status, body, stats = asyncio.run(once(faulty("empty")))
    assert status == 200
    assert body["choices"][0]["message"] == {"role": "assistant", "content": ""}
    assert body["choices"][0]["finish_reason"] == "stop"
    assert Decimal(repr(body["usage"]["estimated_cost"])) == Decimal(stats["cost_usd"]) > 0
    assert stats["reported_cost_usd"] == stats["cost_usd"]
    assert (stats["answered"], stats["answered_cost_usd"]) == (0, "0")


def test_bad_json_is_spoiled_and_billed() -> None:
    """Two thirds bad JSON is about two thirds of a job's answers, streamed the same, and the books are exact."""

    async def scenario() -> None:
        async with talking(MockOptions(faults=(Fault("bad-json", 0.7),))) as (server, session):
            costs, bad = Decimal(0), 0
            for number in range(40):
                messages = [{"role": "user", "content": f"Review {number}"}]
                body = {"model": "m", "messages": messages, "response_format": {"type": "json_object"}}
                plain = orjson.loads((await ask(session, body))[1])
                streamed = (await ask(session, {**STREAM, **body}))[1].decode().split("\n\n")
                chunks = [orjson.loads(event.removeprefix("data: ")) for event in streamed[:-2]]
                text = plain["choices"][0]["message"]["content"]
                assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks[:-1]) == text
                assert chunks[-2]["choices"][0]["finish_reason"] == plain["choices"][0]["finish_reason"] == "stop"
                assert chunks[-1]["usage"] == plain["usage"]
                costs += 2 * Decimal(repr(plain["usage"]["estimated_cost"]))
                bad += not (text.startswith("{") and text.endswith("}"))
            assert 10 < bad < 35
            assert costs == Decimal(server.stats["cost_usd"]) == Decimal(server.stats["answered_cost_usd"])

    asyncio.run(scenario())


def test_a_refused_format() -> None:
    """A format that the model lacks is a 400 that names it, unbilled; others and none are answered."""

    async def scenario() -> None:
        async with talking(MockOptions(refused_formats=("json_object",))) as (server, session):
            status, raw = await ask(session, {**HI, "response_format": {"type": "json_object"}})
            assert status == 400
            assert "'response_format' of type 'json_object' is not supported" in orjson.loads(raw)["error"]["message"]
            assert server.stats["billed_rows"] == 0
            for format_ in (None, {"type": "text"}):
                assert (await ask(session, {**HI, "response_format": format_}))[0] == 200

    asyncio.run(scenario())


def test_a_slow_answer() -> None:
    """Slow gives the very answer, slow_s later."""
    began = time.monotonic()
    _, slow, _ = asyncio.run(once(replace(faulty("slow"), slow_s=0.3)))
    assert time.monotonic() - began >= 0.3
    _, plain, _ = asyncio.run(once(MockOptions()))
    assert slow["choices"] == plain["choices"]


def test_faults_come_in_a_fixed_order() -> None:
    """With the same seed the same arrivals are befallen."""

    async def statuses() -> list[int]:
        async with talking(MockOptions(seed=5, faults=(Fault("500", 0.3), Fault("429", 0.3)))) as (_, session):
            return [(await ask(session))[0] for _ in range(40)]

    first = asyncio.run(statuses())
    assert set(first) == {200, 429, 500}
    assert first == asyncio.run(statuses())


def test_jitter_is_within_its_bounds() -> None:
    """Each answer takes the latency and at most the jitter more."""

    async def scenario() -> None:
        async with talking(MockOptions(latency_s=0.05, latency_jitter_s=0.05)) as (_, session):
            for number in range(5):
                began = time.monotonic()
                await ask(session, {**HI, "user": str(number)})
                assert time.monotonic() - began > 0.049

    asyncio.run(scenario())
    server = MockServer(MockOptions(latency_s=0.05, latency_jitter_s=0.05))
    asked = parse_request(orjson.dumps(HI), 65536)
    delays_s = [server._delay_s(asked, arrival) for arrival in range(1000)]
    assert 0.05 <= min(delays_s) < 0.051
    assert 0.099 < max(delays_s) <= 0.1


@pytest.mark.parametrize("kind", ["drop", "truncate", "empty"])
def test_it_runs_on_uvloop(kind: str) -> None:
    """What closes connections does so on uvloop too, where the runner lives."""
    if kind == "empty":
        run(once(faulty(kind)))
    else:
        run(broken(faulty(kind)))


def run(scenario: Coroutine[Any, Any, object]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario)
