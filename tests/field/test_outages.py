"""Endpoints that go down in the middle of a run, or take fewer at a time than they are sent."""

from __future__ import annotations

import heapq
import time

import pytest

from tests.acceptance.job import Job, rows
from tests.field.endpoint import Asked, Step, endpoint, error, ok


def test_an_engine_that_dies_and_is_restarted_fails_no_row(job: Job) -> None:
    """VLLM answers 500 to all for some seconds; what it says is in the log."""
    words = "EngineCore encountered an issue. See stack trace (above) for the root cause."

    def answer(asked: Asked) -> bytes:
        is_dead = asked.number > 20 and asked.at < 1.2
        return error(500, words, type="InternalServerError", code=500) if is_dead else ok()

    with endpoint(answer) as server:
        job.write(rows(60), endpoint__base_url=server.url, concurrency=8, retry__max_wait=1)
        ended = job.run()
    assert ended.code == 0, ended.err
    assert [row["status"] for row in job.table()] == ["answered"] * 60
    assert f"(HTTP 500: {words})" in (job.run_folder / "run.log").read_text()


def test_slots_that_abort_together_are_tried_again(job: Job) -> None:
    """llama.cpp: a full cache ends what is in flight with a 500; the rows are short, and are answered alone."""

    def answer(asked: Asked) -> Step | list[Step]:
        if asked.number % 8 == 0 and asked.attempt == 1:
            return error(500, "Context size has been exceeded.", code=500, type="server_error")
        return [0.02, ok()]

    with endpoint(answer) as server:
        job.write(rows(40), endpoint__base_url=server.url, concurrency=8, retry__max_wait=1)
        ended = job.run()
    assert ended.code == 0, ended.err
    assert [row["status"] for row in job.table()] == ["answered"] * 40


@pytest.mark.field
def test_a_gateway_that_waits_briefly_before_a_server_of_four_slots(job: Job) -> None:
    """Nginx cuts off after 1.5 s what waits in line: the number in flight goes down, and no row fails for it."""
    free = [0.0] * 4

    def answer(asked: Asked) -> Step | list[Step]:
        now = time.monotonic()
        start = max(now, heapq.heappop(free))
        end = start + 0.6
        if end > now + 1.5:
            heapq.heappush(free, start)  # nginx closes the connection, and the server drops it from its line
            return [
                1.5,
                error(504, "", body=b"<html>504 Gateway Time-out</html>", headers={"content_type": "text/html"}),
            ]
        heapq.heappush(free, end)
        return [end - now, ok()]

    with endpoint(answer) as server:
        job.write(rows(150), endpoint__base_url=server.url, concurrency=100, retry__max_wait=1)
        ended = job.run()
    assert ended.code == 0, ended.err
    assert len(server.asked) < 150 + 140
    assert "timed out while others were answered" in (job.run_folder / "run.log").read_text()
