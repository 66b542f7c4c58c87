"""Bugs that a review found, each held by what a user saw of it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.acceptance.job import PATIENCE_S, Job, conversation, rows
from tests.acceptance.servers import Asked, completion, http, raw_server

OK = http(200, completion())


def test_a_retry_gets_past_rows_that_fail_again(job: Job) -> None:
    """--retry-failed reaches the rows behind `stop_after_failures` ones that fail again, once anything was answered."""

    def refuse(asked: Asked) -> bytes:  # each for a reason of its own
        return http(400, {"error": {"message": f"unsupported: {'x' * int(asked.said.split()[1])}"}})

    with raw_server(lambda asked: OK if asked.said == "Question 0" else refuse(asked)) as server:
        job.write(rows(9), endpoint__base_url=server.url, concurrency=1, retry__stop_after_failures=4)
        assert job.run().code == 3
        server.answer = lambda asked: OK if asked.said == "Question 8" else refuse(asked)
        assert job.run("--retry-failed").code == 3
    assert [row["status"] for row in job.table()] == ["answered", *["failed"] * 7, "answered"]


def test_half_a_surrogate_pair_is_shown(job: Job) -> None:
    """A prompt and a reply that no terminal can write are shown escaped, and end no run."""
    with raw_server(lambda _: http(200, completion("half \ud83d here"))) as server:
        job.write([{"id": "a", "messages": conversation("half \ud83d there")}], endpoint__base_url=server.url)
        ended = job.run()
    assert (ended.code, "half \\ud83d here" in ended.out) == (0, True), ended.err
    assert job.table()[0]["response"] == "half \ufffd here"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(job: Job, closed: str) -> None:
    """Cron and daemons close the standard streams; the run does not mind."""
    with raw_server(lambda _: http(200, completion())) as server:
        job.write(rows(2), endpoint__base_url=server.url)
        command = f"exec {sys.executable} -m batchchat run job.yaml {closed}"
        ended = subprocess.run(
            ["sh", "-c", command], cwd=job.folder, check=False, capture_output=True, timeout=PATIENCE_S
        )
    assert ended.returncode == 0, ended.stderr
    assert len(job.table()) == 2


def test_what_an_empty_reply_cost_keeps_its_source(job: Job) -> None:
    """A failed row that was paid for has its tokens and says whose figure its cost is."""
    answers = iter([http(200, completion("", usage={"prompt_tokens": 10, "completion_tokens": 5})), http(400, {})])
    with raw_server(lambda _: next(answers)) as server:
        job.write(rows(1), endpoint__base_url=server.url, price={"input": 1, "output": 2}, retry__max_wait=0)
        ended = job.run()
    (row,) = job.table()
    assert ended.code == 3
    assert (row["cost_usd"], row["cost_source"], row["prompt_tokens"]) == (0.00002, "job", 10)
    assert "by the job's price" in ended.out
