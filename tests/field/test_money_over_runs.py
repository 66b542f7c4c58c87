"""Rows, money and limits over several runs of a job: what one command says, the others say."""

from __future__ import annotations

import json
import signal
from typing import Any

from tests.acceptance.job import Job, rows, until
from tests.acceptance.servers import http
from tests.field.endpoint import End, endpoint, error, ok


def report(job: Job) -> dict[str, Any]:
    """The one output of `report --json`."""
    output: dict[str, Any] = json.loads(job.run("report", "job.yaml", "--json").out)["outputs"][0]
    return output


def test_a_run_that_finishes_no_row_does_not_bring_back_rows_that_are_gone(job: Job) -> None:
    """Two rows were taken out of the input; the next run is stopped by its key at once. Report and status agree."""
    with endpoint(lambda _: ok()) as server:
        job.write(rows(5), endpoint__base_url=server.url)
        assert job.run().code == 0
        job.write(rows(3))
        assert job.run().code == 0
        server.answer = lambda _: error(401, "Invalid API key")
        job.write([*rows(3), *rows(1, start=7)])
        assert job.run().code == 5
    counts = report(job)["rows"]
    assert counts == job.state()["rows"]
    assert (counts["answered"], counts["left"], counts["total"]) == (3, 1, 4)
    assert len(job.table()) == 3


def test_what_was_paid_for_and_could_not_be_used_is_in_the_journal_though_the_next_attempt_was_answered(
    job: Job,
) -> None:
    """A reply without choices was billed; the row is sent again and answered. `raw` is of its last attempt."""
    unusable = http(200, {"id": "paid-1", "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4}})
    with endpoint(lambda asked: unusable if asked.attempt == 1 else ok()) as server:
        job.write(rows(1), endpoint__base_url=server.url, retry__max_wait=0.01)
        assert job.run().code == 0
    (step,) = [record for record in job.journal() if record["kind"] == "step" and record["attempts"]]
    assert "paid-1" in step["raw"]
    assert job.table()[0]["raw"] is None


def estimate(job: Job) -> dict[str, Any]:
    """What `estimate --json` says."""
    found: dict[str, Any] = json.loads(job.run("estimate", "job.yaml", "--json").out)
    return found


def test_an_estimate_knows_of_answers_that_will_be_taken_over(job: Job) -> None:
    """All ids were changed, and no request: a run sends nothing."""
    with endpoint(lambda _: ok()) as server:
        job.write(rows(4), endpoint__base_url=server.url, price={"input": 1, "output": 1}, params={"max_tokens": 9})
        assert job.run().code == 0
        job.write([{**row, "id": f"new-{row['id']}"} for row in rows(5)])
        left = estimate(job)
        assert job.run().code == 0
    assert left["rows_left"] == 1
    assert server.attempts["Question 0"] == 1


def test_an_estimate_follows_what_the_job_says_of_changed_rows(job: Job) -> None:
    """With `resume.changed: resend` they are paid again, and so they are in what is left; by default they are not."""
    with endpoint(lambda _: ok()) as server:
        job.write(rows(4), endpoint__base_url=server.url, price={"input": 1, "output": 1}, params={"max_tokens": 9})
        assert job.run().code == 0
    job.write(params={"max_tokens": 8})
    assert estimate(job)["left_cost_usd"]["worst"] == 0
    job.write(resume__changed="resend")
    assert estimate(job)["left_cost_usd"]["worst"] > 0


def test_a_report_in_json_has_what_was_in_flight_at_a_kill(job: Job) -> None:
    """Six requests may have been billed: scripts are told so as people are, and the same as the summary says."""
    with endpoint(lambda _: End.HANG) as server:
        job.write(
            rows(20),
            endpoint__base_url=server.url,
            concurrency=6,
            price={"input": 0.5, "output": 1.5},
            params={"max_tokens": 50},
        )
        running = job.start()
        until(lambda: server.in_flight == 6)
        running.signal(signal.SIGKILL)
        running.end()
        told = report(job)["cost_usd"]["possibly_billed"]
        assert told >= 6 * 50 * 1.5e-6
        server.answer = lambda _: ok()
        ended = job.run("--json")
    assert (
        json.loads(ended.out)["cost_usd"]["possibly_billed_at_most"]
        == told
        == report(job)["cost_usd"]["possibly_billed"]
    )
