from __future__ import annotations

import heapq
import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.preflight.makespan import HIGH_QUANTILE, LOW_QUANTILE, LatencyDistribution


def played(latencies: list[float], concurrency: int) -> float:
    """What it takes when each slot takes the next row as soon as it is free."""
    free = [0.0] * concurrency
    for latency in latencies:
        heapq.heapreplace(free, free[0] + latency)
    return max(free)


@pytest.mark.parametrize(("rows", "concurrency"), [(2_000, 20), (600, 100), (50, 100)])
def test_it_is_what_playing_takes(rows: int, concurrency: int) -> None:
    """Of 40 runs of skewed latencies 32 at least end between the seldom times, and all about at the likely one."""
    random, held, likely, truly = Random(1), 0, 0.0, 0.0
    for _ in range(40):
        latencies = [random.lognormvariate(0.5, 0.6) for _ in range(rows)]
        found, busy = LatencyDistribution.of(latencies[:100], 60.0), math.fsum(latencies)
        truth = played(latencies, concurrency)
        low, high = (found.makespan_s(busy, rows, concurrency, share) for share in (LOW_QUANTILE, HIGH_QUANTILE))
        held += low <= truth <= high
        likely += found.makespan_s(busy, rows, concurrency)
        truly += truth
    assert held >= 32
    assert likely == pytest.approx(truly, rel=0.12)


@given(st.lists(st.floats(0, 600), min_size=1, max_size=20), st.integers(1, 10**6), st.integers(1, 10_000))
def test_it_is_never_less_than_the_work_shared_out(seen: list[float], rows: int, concurrency: int) -> None:
    """It is finite, luck shortens it, and no run of many rows ends before all slots have done their share, about."""
    latencies, busy = LatencyDistribution.of(seen, 0.0), rows * sum(seen) / len(seen)
    low, likely, high = (latencies.makespan_s(busy, rows, concurrency, share) for share in (0.05, 0.5, 0.95))
    assert 0 <= low <= likely <= high < math.inf
    assert high >= busy / max(concurrency, rows) * 0.99 or rows <= concurrency


def test_one_latency_for_all() -> None:
    """Rows that take a second each, ten at a time, take as many seconds as there are tens."""
    assert LatencyDistribution.of([1.0] * 9, 0.0).makespan_s(1_000.0, 1_000, 10) == pytest.approx(100.5, abs=0.6)
    assert LatencyDistribution.of([1.0] * 9, 0.0).makespan_s(5.0, 5, 10) == pytest.approx(1.0, abs=0.01)
