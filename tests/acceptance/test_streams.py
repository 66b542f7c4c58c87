"""`endpoint.stream`: the same rows as whole replies make, and no less known of what was paid."""

from __future__ import annotations

import json
import re
import signal
from decimal import Decimal
from typing import Any

import pytest

from batchchat.mock import Fault
from batchchat.policy import stragglers
from tests.acceptance.job import Job, rows, until
from tests.acceptance.servers import mock_thread
from tests.field.endpoint import Asked, End, Step, endpoint, error, ok

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10, "estimated_cost": 0.25}
TIMES = {"latency_s", "first_token_s", "wait_s", "started_at", "finished_at"}
OF_ARRIVAL = {"response_id"}
"""The mock's ids have the order in which requests arrived in them."""


def chunk(content: str, finish_reason: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": {"role": "assistant", "content": content}, "finish_reason": finish_reason}
    return b"data: " + json.dumps({"id": "c", "model": "m", "choices": [choice], **more}).encode() + b"\n\n"


HALF = HEAD + chunk("Half of ") + chunk("it")
REST: list[Step] = [chunk(", and all.") + chunk("", "stop", usage=USAGE) + DONE, End.CLOSE]


def contents(job: Job) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in TIMES | OF_ARRIVAL} for row in job.table()]


def test_streamed_and_whole_runs_give_equal_tables(job: Job) -> None:
    """All but the times is equal, costs and tokens too; and a change from one to the other sends nothing again."""
    tables = {}
    for stream in (False, True):
        with mock_thread() as mock:
            job.write(rows(24), endpoint__base_url=mock.url, endpoint__stream=stream, params__max_tokens=40)
            assert job.run("--fresh").code == 0
            tables[stream] = contents(job)
            assert {row["first_token_s"] is None for row in job.table()} == {not stream}
            assert all(row["first_token_s"] <= row["latency_s"] for row in job.table() if stream)
            job.write(endpoint__stream=not stream)
            ended = job.run()
            assert (ended.code, mock.stats()["requests"]) == (0, 24)
    assert tables[True] == tables[False]
    assert {row["finish_reason"] for row in tables[True]} == {"stop", "length"}
    assert all(row["cost_usd"] for row in tables[True])


def test_every_fault_of_a_stream(job: Job) -> None:
    """The sum is the server's own, to the last digit, and what broke off is counted as possibly billed."""
    kinds = ("429", "503", "drop-after", "truncate", "garbage", "error-in-200")
    faults = [Fault("empty", 0.01), *(Fault(kind, 0.06) for kind in kinds)]  # the third empty reply fails its row
    with mock_thread(seed=3, faults=tuple(faults)) as mock:
        job.write(rows(80), endpoint__base_url=mock.url, endpoint__stream=True, retry__max_wait=0.05)
        job.write(retry__max_possibly_billed=30, retry__max_attempts=30)
        ended = job.run()
        stats = mock.stats()
    assert ended.code == 0, ended.err
    table = job.table()
    paid = sum((Decimal(repr(row["cost_usd"])) for row in table), Decimal(0))
    assert paid == Decimal(stats["reported_cost_usd"])
    assert sum(row["attempts"] for row in table) == stats["requests"]
    assert {row["status"] for row in table} == {"answered"}


def test_what_a_cut_stream_had_said_is_kept(job: Job) -> None:
    """It is in the step of each attempt, and in a row that is given up; its usage is the row's cost."""

    def answer(asked: Asked) -> list[Step]:
        if asked.text == "Question 0":  # always
            return [HALF + chunk("!", usage=USAGE), End.CLOSE]
        if asked.text == "Question 1" and asked.attempt == 1:
            return [HALF, End.RESET]
        if asked.text == "Question 2" and asked.attempt == 1:
            return [HALF + b'data: {"error": {"message": "out of memory", "code": 500}}\n\n', End.CLOSE]
        return [HALF, *REST]

    with endpoint(answer) as server:
        job.write(rows(3), endpoint__base_url=server.url, endpoint__stream=True, retry__max_wait=0.01)
        ended = job.run()
    assert ended.code == 3, ended.err
    cut, broken, failed = job.table()
    assert (cut["status"], cut["error_kind"], cut["attempts"], cut["cost_usd"]) == ("failed", "bad_response", 3, 0.75)
    assert cut["possibly_billed_attempts"] == 0
    assert json.loads(cut["raw"])["choices"][0]["message"]["content"] == "Half of it!"
    for row in (broken, failed):
        assert (row["status"], row["response"]) == ("answered", "Half of it, and all.")
        assert (row["attempts"], row["possibly_billed_attempts"], row["cost_usd"]) == (2, 1, 0.25)
        (step,) = [record for record in job.journal() if record["kind"] == "step" and record["id"] == row["id"]][:1]
        assert json.loads(step["raw"])["choices"][0]["message"]["content"] == "Half of it"
        assert step["possibly_billed"] == 1
    assert "the endpoint streams" not in ended.err


def test_an_endpoint_that_refuses_stream_options(job: Job) -> None:
    """Its rows have one attempt each, and the run says once that their usage can't be asked for."""

    def answer(asked: Asked) -> Step | list[Step]:
        if "stream_options" in asked.body:
            return error(422, "body.stream_options: Extra inputs are not permitted")
        return [HEAD + chunk("Fine.") + chunk("", "stop") + DONE, End.CLOSE]

    with endpoint(answer) as server:
        job.write(rows(4), endpoint__base_url=server.url, endpoint__stream=True, concurrency=1)
        ended = job.run()
    assert ended.code == 0, ended.err
    assert len(server.asked) == 5
    table = job.table()
    assert [(row["response"], row["attempts"], row["cost_usd"]) for row in table] == [("Fine.", 1, None)] * 4
    assert ended.err.count("the endpoint refuses `stream_options`") == 1


def test_an_endpoint_that_does_not_stream(job: Job) -> None:
    """Whole replies are taken, and the run says so once."""
    with endpoint(lambda _: ok("Fine.")) as server:
        job.write(rows(3), endpoint__base_url=server.url, endpoint__stream=True)
        ended = job.run()
    assert ended.code == 0, ended.err
    assert [(row["response"], row["first_token_s"]) for row in job.table()] == [("Fine.", None)] * 3
    assert ended.err.count("the endpoint does not stream") == 1


def test_killed_while_streaming(job: Job) -> None:
    """Answered rows are kept; the streams in flight may have been billed, are counted, and are sent again."""

    def answer(asked: Asked) -> list[Step]:
        return [HALF, End.HANG] if asked.number in {7, 8, 9} else [HALF, *REST]

    with endpoint(answer) as server:
        job.write(rows(12), endpoint__base_url=server.url, endpoint__stream=True, concurrency=3)
        running = job.start()
        until(lambda: len(server.asked) == 9 and job.acknowledged() == 6)
        running.process.kill()
        assert running.end().code == -9
        ended = job.run()
    assert ended.code == 0, ended.err
    assert sorted(server.attempts.values()) == [1] * 9 + [2] * 3
    assert {row["response"] for row in job.table()} == {"Half of it, and all."}
    uncertain = re.search(r" not in it: up to (\d+) requests that were in flight", ended.out)
    assert uncertain is not None
    assert int(uncertain[1]) >= 3


def test_the_last_stream_that_hangs(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is cut off and sent again like any last row, and what it had said each time is kept."""
    monkeypatch.setattr(stragglers, "FLOOR_S", 0.1)
    with endpoint(lambda asked: [HALF, End.HANG] if asked.text == "Question 109" else [HALF, *REST]) as server:
        job.write(rows(110), endpoint__base_url=server.url, endpoint__stream=True, timeout__total=30)
        ended = job.run()
    assert ended.code == 3, ended.err
    last = job.table()[-1]
    assert (last["attempts"], last["possibly_billed_attempts"], last["error_kind"]) == (3, 3, "timeout")
    kept = [record["raw"] for record in job.journal() if record.get("id") == "r0109" and "raw" in record]
    assert [json.loads(raw)["choices"][0]["message"]["content"] for raw in kept] == ["Half of it"] * 3
    assert last["raw"] == kept[-1]


@pytest.mark.field
def test_streams_that_are_cut_off_after_a_signal(job: Job) -> None:
    """What they had said when the drain was over is kept, and counts as possibly billed."""
    with endpoint(lambda _: [HALF, End.HANG]) as server:
        job.write(rows(3), endpoint__base_url=server.url, endpoint__stream=True, drain=0.2)
        running = job.start()
        until(lambda: len(server.asked) == 3)
        running.signal(signal.SIGTERM)
        assert running.end().code == 143
    steps = [record for record in job.journal() if record["kind"] == "step"]
    assert [(step["why"], step["possibly_billed"]) for step in steps] == [("cut", 1)] * 3
    assert all("Half of it" in step["raw"] for step in steps)


@pytest.mark.field
def test_streams_in_flight_end_after_a_signal(job: Job) -> None:
    """The drain lets them come to their end, and they are answers."""
    with endpoint(lambda _: [HALF, 1.5, *REST]) as server:
        job.write(rows(12), endpoint__base_url=server.url, endpoint__stream=True, concurrency=3)
        running = job.start()
        until(lambda: len(server.asked) == 3)
        running.signal(signal.SIGTERM)
        assert running.end().code == 143
        assert job.acknowledged() == 3
        assert len(server.asked) == 3
