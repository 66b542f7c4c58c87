"""Whole answers with a blemish, which servers, gateways and proxies really sent: each is an answer, and paid once."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.job import Job, rows
from tests.acceptance.servers import completion, http
from tests.field.endpoint import Asked, End, Step, endpoint, ok

JSON = json.dumps(completion("Grüße!")).encode()
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
CALL = {"name": "f", "arguments": '{"x": 1}'}


def plain(body: bytes, **headers: str) -> bytes:
    return http(200, body, **headers)


def chunk(delta: dict[str, Any], finish_reason: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return b"data: " + json.dumps({"id": "1", "model": "m", "choices": [choice], **more}).encode() + b"\n\n"


def chunked(*parts: bytes) -> bytes:
    """A response in chunks whose last, empty one never comes."""
    body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" + body


BLEMISHED: dict[str, Step | list[Step]] = {
    "an end of stream behind it": plain(JSON + b"\n\ndata: [DONE]\n\n", content_type="text/event-stream"),
    "comments before it": plain(b": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\n" + JSON),
    "a mark and blank lines before it": plain(b"\xef\xbb\xbf\r\n\r\n" + JSON),
    "a raw line feed in it": plain(JSON.replace(b"Gr\\u00fc\\u00dfe!", b"Gr\\u00fc\\u00dfe!\x1b\n")),
    "too long a length": [plain(JSON, content_length=str(len(JSON) + 40)), 0.02, End.CLOSE],
    "too long a length, and a reset": [plain(JSON, content_length=str(len(JSON) + 40)), 0.05, End.RESET],
    "no last chunk": [chunked(JSON[:50], JSON[50:]), End.CLOSE],
    "UTF-16": plain(json.dumps(completion("Grüße!")).encode("utf-16"), content_type="application/json"),
    "Latin-1": plain(
        json.dumps(completion("Grüße!"), ensure_ascii=False).encode("latin-1"),
        content_type="application/json; charset=latin-1",
    ),
    "a header of 30 KB": plain(JSON, content_security_policy="default-src 'self' " + "x" * 30_000),
    "300 headers": plain(JSON, **{f"x_trace_{number}": "1" for number in range(300)}),
}


@pytest.mark.parametrize("answered", BLEMISHED.values(), ids=BLEMISHED)
def test_a_whole_answer_with_a_blemish(job: Job, answered: Step | list[Step]) -> None:
    """Whatever stands around it, or is wrong with its frame: it is the answer, and nothing is asked twice."""
    with endpoint(lambda _: answered) as server:
        job.write(rows(3), endpoint__base_url=server.url)
        ended = job.run()
    assert ended.code == 0, ended.err
    assert [row["response"].strip("\x1b\n") for row in job.table()] == ["Grüße!"] * 3
    assert {row["raw"] for row in job.table()} == {None}
    assert set(server.attempts.values()) == {1}


def test_a_proxy_that_always_streams(job: Job) -> None:
    """Chunks that nobody asked for are one reply, with reasoning, calls and usage; the run says so once."""
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": '{"x"'}}
    stream = (
        b": ping\n\n"
        + chunk({"role": "assistant", "content": "", "reasoning_content": "Hm."})
        + chunk({"content": "Hel"})
        + chunk({"content": "lo"})
        + chunk({"tool_calls": [call]})
        + chunk({"tool_calls": [{"index": 0, "function": {"arguments": ": 1}"}}]}, "tool_calls")
        + chunk({}, usage={"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10, "cost": 0.25})
        + b"data: [DONE]\n\n"
    )
    with endpoint(lambda _: plain(stream, content_type="text/event-stream")) as server:
        job.write(rows(3), endpoint__base_url=server.url)
        ended = job.run()
    assert ended.code == 0, ended.err
    (row, *_) = table = job.table()
    assert len(table) == 3
    assert (row["response"], row["reasoning"], row["finish_reason"], row["cost_usd"]) == (
        "Hello",
        "Hm.",
        "tool_calls",
        0.25,
    )
    assert json.loads(row["tool_calls"])[0]["function"] == {"name": "f", "arguments": '{"x": 1}'}
    assert ended.err.count("the endpoint streams") == 1


def test_a_stream_that_breaks_off_or_ends_in_an_error(job: Job) -> None:
    """Half a text is no answer: what was paid for it counts, and the row keeps it."""
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10, "cost": 0.25}
    half = chunk({"content": "Hel"}, usage=usage)

    def answer(asked: Asked) -> bytes:
        error = b'data: {"error": {"message": "the prompt was flagged", "code": 400}}\n\n'
        return plain(half + (error if asked.text.endswith("0") else b""), content_type="text/event-stream")

    with endpoint(answer) as server:
        job.write(rows(2), endpoint__base_url=server.url, retry__max_attempts=2, retry__max_wait=0.1)
        ended = job.run()
    assert ended.code == 3, ended.err
    error, cut = job.table()
    assert (error["error_kind"], error["cost_usd"], error["response"]) == ("content_filter", 0.25, None)
    assert (cut["error_kind"], cut["cost_usd"], cut["response"]) == ("bad_response", 0.25 * cut["attempts"], None)
    assert all("Hel" in row["raw"] for row in (error, cut))


def test_a_legacy_function_call(job: Job) -> None:
    """It is a tool call like any other, and is asked for once."""
    message = {"role": "assistant", "content": None, "function_call": CALL}
    with endpoint(lambda _: ok(message=message, finish_reason="function_call")) as server:
        job.write(rows(2), endpoint__base_url=server.url)
        ended = job.run()
    assert ended.code == 0, ended.err
    assert json.loads(job.table()[0]["tool_calls"]) == [{"type": "function", "function": CALL}]
    assert set(server.attempts.values()) == {1}


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": "", "images": [IMAGE]},
        {"role": "assistant", "content": None, "audio": {"id": "a", "data": "data:AAAA", "transcript": "Hi"}},
        {"role": "assistant", "content": [{"type": "output_image", "image": "data:AAAA"}]},
    ],
    ids=["images", "audio", "parts"],
)
def test_an_answer_that_is_no_text(job: Job, message: dict[str, Any]) -> None:
    """Images and audio are answers, paid once, and kept in `raw` though the job keeps none."""
    with endpoint(lambda _: ok(message=message)) as server:
        job.write(rows(2), endpoint__base_url=server.url)
        ended = job.run()
        again = job.run()
    assert (ended.code, again.code) == (0, 0), ended.err
    assert [row["status"] for row in job.table()] == ["answered"] * 2
    assert json.loads(job.table()[0]["raw"])["choices"][0]["message"] == message
    assert set(server.attempts.values()) == {1}


def test_what_was_paid_and_can_not_be_used_is_kept(job: Job) -> None:
    """The row of an answer that is no answer has its body, without the key that the server repeats in it."""
    key = "sk-0123456789abcdef"

    def answer(asked: Asked) -> bytes:
        return plain(json.dumps({"result": asked.text, "key": key}).encode())

    with endpoint(answer) as server:
        job.write(rows(1), endpoint__base_url=server.url, endpoint__api_key_env="KEY", retry__max_attempts=1)
        ended = job.run(env={"KEY": key})
    assert ended.code == 3, ended.err
    (row,) = job.table()
    assert json.loads(row["raw"]) == {"result": "Question 0", "key": "***"}
    assert key not in job.journal_file.read_text()


def test_many_megabytes_in_place_of_an_answer(job: Job) -> None:
    """As much of what can't be used is kept as shows what it was."""
    with endpoint(lambda _: plain(b'{"x": "' + b"x" * (3 << 20) + b'"}')) as server:
        job.write(rows(1), endpoint__base_url=server.url, retry__max_attempts=1)
        job.run()
    (row,) = job.table()
    assert len(row["raw"]) == 1 << 20


def test_stale_connections_one_behind_the_other(job: Job) -> None:
    """A server forgot all idle connections: the instant retry takes a new one, so each row is asked twice at most."""
    asked_twice = set[str]()

    def answer(asked: Asked) -> Step | list[Step]:
        if asked.number > 8 and asked.attempt == 1:
            asked_twice.add(asked.text)
            return End.CLOSE
        if asked.attempt == 2 and asked.headers.get("connection") != "close":
            return End.CLOSE
        return [0.05, ok()]

    with endpoint(answer) as server:
        job.write(rows(16), endpoint__base_url=server.url, concurrency=8, retry__max_attempts=2)
        ended = job.run()
    assert ended.code == 0, ended.err
    assert asked_twice
    assert max(server.attempts.values()) == 2


@pytest.mark.field
def test_many_huge_replies_at_once(job: Job) -> None:
    """Two dozen replies of 40 MiB in flight together are read a few at a time, and none of them is kept."""
    huge = ok("x" * (40 << 20))
    with endpoint(lambda _: huge) as server:
        job.write(rows(24), endpoint__base_url=server.url, concurrency=24)
        running = job.start()
        peak_kib = 0
        while running.process.poll() is None:
            status = Path(f"/proc/{running.process.pid}/status").read_text()
            peak_kib = max(peak_kib, *map(int, re.findall(r"VmRSS:\s+(\d+)", status)), 0)
            time.sleep(0.1)
    assert running.end().code == 0
    assert set(server.attempts.values()) == {1}
    assert 100 < peak_kib >> 10 < 1_500
