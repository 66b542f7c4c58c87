"""A streamed reply is the row that a whole one would be, wherever its bytes are split and whatever is around them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchchat.core.attempt import Action, Attempt, Billed, StreamCancelledError
from batchchat.core.conversation import ErrorKind
from batchchat.endpoint import stream
from batchchat.endpoint.body import Body, ReceivedBody
from batchchat.endpoint.client import MAX_BODY_BYTES, Client, Endpoint
from batchchat.endpoint.judged_response import JudgedResponse, judge_response
from batchchat.endpoint.reading import BodyTooLargeError
from batchchat.endpoint.stream import read_stream
from batchchat.pricing.cost import pricing
from batchchat.pricing.rates import Rates
from batchchat.secret import Redactor, Secret
from tests.endpoint.server import (
    KEY,
    USAGE,
    Play,
    Received,
    Server,
    answer,
    completion,
    request,
    sends,
    serving,
)

MODEL = "microsoft/WizardLM-2-8x22B"
TOP = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1694623354, "model": MODEL}
DONE = b"data: [DONE]\n\n"
LOOP = asyncio.new_event_loop()
"""A loop for each stream that is read would take twenty times as long."""


@pytest.fixture(scope="module", autouse=True)
def loop() -> Iterator[None]:
    yield
    LOOP.close()


class Parts:
    """A body that comes in `parts`, and breaks off with `broken`."""

    max_bytes = MAX_BODY_BYTES
    content_type = "text/event-stream"

    def __init__(self, parts: Sequence[bytes], broken: BaseException | None = None) -> None:
        self.parts = list(parts)
        self.broken = broken
        self.counted = 0

    async def next_part(self) -> tuple[bytes, BaseException | None]:
        if self.parts:
            return self.parts.pop(0), None
        return b"", self.broken

    async def whole(self, head: bytes) -> tuple[bytes, BaseException | None]:
        data = head + b"".join(self.parts)
        self.parts = []
        return data, self.broken

    async def count(self, size: int) -> None:
        self.counted = max(self.counted, size)


def read(
    *parts: bytes,
    broken: BaseException | None = None,
    max_bytes: int = MAX_BODY_BYTES,
    redactor: Redactor | None = None,
) -> ReceivedBody:
    body: Any = Parts(parts, broken)
    body.max_bytes = max_bytes
    return LOOP.run_until_complete(read_stream(body, redactor or Redactor()))


def judged(body: Body, status: int = 200) -> JudgedResponse:
    return judge_response(status, {}, body, pricing(Rates("")), Redactor())


def event(choices: list[Any], **more: Any) -> bytes:
    return b"data: " + json.dumps({**TOP, "choices": choices, **more}).encode() + b"\n\n"


def chunk(delta: dict[str, Any], finish_reason: str | None = None, **more: Any) -> bytes:
    return event([{"index": 0, "delta": delta, "finish_reason": finish_reason}], **more)


def whole(message: dict[str, Any], finish_reason: str = "stop", **more: Any) -> dict[str, Any]:
    """The response that was not streamed."""
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish_reason}
    return {**TOP, "object": "chat.completion", "choices": [choice], **more}


CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Zürich"}'}}
CALLS = [
    chunk({"role": "assistant", "content": ""}),
    chunk({"tool_calls": [{"index": 0, **CALL, "function": {"name": "weather", "arguments": ""}}]}),
    chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"city": "Zür'}}]}),
    chunk({"tool_calls": [{"index": 0, "function": {"arguments": 'ich"}'}}]}),
    chunk({}, "tool_calls"),
]
USED = {"prompt_tokens": 15, "completion_tokens": 16, "total_tokens": 31}
RECORDED: dict[str, tuple[bytes, dict[str, Any]]] = {
    "DeepInfra's page: the role in each delta, an end token as text, no usage": (
        b"".join(chunk({"role": "assistant", "content": text}) for text in (" ", " Hi", "!", "", "</s>"))
        + chunk({}, "stop")
        + DONE,
        whole({"content": "  Hi!</s>"}),
    ),
    "OpenAI: a role first, usage on a chunk of its own, null on the others": (
        chunk({"role": "assistant", "content": "", "refusal": None}, usage=None)
        + b"".join(chunk({"content": text}, usage=None) for text in ("Grüße, ", "世", "界 🦉"))
        + chunk({}, "stop", usage=None)
        + event([], usage=USAGE)
        + DONE,
        whole({"content": "Grüße, 世界 🦉"}, usage=USAGE),
    ),
    "usage on the chunk with the finish_reason, and no end": (
        chunk({"content": "Hi"}) + chunk({}, "stop", usage=USAGE),
        whole({"content": "Hi"}, usage=USAGE),
    ),
    "vLLM, xAI: usage so far on each chunk": (
        b"".join(chunk({"content": "a"}, usage={**USED, "completion_tokens": n}) for n in range(16))
        + chunk({}, "stop", usage=USED)
        + DONE,
        whole({"content": "a" * 16}, usage=USED),
    ),
    "OpenRouter: comments, reasoning, CRLF, the usage with another role": (
        b"\r\n".join(
            [
                b": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n",
                chunk({"role": "assistant", "content": "", "reasoning": "Hm"}),
                chunk({"content": "", "reasoning": "m."}) + b": OPENROUTER PROCESSING\n",
                chunk({"content": "Yes"}, "stop"),
                chunk({"role": "assistant", "content": ""}, usage=USAGE) + DONE,
            ]
        ).replace(b"\n", b"\r\n"),
        whole({"content": "Yes", "reasoning": "Hmm."}, usage=USAGE),
    ),
    "DeepSeek: reasoning_content, keep-alive comments, CR alone": (
        b"\xef\xbb\xbf: keep-alive\r\r"
        + (
            chunk({"role": "assistant", "content": None, "reasoning_content": ""})
            + chunk({"content": None, "reasoning_content": "Hm."})
            + chunk({"content": "Yes", "reasoning_content": None})
            + chunk({"content": "", "reasoning_content": None}, "stop", usage=USED)
            + DONE
        ).replace(b"\n", b"\r"),
        whole({"content": "Yes", "reasoning_content": "Hm."}, usage=USED),
    ),
    "no blank behind the colon, an event's name and id": (
        b"id: 1\nevent: message\n"
        + chunk({"content": "Hi"}, "stop", usage=USAGE).replace(b"data: ", b"data:")
        + b"retry: 3000\n\nevent: done\ndata:[DONE]\n\n",
        whole({"content": "Hi"}, usage=USAGE),
    ),
    "a chunk over several lines of data": (
        b"data: " + chunk({"content": "Hi"}, "stop")[6:-2].replace(b', "', b',\ndata: "') + b"\n\n" + DONE,
        whole({"content": "Hi"}),
    ),
    "tool calls": (b"".join(CALLS) + DONE, whole({"content": None, "tool_calls": [CALL]}, "tool_calls")),
    "two tool calls, whole, without an index": (
        chunk({"role": "assistant", "tool_calls": [CALL]})
        + chunk({"tool_calls": [{**CALL, "id": "call_2"}]}, "tool_calls")
        + DONE,
        whole({"content": None, "tool_calls": [CALL, {**CALL, "id": "call_2"}]}, "tool_calls"),
    ),
    "a refusal": (
        chunk({"role": "assistant", "content": None, "refusal": "I "}) + chunk({"refusal": "can't."}, "stop") + DONE,
        whole({"content": None, "refusal": "I can't."}),
    ),
    "cut off at its length": (
        chunk({"content": "On"}) + chunk({"content": "ce"}, "length", service_tier="flex") + DONE,
        whole({"content": "Once"}, "length", service_tier="flex"),
    ),
    "a character in two chunks, as halves of UTF-16": (
        chunk({"content": "\ud83e"}) + chunk({"content": "\udd89"}, "stop") + DONE,
        whole({"content": "🦉"}),
    ),
    "raw control characters and bytes that are no UTF-8 in a text": (
        chunk({"content": "a\\tb"}).replace(b"\\\\t", b"\t")
        + chunk({"content": "c?"}, "stop").replace(b"?", b"\xff")
        + DONE,
        whole({"content": "a\tbc\udcff"}),
    ),
    "nothing in it": (
        chunk({"role": "assistant", "content": ""}) + chunk({}, "stop", usage=USED) + DONE,
        whole({"content": ""}, usage=USED),
    ),
    "an error before any text": (
        b'event: error\ndata: {"message": "busy", "code": 503}\n\n',
        {"error": {"message": "busy", "code": 503}},
    ),
    "a whole response, whatever its type says": (
        b"\n: ping\n" + json.dumps(whole({"content": "Hi"}, usage=USAGE)).encode() + b"\n" + DONE,
        whole({"content": "Hi"}, usage=USAGE),
    ),
    "a web page": (b"<html><body>Welcome</body></html>", {}),
}


def judged_whole(name: str) -> JudgedResponse:
    """What the same reply is judged to be when it comes whole."""
    data, response = RECORDED[name]
    if not response:
        return judged(Body(data))
    return judged(Body(json.dumps(response).encode(), json.loads(json.dumps(response))))


@pytest.mark.parametrize("name", RECORDED)
@settings(max_examples=40)
@given(data=st.data())
def test_a_stream_is_what_the_whole_response_would_be(name: str, data: st.DataObject) -> None:
    """Reply, usage, cost and verdict are equal wherever the pieces of the stream end: in a name or a character too."""
    recorded, _ = RECORDED[name]
    ends = sorted(data.draw(st.lists(st.integers(1, len(recorded) - 1), max_size=8, unique=True)))
    received = read(*(recorded[start:end] for start, end in pairwise([0, *ends, len(recorded)])))
    assert judged(received.body) == judged_whole(name)


@pytest.mark.parametrize("name", RECORDED)
def test_a_byte_at_a_time(name: str) -> None:
    """The smallest pieces are no other case."""
    recorded, _ = RECORDED[name]
    assert judged(read(*(recorded[at : at + 1] for at in range(len(recorded)))).body) == judged_whole(name)


@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=5),
    st.sampled_from([b"", b"data: ", b"event: error\ndata: {"]),
)
def test_any_bytes_are_read(parts: list[bytes], start: bytes) -> None:
    """Nothing is an error of ours: whatever comes has a verdict."""
    judged(read(*filter(None, (start, *parts))).body)


HALF = chunk({"role": "assistant", "content": "Half of "}) + chunk({"content": "it"})


@pytest.mark.parametrize("at", range(0, len(HALF), 7))
def test_a_stream_that_ends_too_early_is_no_answer(at: int) -> None:
    """With no finish_reason and no end it was cut off, closed in order or not; what it had is kept."""
    for broken in (None, ConnectionResetError()):
        received = read(HALF[:at], broken=broken)
        result = judged(received.body)
        assert result.failure is not None
        assert (result.reply, result.failure.kind) == (None, ErrorKind.BAD_RESPONSE)
        assert (result.verdict.action, result.verdict.billed) == (Action.RETRY, Billed.MAYBE)
        if at > 250:
            assert json.loads(received.body.raw)["choices"][0]["message"]["content"].startswith("Half of ")
            assert result.failure.text == f"the response broke off after {at} bytes"


def test_what_a_cut_stream_had_reported_is_billed() -> None:
    """A usage that came is what is known of the bill."""
    result = judged(read(HALF + event([], usage=USAGE)).body)
    assert (result.verdict.billed, result.cost and result.cost.usd) == (Billed.YES, Decimal("0.0000268"))


@pytest.mark.parametrize("behind", [b"", event([], usage=USAGE)[:40], b"data: [DON"])
def test_a_stream_that_breaks_behind_its_end_is_an_answer(behind: bytes) -> None:
    """The reply is whole with its finish_reason: what is lost behind that is no text of it."""
    received = read(HALF + chunk({}, "stop") + behind, broken=ConnectionResetError())
    result = judged(received.body)
    assert result.reply is not None
    assert (result.verdict.action, result.reply.text) == (Action.ACCEPT, "Half of it")


def test_a_chunk_that_is_no_json_breaks_the_stream() -> None:
    """A piece of the text may be missing."""
    received = read(HALF + b"data: {garbage\n\n" + chunk({}, "stop") + DONE)
    assert judged(received.body).verdict.action is Action.RETRY
    assert "Half of it" in received.body.raw


ERRORS = {
    "as OpenRouter": event(
        [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}], error={"code": 502, "message": "no"}
    ),
    "as LiteLLM": b'data: {"error": {"message": "no", "code": "502"}}\n\n',
    "as an event": b'event: error\ndata: {"message": "no", "code": 502}\n\n',
    "as vLLM": b'data: {"object": "error", "message": "no", "code": 502}\n\n',
}


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
def test_an_error_behind_half_a_text(error: bytes) -> None:
    """No answer; what was generated may be billed, and is where the stream reported a usage. The text is kept."""
    for usage, billed in ((b"", Billed.MAYBE), (event([], usage=USAGE), Billed.YES)):
        received = read(HALF + usage + error + DONE)
        result = judged(received.body)
        assert result.failure is not None
        assert (result.failure.kind, result.failure.text) == (ErrorKind.GATEWAY_TIMEOUT, "no")
        assert (result.verdict.action, result.verdict.billed) == (Action.RETRY, billed)
        assert "Half of it" in received.body.raw
    unpaid = b'data: {"error": {"message": "no", "code": 500}}\n\n'
    assert judged(read(unpaid).body).verdict.billed is Billed.NO
    assert judged(read(HALF + unpaid).body).verdict.billed is Billed.MAYBE


def test_no_secret_is_left() -> None:
    """One that comes in two chunks is found in the joined text, cut off or not, and in what a message shows."""
    redactor = Redactor([Secret(KEY)])
    half = chunk({"content": f"Your key: {KEY[:9]}"}) + chunk({"content": KEY[9:]})
    for end in (b"", chunk({}, "stop")):
        body = read(half, end, redactor=redactor).body
        assert "Your key: ***" in body.raw
        assert KEY not in repr(body)
    assert KEY not in repr(read(f"data: {KEY}\n\n".encode(), redactor=redactor))


def test_a_stream_may_be_longer_than_what_it_says() -> None:
    """The framing of each token does not count, nor what is no chunk; a text that is too large does."""
    parts = [chunk({"content": "a"}) * 20] * 20
    reply = judged(read(*parts, chunk({}, "stop"), max_bytes=10_000).body).reply
    assert reply is not None
    assert reply.text == "a" * 400
    with pytest.raises(BodyTooLargeError):
        read(*parts, *[chunk({"content": "b" * 1000})] * 20, max_bytes=10_000)
    with pytest.raises(BodyTooLargeError):
        read(*parts, b"data: ", *[b"x" * 1000] * 20, max_bytes=10_000)
    with pytest.raises(BodyTooLargeError):
        read(*parts, *[b": keep-alive\n\n" * 100] * 400, max_bytes=10_000)


def test_what_a_stream_says_is_counted() -> None:
    """Looked at once for each MiB that comes; the framing is not in it."""
    for text, low, high in (("a", 1 << 10, 64 << 10), ("a" * 10_000, 3 << 20, 5 << 20)):
        part = chunk({"content": text})
        parts = Parts([part * 100] * (-(-(4 << 20) // (100 * len(part)))))
        body: Any = parts
        LOOP.run_until_complete(read_stream(body, Redactor()))
        assert low < parts.counted < high


# Over a connection


def streaming(url: str, *, total_s: float = 5.0, keep_raw: bool = False) -> Client:
    endpoint = Endpoint(url, {"Authorization": Secret(f"Bearer {KEY}")}, total_s, 2.0, keep_raw=keep_raw, stream=True)
    return Client(endpoint, Redactor([Secret(KEY)]), pricing(Rates("")))


def streamed(play: Play, *, times: int = 1, **options: Any) -> tuple[list[Attempt], Server]:
    """The attempts at streaming from a server that answers as `play`, and what the server saw."""

    async def main() -> tuple[list[Attempt], Server]:
        async with serving(play) as server, streaming(server.url, **options) as client:
            return [await client.send(request()) for _ in range(times)], server

    return asyncio.run(main())


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
REPLY = chunk({"role": "assistant", "content": "Hel"}), chunk({"content": "lo!"}), chunk({}, "stop", usage=USAGE)


def chunked(*parts: bytes, end: bool = True) -> list[bytes]:
    """A response whose `parts` come one by one."""
    framed = [f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in parts]
    return [HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *framed, *([b"0\r\n\r\n"] if end else [])]


def test_a_stream_is_asked_for_and_joined() -> None:
    """The request asks for a stream and its usage, with its fingerprint as ever; when the first text came is kept."""
    (first, second), server = streamed(sends(*chunked(*REPLY, DONE), pause_s=0.01), times=2)
    for attempt in (first, second):
        assert attempt.reply is not None
        assert (attempt.reply.text, attempt.verdict.action) == ("Hello!", Action.ACCEPT)
        assert attempt.cost is not None
        assert attempt.cost.usd == Decimal("0.0000268")
        assert attempt.first_token_s is not None
        assert 0 < attempt.first_token_s < attempt.latency_s
        assert attempt.request.fingerprint == request().fingerprint
        assert attempt.streamed
    received = server.received[0]
    sent = json.loads(received.body)
    assert (sent.pop("stream"), sent.pop("stream_options")) == (True, {"include_usage": True})
    assert sent == json.loads(request().body)
    assert received.headers["accept"] == "text/event-stream, application/json"
    assert server.connections == 1


def test_an_endpoint_that_does_not_stream() -> None:
    """Its whole replies are taken, and errors are what they are elsewhere."""
    (attempt,), _ = streamed(sends(answer(completion("Hello!"))))
    assert attempt.reply is not None
    assert (attempt.reply.text, attempt.streamed, attempt.first_token_s) == ("Hello!", False, None)
    (attempt,), _ = streamed(sends(answer({"error": {"message": "slow down"}}, 429, "Retry-After: 3")))
    assert (attempt.verdict.kind, attempt.verdict.wait_s) == (ErrorKind.RATE_LIMIT, 3.0)
    (attempt,), _ = streamed(
        sends(HEAD.replace(b"200 OK", b"500 Oh") + b"Connection: close\r\n\r\n" + HALF, stays=False)
    )
    assert (attempt.verdict.kind, attempt.verdict.billed) == (ErrorKind.SERVER_ERROR, Billed.NO)


def test_a_connection_that_breaks() -> None:
    """Cut in the middle of a text by the server or by our timeout: possibly billed, and the text is kept."""
    for play, kind in (
        (sends(*chunked(HALF, end=False), stays=False), ErrorKind.BAD_RESPONSE),
        (_stays_silent(*chunked(HALF, end=False)), ErrorKind.TIMEOUT),
    ):
        (attempt,), _ = streamed(play, total_s=0.4)
        assert (attempt.verdict.kind, attempt.verdict.action) == (kind, Action.RETRY)
        assert (attempt.verdict.billed, attempt.reply) == (Billed.MAYBE, None)
        assert attempt.raw is not None
        assert json.loads(attempt.raw)["choices"][0]["message"]["content"] == "Half of it"
    (attempt,), _ = streamed(_stays_silent(*chunked(HALF, event([], usage=USAGE), end=False)), total_s=0.3)
    assert (attempt.verdict.kind, attempt.verdict.billed) == (ErrorKind.TIMEOUT, Billed.YES)
    assert attempt.cost is not None


def _stays_silent(*parts: bytes) -> Play:
    """Sends `parts`, and then nothing more on an open connection."""

    async def play(server: Server, received: Received, writer: asyncio.StreamWriter) -> bool:
        await sends(*parts)(server, received, writer)
        await asyncio.sleep(60)
        return False

    return play


def test_a_connection_that_stays_open_behind_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The event that ends the stream ends the attempt, and no later request waits for that connection."""
    monkeypatch.setattr(stream, "AFTER_END_S", 0.05)
    attempts, server = streamed(_stays_silent(*chunked(*REPLY, DONE, end=False)), times=2, total_s=30.0)
    assert [attempt.verdict.action for attempt in attempts] == [Action.ACCEPT] * 2
    assert all(attempt.latency_s < 10 for attempt in attempts)
    assert server.connections == 2


@pytest.mark.parametrize(("parts", "raw"), [([HALF], "Half of it"), ([b": keep-alive\n\n"], None), ([], None)])
def test_an_attempt_that_is_cancelled(parts: list[bytes], raw: str | None) -> None:
    """The cancellation has what had come of the reply, and is one like any other where that is nothing."""

    class Hanging(Parts):
        async def next_part(self) -> tuple[bytes, BaseException | None]:
            if not self.parts:
                await asyncio.Event().wait()
            return await super().next_part()

    async def main() -> BaseException:
        body: Any = Hanging(parts)
        reading = asyncio.create_task(read_stream(body, Redactor()))
        for _ in range(5):
            await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError) as cancelled:
            await reading
        return cancelled.value

    error = LOOP.run_until_complete(main())
    said = (
        json.loads(error.raw)["choices"][0]["message"]["content"] if isinstance(error, StreamCancelledError) else None
    )
    assert said == raw


REFUSALS = {
    "OpenAI": (400, {"error": {"message": "Unknown parameter: 'stream_options'.", "code": "unknown_parameter"}}),
    "Mistral": (
        422,
        {
            "object": "error",
            "message": {
                "detail": [
                    {
                        "type": "extra_forbidden",
                        "loc": ["body", "stream_options", "include_usage"],
                        "msg": "Extra inputs are not permitted",
                        "input": True,
                    }
                ]
            },
        },
    ),
    "Azure": (400, {"error": {"message": "Validation error at #/stream_options: Extra inputs are not permitted"}}),
}


def _without_options(status: int, body: dict[str, Any]) -> Play:
    """Refuses `stream_options`, and streams without them."""

    async def play(server: Server, received: Received, writer: asyncio.StreamWriter) -> bool:
        refused = "stream_options" in json.loads(received.body)
        return await sends(*([answer(body, status)] if refused else chunked(*REPLY, DONE)))(server, received, writer)

    return play


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_an_endpoint_that_refuses_the_options_is_asked_without(refusal: tuple[int, dict[str, Any]]) -> None:
    """At once, in the same attempt, which says so; and from then on all requests go without."""
    attempts, server = streamed(_without_options(*refusal), times=3)
    assert [attempt.verdict.action for attempt in attempts] == [Action.ACCEPT] * 3
    assert [attempt.verdict.refused_field for attempt in attempts] == ["stream_options", None, None]
    assert ["stream_options" in json.loads(received.body) for received in server.received] == [
        True,
        False,
        False,
        False,
    ]
    assert all(json.loads(received.body)["stream"] is True for received in server.received)


def test_a_refusal_that_only_mentions_the_options() -> None:
    """Where the request is refused without them too, they are not the reason, and are sent again."""
    attempts, server = streamed(sends(answer({"error": {"message": "no images with stream_options"}}, 400)), times=2)
    assert [attempt.verdict.kind for attempt in attempts] == [ErrorKind.BAD_REQUEST] * 2
    assert ["stream_options" in json.loads(received.body) for received in server.received] == [True, False, True, False]
