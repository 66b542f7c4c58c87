"""What one row may use up, over all runs: attempts that may be billed, and its attempts in all."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.acceptance.job import Job, rows, until
from tests.acceptance.servers import http
from tests.field.endpoint import Asked, End, Step, endpoint, error, ok

UNUSABLE = http(200, {"id": "x", "object": "chat.completion", "choices": []})
BILLED = http(
    200,
    {
        "id": "x",
        "object": "chat.completion",
        "choices": [],
        "usage": {"prompt_tokens": 10, "completion_tokens": 500, "total_tokens": 510, "estimated_cost": 0.001},
    },
)


def last_gets(answer: Step | list[Step], count: int = 10) -> Callable[[Asked], Step | list[Step]]:
    """An endpoint that gives the last of so many rows `answer`, and all others theirs."""
    return lambda asked: answer if asked.text == f"Question {count - 1}" else ok()


def failed_row(job: Job) -> dict[str, Any]:
    """The one row that failed; all others are answered."""
    (row,) = [row for row in job.table() if row["status"] != "answered"]
    assert row["status"] == "failed"
    return row


@pytest.mark.parametrize("body", [UNUSABLE, BILLED], ids=["no usage", "billed"])
def test_a_last_row_whose_replies_cannot_be_used_is_sent_three_times(job: Job, body: bytes) -> None:
    """Nothing else is sent that could show the endpoint to be up, and still the limit is the limit."""
    with endpoint(last_gets([0.05, body])) as server:
        job.write(rows(10), endpoint__base_url=server.url, concurrency=4, retry__max_wait=0.05)
        assert job.run().code == 3
    assert server.attempts["Question 9"] == 3
    assert "3 attempts may have been billed (`retry.max_possibly_billed`)" in failed_row(job)["error"]


@pytest.mark.parametrize(("limits", "attempts"), [((6, 2), 2), ((2, 3), 2), ((6, 1), 1), ((1, 3), 1)])
@pytest.mark.parametrize("what", ["hangs", "breaks off", "502"])
def test_a_last_row_that_may_be_billed_each_time(job: Job, what: str, limits: tuple[int, int], attempts: int) -> None:
    """It hangs until its timeout, its connection breaks, a gateway gives up: as often as the lower limit says."""
    answers: dict[str, Step] = {"hangs": End.HANG, "breaks off": End.RESET, "502": error(502, "Bad Gateway")}
    with endpoint(last_gets([0.01, answers[what]])) as server:
        job.write(
            rows(10),
            endpoint__base_url=server.url,
            concurrency=4,
            timeout__total=0.2,
            retry__max_wait=0.05,
            retry__max_attempts=limits[0],
            retry__max_possibly_billed=limits[1],
        )
        assert job.run().code == 3
    assert server.attempts["Question 9"] == attempts
    row = failed_row(job)
    assert (row["attempts"], row["possibly_billed_attempts"]) == (attempts, attempts)


@pytest.mark.parametrize("bad", [{1}, {7, 8, 9}], ids=["one", "the last three"])
def test_last_rows_that_always_get_a_500_have_their_attempts_and_no_more(job: Job, bad: set[int]) -> None:
    """A whole error is no sign of an outage while others were answered."""
    texts = {f"Question {number}" for number in bad}
    with endpoint(lambda asked: error(500, "no") if asked.text in texts else ok()) as server:
        count = max(bad) + 1
        job.write(rows(count), endpoint__base_url=server.url, concurrency=4, retry__max_wait=0.05)
        assert job.run().code == 3
    assert {server.attempts[text] for text in texts} == {6}


@pytest.mark.field
def test_a_row_is_not_billed_again_and_again_by_runs_that_are_killed(job: Job) -> None:
    """Each of its attempts breaks off; a kill between two of them gives it no new ones."""
    with endpoint(last_gets([0.02, UNUSABLE], 3)) as server:
        job.write(
            rows(3), endpoint__base_url=server.url, concurrency=3, retry__max_wait=30, retry__max_possibly_billed=4
        )
        for attempt in (1, 2, 3):
            running = job.start()
            until(partial(_was_billed, job, attempt), f"the record of attempt {attempt}")
            running.process.kill()
            running.process.wait()
        job.write(retry__max_wait=0.05)
        assert job.run().code == 3
        assert server.attempts["Question 2"] == 4
    row = failed_row(job)
    assert row["attempts"] == 4
    assert "4 attempts may have been billed (`retry.max_possibly_billed`)" in row["error"]


def _was_billed(job: Job, attempts: int) -> bool:
    steps = [record for record in job.journal() if record["kind"] == "step"] if job.journal_file.exists() else []
    return bool(sum(record["attempts"] for record in steps) >= attempts)


@pytest.mark.field
def test_a_kill_while_a_row_is_sent_again_counts_one_attempt(job: Job) -> None:
    """Its reply never came and no record tells of it, but the journal knew that it was being sent again."""

    def answer(asked: Asked) -> Step | list[Step]:
        if asked.text != "Question 2":
            return ok()
        return UNUSABLE if asked.attempt == 1 else [End.HANG]

    with endpoint(answer) as server:
        job.write(rows(3), endpoint__base_url=server.url, concurrency=3, retry__max_wait=0.05)
        for attempts in (2, 3):
            running = job.start()
            until(lambda attempts=attempts: server.attempts["Question 2"] == attempts, f"attempt {attempts}")  # type: ignore[misc]
            running.process.kill()
            running.process.wait()
        assert job.run().code == 3
        assert server.attempts["Question 2"] == 3
    assert "3 attempts may have been billed (`retry.max_possibly_billed`), in earlier runs" in failed_row(job)["error"]


def until_the_key_is_refused(answer: Step, text: str, attempts: int) -> Callable[[Asked], Step | list[Step]]:
    """The row of `text` gets `answer` so often; then its key is refused, which stops the run."""

    def play(asked: Asked) -> Step | list[Step]:
        if asked.text != text:
            return ok()
        return answer if asked.attempt <= attempts else error(401, "Invalid API key")

    return play


def test_a_row_that_has_reached_its_limit_is_not_sent_by_a_resume(job: Job) -> None:
    """It ends as failed, with the limit and what its last attempt got; --retry-failed gives it all attempts again."""
    with endpoint(until_the_key_is_refused(UNUSABLE, "Question 2", 2)) as server:
        job.write(
            rows(3), endpoint__base_url=server.url, concurrency=3, retry__max_wait=0.05, retry__max_possibly_billed=5
        )
        assert job.run().code == 5
        sent = server.attempts["Question 2"]
        server.answer = last_gets(UNUSABLE, 3)
        job.write(retry__max_possibly_billed=2)
        ended = job.run()
        assert ended.code == 3
        assert "kept · 1 has no attempt left (`retry`) · nothing to send" in ended.err
        assert server.attempts["Question 2"] == sent
        row = failed_row(job)
        assert row["error_kind"] == "bad_response"
        assert "the response is no chat completion" in row["error"]
        assert "(`retry.max_possibly_billed`), in earlier runs" in row["error"]
        assert (row["attempts"], row["possibly_billed_attempts"]) == (2, 2)
        assert job.run("--retry-failed").code == 3
        assert server.attempts["Question 2"] == sent + 2
    assert failed_row(job)["attempts"] == 4


def test_a_request_that_changed_begins_anew(job: Job) -> None:
    """Replies were empty for want of tokens; the same row with more of them has all its attempts."""
    empties = dict.fromkeys([10, 20], 0)

    def answer(asked: Asked) -> Step | list[Step]:
        tokens = asked.body["max_tokens"]
        if asked.text != "Question 2" or empties[20] == 2:
            return ok()
        if empties[tokens] == 2:
            return error(401, "Invalid API key")
        empties[tokens] += 1
        return ok("")

    with endpoint(answer) as server:
        job.write(rows(3), endpoint__base_url=server.url, params={"max_tokens": 10}, retry__max_wait=0.05)
        assert job.run().code == 5
        job.write(params={"max_tokens": 20})
        assert job.run("--keep-changed").code == 0
    assert empties == {10: 2, 20: 2}


def test_empty_replies_are_paid_three_times_over_all_runs(job: Job) -> None:
    """Restarts after an endpoint stopped the run do not buy it three more each."""
    empties = list[int]()

    def answer(asked: Asked) -> Step | list[Step]:
        if asked.text != "Question 2":
            return ok()
        if len(empties) < run:
            empties.append(run)
            return ok("")
        return error(401, "Invalid API key")

    codes = list[int]()
    with endpoint(answer) as server:
        job.write(
            rows(3), endpoint__base_url=server.url, concurrency=1, retry__max_wait=0.01, retry__max_possibly_billed=9
        )
        for run in range(1, 6):  # noqa: B007 (the endpoint's)
            codes += [job.run().code]
    assert len(empties) == 3
    assert codes == [5, 5, 3, 3, 3]
    row = failed_row(job)
    assert (row["error_kind"], row["attempts"]) == ("empty_reply", 3)
