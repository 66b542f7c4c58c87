from __future__ import annotations

import heapq
import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.preflight.makespan import HIGH_QUANTILE, LOW_QUANTILE, LatencyDistribution


def simulated_s(latencies: list[float], concurrency: int) -> float:
    """The duration of a simulated run, in which each slot takes the next row as soon as it is free."""
    free = [0.0] * concurrency
    for latency in latencies:
        heapq.heapreplace(free, free[0] + latency)
    return max(free)


@pytest.mark.parametrize(("rows", "concurrency"), [(2_000, 20), (600, 100), (50, 100)])
def test_it_agrees_with_a_simulation(rows: int, concurrency: int) -> None:
    """At least 32 of 40 runs of skewed latencies end between both quantiles, and their mean is about the median."""
    random, covered, median, simulated = Random(1), 0, 0.0, 0.0
    for _ in range(40):
        latencies = [random.lognormvariate(0.5, 0.6) for _ in range(rows)]
        distribution, busy_s = LatencyDistribution.of(latencies[:100], 60.0), math.fsum(latencies)
        truth = simulated_s(latencies, concurrency)
        low, high = (
            distribution.makespan_s(busy_s, rows, concurrency, quantile) for quantile in (LOW_QUANTILE, HIGH_QUANTILE)
        )
        covered += low <= truth <= high
        median += distribution.makespan_s(busy_s, rows, concurrency)
        simulated += truth
    assert covered >= 32
    assert median == pytest.approx(simulated, rel=0.12)


@given(st.lists(st.floats(0, 600), min_size=1, max_size=20), st.integers(1, 10**6), st.integers(1, 10_000))
def test_it_is_at_least_the_work_divided_by_the_slots(sample: list[float], rows: int, concurrency: int) -> None:
    """It is finite and grows with the quantile, and its high end is at least about the work of one slot."""
    distribution, busy_s = LatencyDistribution.of(sample, 0.0), rows * sum(sample) / len(sample)
    low, median, high = (distribution.makespan_s(busy_s, rows, concurrency, quantile) for quantile in (0.05, 0.5, 0.95))
    assert 0 <= low <= median <= high < math.inf
    assert high >= busy_s / max(concurrency, rows) * 0.99 or rows <= concurrency


def test_one_latency_for_all() -> None:
    """1,000 rows that take a second each, ten at a time, take about 100 seconds."""
    assert LatencyDistribution.of([1.0] * 9, 0.0).makespan_s(1_000.0, 1_000, 10) == pytest.approx(100.5, abs=0.6)
    assert LatencyDistribution.of([1.0] * 9, 0.0).makespan_s(5.0, 5, 10) == pytest.approx(1.0, abs=0.01)
