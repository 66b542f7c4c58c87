"""How fast rows finish."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.execution.throughput import Throughput


def test_nothing_is_known_at_first() -> None:
    """Before two notes there is no pace and no time left to tell."""
    pace = Throughput()
    assert (pace.rows_per_s, pace.eta_s(10)) == (0.0, None)
    pace.add(0.0, 0, 0)
    assert (pace.rows_per_s, pace.eta_s(10)) == (0.0, None)


def test_a_stall_shows() -> None:
    """After half a minute without a row the pace is nothing, whatever it was before."""
    pace = Throughput()
    for second in range(100):
        pace.add(float(second), second * 10, second * 100)
    assert pace.rows_per_s == pytest.approx(10)
    assert pace.tokens_per_s == pytest.approx(100)
    assert pace.eta_s(2990) == pytest.approx(200)
    for second in range(100, 132):
        pace.add(float(second), 990, 9900)
    assert pace.rows_per_s == pytest.approx(0, abs=0.5)


def test_what_an_hour_costs() -> None:
    """The money of the last half minute, by the hour; what earlier runs paid is not in it."""
    pace = Throughput()
    assert pace.usd_per_hour == 0.0
    for second in range(100):
        pace.add(float(second), second, 0, 5.0 + second * 0.001)
    assert pace.usd_per_hour == pytest.approx(3.6)


@given(st.lists(st.tuples(st.floats(0.01, 5), st.integers(0, 100)), min_size=2, max_size=300))
def test_memory_is_bounded_and_figures_are_never_negative(steps: list[tuple[float, int]]) -> None:
    """However long it runs, it keeps the notes of half a minute; pace and time left are never below zero."""
    pace, now, rows = Throughput(), 0.0, 0
    for step, finished in steps:
        now, rows = now + step, rows + finished
        pace.add(now, rows, rows)
        assert pace.rows_per_s >= 0
        eta_s = pace.eta_s(rows // 2)
        assert eta_s is None or eta_s == 0
    assert len(pace._samples) <= 30 / 0.01 + 2
