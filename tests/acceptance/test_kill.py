"""SIGKILL at random moments: no acknowledged answer is lost, and little is paid twice."""

from __future__ import annotations

import random
import re
import time
from typing import Any

import pytest

from tests.acceptance.job import Ended, Job, Running, rows, until
from tests.acceptance.servers import Mock, mock_thread

CONCURRENCY = 64


def answers(job: Job) -> dict[str, str]:
    """The first acknowledged response of each row."""
    found: dict[str, str] = {}
    for record in job.journal():
        if record["kind"] == "row" and record["status"] == "answered":
            found.setdefault(record["id"], record["reply"]["response_id"])
    return found


def wait_for(job: Job, running: Running, goal: int) -> None:
    """Wait until the journal holds `goal` rows, or the run is over."""
    until(lambda: job.acknowledged() >= goal or running.process.poll() is not None)


def run_with_kills(job: Job, mock: Mock, count: int, kills: int, seed: int) -> tuple[Ended, dict[str, Any]]:
    """Run `count` rows with `kills` SIGKILLs; the last run's end and the server's stats. Checks on the way."""
    moments = random.Random(seed)
    job.write(rows(count), endpoint__base_url=mock.url, concurrency=CONCURRENCY)
    kept: dict[str, str] = {}
    killed = 0
    while killed < kills:
        # From none at all up to its fair share of what is left.
        goal = len(kept) + moments.randint(0, (count - len(kept)) // (kills - killed + 1))
        running = job.start()
        wait_for(job, running, goal)
        time.sleep(moments.random() * 0.05)
        running.process.kill()
        ended = running.end()
        if ended.code == 0:
            break
        assert ended.code == -9, ended.err
        killed += 1
        now = answers(job)
        assert kept.items() <= now.items(), "an acknowledged answer changed or went"
        kept = now
    ended = job.run()
    assert ended.code == 0, ended.err
    table = job.table()
    assert [row["id"] for row in table] == [f"r{n:04}" for n in range(count)]
    assert {row["status"] for row in table} == {"answered"}
    assert kept.items() <= {row["id"]: row["response_id"] for row in table}.items()
    stats = mock.stats()
    assert stats["requests"] <= count + 2 * CONCURRENCY * killed
    assert stats["billed_rows"] == count
    assert stats["billed_twice"] <= 2 * CONCURRENCY * killed
    assert killed == kills
    return ended, stats


def test_killed_four_times(job: Job) -> None:
    """Whatever kills the process, each row is there once with the answer that was acknowledged first."""
    with mock_thread(latency_s=0.05, latency_jitter_s=0.1) as mock:
        ended, _ = run_with_kills(job, mock, count=600, kills=4, seed=11)
    assert ended.headline.startswith("job: 600 of 600 rows answered for $")
    # A summary that leaves out what may have been billed would be untrue.
    told = re.search(r" not in it: up to (\d+) requests that were in flight", ended.out)
    assert told
    # A run that was killed before it sent anything has nothing at risk.
    assert int(told[1]) in {2 * CONCURRENCY * kills for kills in (2, 3, 4)}


def test_nothing_is_left_behind(job: Job) -> None:
    """A killed run that was resumed leaves no temporary files beside its output."""
    with mock_thread(latency_s=0.1) as mock:
        job.write(rows(200), endpoint__base_url=mock.url)
        running = job.start()
        until(lambda: job.acknowledged() > 50)
        running.process.kill()
        running.end()
        assert job.run().code == 0
    assert sorted(path.name for path in job.folder.iterdir()) == [
        "in.jsonl",
        "job.yaml",
        "out.parquet",
        "out.run",
        "tmp",
    ]
    kept = sorted(path.name for path in job.run_folder.iterdir())
    assert kept == ["checkpoint", "journal-000001.jsonl", "lock", "run.json", "run.log"]


def test_export_of_a_killed_run(job: Job) -> None:
    """The results so far can be had from a run that was killed, as Parquet and as JSON lines."""
    with mock_thread(latency_s=0.1) as mock:
        job.write(rows(400), endpoint__base_url=mock.url)
        running = job.start()
        until(lambda: job.acknowledged() > 100)
        running.process.kill()
        running.end()
    kept = answers(job)
    ended = job.run("export", "job.yaml", "--to", "parquet", "-o", "so-far.parquet")
    assert (ended.code, ended.out, ended.err) == (0, f"so-far.parquet: {len(kept)} rows\n", "")
    assert {row["id"]: row["response_id"] for row in job.table(job.folder / "so-far.parquet")} == kept
    ended = job.run("export", "out.parquet", "--to", "jsonl", "-o", "so-far.jsonl")
    assert (ended.code, ended.out, ended.err) == (0, f"so-far.jsonl: {len(kept)} rows\n", "")
    assert len((job.folder / "so-far.jsonl").read_text().splitlines()) == len(kept)


@pytest.mark.soak
def test_killed_twenty_times(job: Job, record_property: Any) -> None:
    """10,000 rows at 64 in flight with 20 SIGKILLs: at most 2 x 64 requests more for each of them."""
    start = time.monotonic()
    with mock_thread(latency_s=0.05, latency_jitter_s=0.1) as mock:
        ended, stats = run_with_kills(job, mock, count=10_000, kills=20, seed=2026)
    print(f"\n{time.monotonic() - start:.0f} s, {stats}\n{ended.out}")
