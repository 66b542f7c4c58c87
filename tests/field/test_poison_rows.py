"""Rows that are refused again and again, for something in themselves, beside rows that are answered."""

from __future__ import annotations

import random
import time

import pytest

from tests.acceptance.job import Job, rows
from tests.field.endpoint import Asked, Step, endpoint, error, ok

REFUSALS = {
    "429": error(429, "Please slow down."),
    "429 with a Retry-After": error(429, "Rate limit reached", headers={"Retry_After": "1"}),
    "503": error(503, "", body=b"<html><h1>503 Service Temporarily Unavailable</h1></html>"),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS.keys())
def test_a_row_that_is_always_refused_fails_and_the_others_are_answered(job: Job, refusal: bytes) -> None:
    """Nobody waits for the endpoint to come back: it was never away."""
    with endpoint(lambda asked: refusal if asked.text == "Question 7" else [0.01, ok()]) as server:
        job.write(rows(60), endpoint__base_url=server.url, concurrency=4, retry__max_wait=0.05, retry__max_outage=20)
        ended = job.run()
    assert ended.code == 3, ended.err
    table = job.table()
    assert [row["id"] for row in table if row["status"] != "answered"] == ["r0007"]
    assert table[7]["error_kind"] == ("overloaded" if b"503" in refusal[:20] else "rate_limit")
    assert "while other requests were answered (`retry.max_attempts`)" in table[7]["error"]
    assert table[7]["attempts"] == server.attempts["Question 7"]
    assert 6 <= table[7]["attempts"] <= 8  # more where too few others were sent beside it to rule out chance


def test_rows_in_recovery_never_keep_fresh_rows_from_being_taken(job: Job) -> None:
    """More bad rows than workers, all in their backoff: the others are answered meanwhile."""
    bad = {f"Question {number}" for number in range(0, 200, 10)}

    def answer(asked: Asked) -> Step | list[Step]:
        return error(500, "no") if asked.text in bad else ok()

    with endpoint(answer) as server:
        job.write(rows(200), endpoint__base_url=server.url, concurrency=2, retry__max_wait=3, retry__max_attempts=2)
        assert job.run().code == 3
        first = [asked.text for asked in server.asked if asked.attempt == 1]
        last_good = max(asked.number for asked in server.asked if asked.text not in bad)
        retries_before = sum(asked.attempt == 2 for asked in server.asked if asked.number < last_good)
    assert len(first) == 200
    assert retries_before < 20


@pytest.mark.field
def test_a_retry_after_of_hours_on_one_row_holds_that_row_for_max_wait(job: Job) -> None:
    """The others go on, and so does the run, a second or two later."""

    def answer(asked: Asked) -> Step | list[Step]:
        if asked.text == "Question 3" and asked.attempt == 1:
            return error(429, "Rate limit reached", headers={"Retry_After": "7200"})
        return [0.01, ok()]

    begun = time.monotonic()
    with endpoint(answer) as server:
        job.write(rows(40), endpoint__base_url=server.url, concurrency=4, retry__max_wait=2)
        assert job.run().code == 0
    # All requests are held for up to a minute by the first refusal that asks for it.
    assert time.monotonic() - begun < 90


ROWS, IN_FLIGHT = 2000, 200
PERMANENT, BAD_REQUEST, AT_RANDOM = 0.05, 0.02, 0.1


def kinds_of_rows() -> tuple[list[str], list[float]]:
    """For each row "429", "503", "400" or "good", and how long its answer takes."""
    rng = random.Random(1)
    bounds = {"429": PERMANENT / 2, "503": PERMANENT, "400": PERMANENT + BAD_REQUEST, "good": 1.0}
    draws = [rng.random() for _ in range(ROWS)]
    kinds = [next(kind for kind, bound in bounds.items() if draw < bound) for draw in draws]
    return kinds, [rng.uniform(4, 8) for _ in range(ROWS)]


@pytest.mark.field
def test_bad_rows_cost_the_others_less_than_a_tenth_of_their_speed(job: Job) -> None:
    """2,000 rows at 200 in flight, 5 % refused for ever and 2 % bad requests, and one request in ten refused at random.

    The same good rows are sent without any of that first. Good rows a second, from the first request to the last answer
    to a good row, are compared.
    """
    kinds, seconds = kinds_of_rows()
    good = [number for number, kind in enumerate(kinds) if kind == "good"]
    rng = random.Random(2)

    def answer(asked: Asked, *, with_faults: bool) -> Step | list[Step]:
        number = int(asked.text.split()[-1])
        kind = kinds[number]
        if kind == "400":
            return error(400, "This prompt can't be answered.")
        if kind != "good":
            return REFUSALS[kind]
        if with_faults and rng.random() < AT_RANDOM:
            return REFUSALS["429"]
        return [seconds[number], ok()]

    speeds, everything = [], rows(ROWS)
    for with_faults in (False, True):
        sent = everything if with_faults else [everything[number] for number in good]
        with endpoint(lambda asked, with_faults=with_faults: answer(asked, with_faults=with_faults)) as server:  # type: ignore[misc]
            job.write(sent, endpoint__base_url=server.url, concurrency=IN_FLIGHT, retry__max_wait=10)
            ended = job.run("--fresh", "--yes")
        assert ended.code == (3 if with_faults else 0), ended.err
        table = job.table()
        answered = [row for row in table if row["status"] == "answered"]
        assert [row["id"] for row in answered] == [everything[number]["id"] for number in good]
        begun = min(row["started_at"] for row in table)
        elapsed_s = (max(row["finished_at"] for row in answered) - begun).total_seconds()
        speeds.append(len(answered) / elapsed_s)
        until_s = (max(row["finished_at"] for row in table) - begun).total_seconds()
        attempts = sum(server.attempts.values())
        print(
            f"{speeds[-1]:.2f} good rows/s over {elapsed_s:.1f} s; all ended after {until_s:.1f} s, {attempts} requests"
        )
    print(f"{speeds[1] / speeds[0]:.1%} of the speed")
    assert speeds[1] >= 0.9 * speeds[0]
