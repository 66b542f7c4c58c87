"""`cluster.partitions`: more parts of the rows than workers, which take one after the other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from decimal import Decimal
from typing import Any
from unittest.mock import patch

import pytest

from batchchat.cluster import local
from batchchat.sources import first_rows
from tests.acceptance.job import PATIENCE_S, Job, rows, until
from tests.acceptance.servers import mock_thread
from tests.acceptance.test_workers import (
    CONCURRENCY,
    replaced,
    segments_with_answers,
    sent_more_than_once,
    whole,
    workers_of,
)
from tests.field.endpoint import endpoint, ok

OF_ONE_ATTEMPT = {"latency_s", "started_at", "finished_at", "wait_s", "response_id"}
"""Columns that differ between two runs of one process, too."""


class Processes:
    """The workers that were started, by `spawn`, and how many of them lived at each start."""

    def __init__(self) -> None:
        self._spawn = local._spawn
        self._started: list[subprocess.Popen[bytes]] = []
        self.living: list[int] = []

    def spawn(self, *arguments: Any) -> subprocess.Popen[bytes]:
        self._started.append(self._spawn(*arguments))
        self.living.append(sum(process.poll() is None for process in self._started))
        return self._started[-1]


def figures(job: Job, *arguments: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Run the job from nothing: what it says in sum, and the table but for its timings."""
    ended = job.run("--fresh", "--json", *arguments)
    assert ended.code == 3, ended.err
    summary = json.loads(ended.out)
    table = [{name: value for name, value in row.items() if name not in OF_ONE_ATTEMPT} for row in job.table()]
    return {name: summary[name] for name in ("rows", "cost_usd", "tokens", "failures")}, table


def test_as_many_at_a_time_as_workers(job: Job) -> None:
    """Six partitions are sent by two processes at a time; figures and table are those of one process."""
    processes = Processes()
    with mock_thread(latency_s=0.1, seed=3, max_concurrent=CONCURRENCY) as mock:
        job.write([*rows(200), "{broken", {"id": "r0003", "messages": []}], endpoint__base_url=mock.url)
        job.write(concurrency=CONCURRENCY, workers=2, cluster__partitions=6)
        with patch.object(local, "_spawn", processes.spawn):
            in_parts = figures(job)
        assert segments_with_answers(job) == 6
        stats = mock.stats()
        alone = figures(job, "--set", "workers=1")
    assert (len(processes.living), max(processes.living)) == (6, 2)
    assert stats["requests"] == stats["billed_rows"] == 200
    assert stats["max_in_flight"] <= CONCURRENCY
    assert in_parts == alone


def test_a_killed_workers_partition_goes_on(job: Job) -> None:
    """Another process has the rest of it, and each of the others is sent once."""
    with mock_thread(latency_s=0.2, max_concurrent=CONCURRENCY) as mock:
        job.write(rows(300), endpoint__base_url=mock.url, concurrency=CONCURRENCY, workers=2, cluster__partitions=6)
        running = job.start()
        victim = workers_of(running, 2)[0]
        until(lambda: job.acknowledged() > 20 and segments_with_answers(job) == 2, "rows of both workers")
        os.kill(victim, signal.SIGKILL)
        ended = running.end(PATIENCE_S)
        whole(job, ended, 300)
        stats = mock.stats()
    assert segments_with_answers(job) == 7
    assert sent_more_than_once(job, 300) == []
    assert stats["requests"] <= 300 + CONCURRENCY
    assert stats["max_in_flight"] <= CONCURRENCY


@pytest.mark.parametrize("limit", [13, 95])
def test_a_limit_on_rows_is_used_up(job: Job, limit: int) -> None:
    """To the row, also where it is more than the first partitions have; what is left is known, and sent later."""
    with mock_thread(latency_s=0.0) as mock, patch.object(first_rows, "_COUNT_WITHIN_S", -1.0):
        job.write(rows(120), endpoint__base_url=mock.url, workers=2, cluster__partitions=4)
        ended = job.run("--limit", str(limit))
        assert ended.code == 0, ended.err
        assert mock.stats()["requests"] == len(job.table()) == limit
        assert f"{120 - limit} left" in ended.out
        whole(job, job.run("--set", "cluster.partitions=3"), 120)
        assert mock.stats()["requests"] == 120


@pytest.mark.field
def test_a_limit_on_rows_passes_by_what_is_not_sent(job: Job) -> None:
    """Partitions of bad rows alone give their part of it back."""
    mixed = [{**row, "messages": []} if n % 4 < 2 else row for n, row in enumerate(rows(80))]
    with mock_thread(latency_s=0.0) as mock:
        job.write(mixed, endpoint__base_url=mock.url, workers=2, cluster__partitions=4)
        ended = job.run("--limit", "33")
        assert ended.code == 3, ended.err
        assert mock.stats()["requests"] == 33


@pytest.mark.field
def test_the_cap_holds_over_all_partitions(job: Job) -> None:
    """It is used, by those that begin later as well, and once it is used up no further partition begins."""
    processes = Processes()
    with mock_thread(latency_s=0.01, seed=1) as mock:
        job.write(
            rows(300),
            endpoint__base_url=mock.url,
            concurrency=CONCURRENCY,
            workers=2,
            cluster__partitions=10,
            params={"max_tokens": 100},
            price={"input": 1, "output": 1},
            budget__max_cost=0.01,
        )
        with patch.object(local, "_spawn", processes.spawn):
            ended = job.run("--json")
        assert ended.code == 4, ended.err
        cost = Decimal(mock.stats()["cost_usd"])
        summary = json.loads(ended.out)
        assert Decimal("0.008") < cost <= Decimal("0.01")
        assert Decimal(str(summary["cost_usd"]["known"])) == cost
        assert summary["rows"]["left"] == 300 - summary["rows"]["answered"] > 30
        assert len(processes.living) < 10
        whole(job, job.run("--max-cost", "1"), 300)
        assert mock.stats()["requests"] == 300


@pytest.mark.field
def test_a_cap_of_a_few_rows_is_enough_for_all(job: Job) -> None:
    """What a partition had reserved is free for the next one: at its worst case a row may cost more than half."""
    with endpoint(lambda _: [0.02, ok("yes")]) as server:
        job.write(
            rows(6),
            endpoint__base_url=server.url,
            concurrency=2,
            workers=2,
            cluster__partitions=6,
            params={"max_tokens": 1000},
            price={"input": 1, "output": 1},
            budget__max_cost=0.0039,  # a row may cost 0.0021
        )
        whole(job, job.run(), 6)


@pytest.mark.parametrize("partitions", [2, 7])
def test_a_signal_before_all_have_begun(job: Job, partitions: int) -> None:
    """What is in flight is kept, nothing else begins, and any other number of partitions goes on with the rest."""
    with mock_thread(latency_s=0.2, max_concurrent=CONCURRENCY) as mock:
        job.write(rows(300), endpoint__base_url=mock.url, concurrency=CONCURRENCY, workers=2, cluster__partitions=6)
        running = job.start()
        until(lambda: job.acknowledged() > 20, "rows")
        running.signal(signal.SIGINT)
        ended = running.end(PATIENCE_S)
        assert ended.code == 130
        done = job.acknowledged()
        stats = mock.stats()
        assert stats["billed_rows"] == stats["requests"] == done < 200
        assert f"{300 - done} left" in ended.out
        ended = job.run("--set", f"cluster.partitions={partitions}")
        whole(job, ended, 300)
        assert mock.stats()["requests"] == 300
        assert f"are kept · {300 - done} new" in ended.err


@pytest.mark.field
def test_a_partition_whose_workers_die(job: Job) -> None:
    """Three deaths without a row end the run, which names the partition."""
    with endpoint(lambda _: [20.0, ok("late")]) as server:
        job.write(rows(40), endpoint__base_url=server.url, concurrency=4, workers=2, cluster__partitions=5)
        running = job.start()
        victim, bystander = workers_of(running, 2)
        until(lambda: len(server.asked) >= 4, "requests of both")
        for _ in range(3):
            os.kill(victim, signal.SIGKILL)
            victim = replaced(running, {victim, bystander})
        ended = running.end(90)
    assert ended.code == 6
    assert "the worker of partition 1 of 5 died 3 times without finishing a row" in ended.err
    assert len(server.asked) <= 10
