"""A night with everything in it: every row ends once, for what it cost, whatever failed and whoever was killed."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from decimal import Decimal

import pytest

from batchchat.core.conversation import ErrorKind
from batchchat.mock.faults import KINDS
from tests.acceptance.job import PATIENCE_S, Ended, Job, Running, rows
from tests.acceptance.servers import completion, http, mock_process, raw_server
from tests.acceptance.test_kill import wait_for

CONCURRENCY = 32


@pytest.mark.parametrize("status", [400, 500])
def test_three_bad_rows_among_a_thousand(job: Job, status: int) -> None:
    """One over-long, one filtered, one refused: 997 answered, 3 failed with reasons, exit 3, no retry spent on them."""
    too_long = {"error": {"message": "Requested input length 99009 exceeds maximum input length 8192"}}
    refusal = {"detail": [{"loc": ["body", "messages", 0, "content"], "msg": "not allowed", "type": "value_error"}]}
    bad = {
        "Question 100": http(status, too_long),
        "Question 500": http(200, {"choices": [{"message": {"content": ""}, "finish_reason": "content_filter"}]}),
        "Question 900": http(422, refusal),
    }
    with raw_server(lambda asked: bad.get(asked.said) or http(200, completion())) as server:
        job.write(rows(1000), endpoint__base_url=server.url, concurrency=64)
        ended = job.run("--progress", "none")
        assert server.requests == 1000
    assert ended.code == 3
    assert ended.headline.startswith("job: 997 of 1,000 rows answered for $")
    failed = [row for row in job.table() if row["status"] == "failed"]
    assert [(row["id"], row["error_kind"], row["error"], row["attempts"]) for row in failed] == [
        ("r0100", "context_length", too_long["error"]["message"], 1),
        ("r0500", "content_filter", "the response was filtered", 1),
        ("r0900", "bad_request", "body.messages.0.content: not allowed", 1),
    ]
    assert "retries" not in ended.out


def a_night(job: Job, seed: int, count: int, kills: int) -> float:
    """All faults of the mock at once, jitter, and SIGKILLs; then every figure is looked at. Its seconds."""
    moments = random.Random(seed)
    start = time.monotonic()
    faults = [word for kind in KINDS for word in ("--fault", f"{kind}=0.03")]
    with mock_process("--seed", str(seed), "--latency", "0.01", "--latency-jitter", "0.1", *faults) as mock:
        job.write(
            rows(count),
            endpoint__base_url=mock.url,
            concurrency=CONCURRENCY,
            timeout__total=1.5,  # below what the fault `slow` adds
            retry__max_wait=0.1,
            retry__max_attempts=20,
        )
        done = 0
        for kill in range(kills):
            goal = done + moments.randint(0, (count - done) // (kills - kill + 1))
            running = job.start("--progress", "none")
            wait_for(job, running, goal)
            time.sleep(moments.random() * 0.05)
            running.process.kill()
            running.end()
            done = job.acknowledged()
        ended = end_of(job, job.start("--progress", "none"))
        check_the_books(job, ended, mock.stats(), count, kills)
    return time.monotonic() - start


def end_of(job: Job, running: Running) -> Ended:
    """How a run ends, which is waited for as long as more rows are done each time that a hung one would have ended."""
    before = -1
    while running.process.poll() is None and (done := job.acknowledged()) > before:
        before = done
        with suppress(subprocess.TimeoutExpired):
            running.process.wait(PATIENCE_S)
    return running.end()


def check_the_books(job: Job, ended: Ended, stats: dict[str, object], count: int, kills: int) -> None:
    """Each row once, answered or failed with its reason, its cost what its own answers were billed at."""
    table = job.table()
    assert [row["id"] for row in table] == [row["id"] for row in rows(count)]
    failed = [row for row in table if row["status"] == "failed"]
    assert ended.code == (3 if failed else 0), ended.err
    assert {row["status"] for row in table} <= {"answered", "failed"}
    assert {row["error_kind"] for row in failed} <= {kind.value for kind in ErrorKind}
    assert all(row["error"] for row in failed)
    steps: dict[str, Decimal] = {}
    for record in job.journal():
        if record["kind"] == "step" and record["cost_usd"] is not None:  # an empty reply, paid for
            steps[record["id"]] = steps.get(record["id"], Decimal(0)) + Decimal(repr(record["cost_usd"]))
    for row in table:
        if row["status"] == "answered":
            billed = Decimal(int(row["response_id"][-12:], 16)).scaleb(-9)  # as the mock wrote it into its id
            assert Decimal(repr(row["cost_usd"])) == billed + steps.get(row["id"], Decimal(0)), row["id"]
    paid = costs_of(table)
    assert Decimal(repr(job.state()["cost_usd"])) == paid
    # What the server reported and we do not have was in flight at a kill, or cut off by our timeout.
    reported = Decimal(str(stats["reported_cost_usd"]))
    lost = sum(row["possibly_billed_attempts"] for row in table) + 2 * CONCURRENCY * kills
    assert paid <= reported
    assert reported - paid <= lost * max(Decimal(repr(row["cost_usd"])) for row in table if row["cost_usd"])
    if not kills:
        assert stats["requests"] == sum(row["attempts"] for row in table)


def costs_of(table: Sequence[dict[str, object]]) -> Decimal:
    """The exact sum of the known costs."""
    return sum((Decimal(repr(row["cost_usd"])) for row in table if row["cost_usd"] is not None), Decimal(0))


@pytest.mark.parametrize(("seed", "kills"), [(1, 0), (2, 2)])
def test_a_small_night(job: Job, seed: int, kills: int) -> None:
    """All faults at once with jitter and kills: nothing hangs, nothing is lost or doubled, each cost is exact."""
    a_night(job, seed, count=160, kills=kills)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(20))
def test_a_night(job: Job, seed: int) -> None:
    """The same at 2,000 rows with three kills, for twenty seeds."""
    print(f"\nseed {seed}: {a_night(job, 1000 + seed, count=2000, kills=3):.0f} s")


@pytest.mark.soak
def test_five_thousand_in_flight_under_a_file_limit_of_1024(job: Job) -> None:
    """The soft limit is raised by ourselves; all 5,000 are in flight at the same moment, and all are answered."""
    import resource

    def low() -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))

    with mock_process("--latency", "8") as mock:
        job.write(rows(6000), endpoint__base_url=mock.url, concurrency=5000, timeout__connect=60, adaptive=False)
        start = time.monotonic()
        ended = job.start("--progress", "none", preexec_fn=low).end(300)
        stats = mock.stats()
    assert ended.code == 0, ended.err
    assert stats["billed_rows"] == 6000
    print(f"\n{time.monotonic() - start:.0f} s, at most {stats['max_in_flight']} in flight\n{ended.out}")
    assert stats["max_in_flight"] == 5000
