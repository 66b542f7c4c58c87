"""What the pictures show, against the plain count."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchchat.reporting.html.pictures import clock_of, histogram, over_time, spent_by
from batchchat.reporting.html.row_columns import READ, RowColumns, read_row_columns
from batchchat.store.parquet import batches_of
from batchchat.store.published import Published
from tests.reporting.html.given import START, output_of, run_of
from tests.store.given import answered, invalid

SPANS = st.lists(st.tuples(st.floats(0, 500), st.floats(0.01, 60)), min_size=1, max_size=30)


def facts(spans: list[tuple[float, float]]) -> RowColumns:
    rows = [
        answered(str(n), started_at=START + begin, finished_at=START + begin + length, latency_s=length)
        for n, (begin, length) in enumerate(spans)
    ]
    return read_row_columns(batches_of(rows, {}, READ), [])


@given(SPANS)
def test_in_flight_is_the_time_in_flight(spans: list[tuple[float, float]]) -> None:
    """The curve holds just the time that requests took, and its peak is the most that overlapped."""
    seen = facts(spans)
    clock = clock_of(seen)
    assert clock is not None
    told = over_time(seen, clock, seen.status.are("answered"))
    width = clock.length_s / len(told["in_flight"])
    assert sum(told["in_flight"]) * width == pytest.approx(sum(length for _, length in spans), rel=2e-3, abs=1e-3)
    moments = [round(begin, 6) for begin, _ in spans]
    ends = [begin + length for begin, length in spans]
    most = max(sum(b <= at + 2e-6 and at - 2e-6 < e for b, e in zip(moments, ends, strict=True)) for at in moments)
    least = max(sum(b <= at - 2e-6 and at + 2e-6 < e for b, e in zip(moments, ends, strict=True)) for at in moments)
    assert least <= told["peak"] <= most
    assert sum(told["answers_per_s"]) * width == pytest.approx(len(spans), rel=2e-3)


def test_a_night_between_two_runs_is_not_drawn() -> None:
    """Running time leaves out what passed while nothing ran, and tells where and how long that was."""
    seen = facts([(0.0, 30.0), (25.0, 30.0), (40_055.0, 45.0)])
    clock = clock_of(seen)
    assert clock is not None
    assert clock.length_s == pytest.approx(100.0)
    assert clock.running(np.array([START, START + 55, START + 40_055, START + 40_100])).tolist() == pytest.approx(
        [0.0, 55.0, 55.0, 100.0]
    )
    assert clock.breaks() == [{"at": pytest.approx(55.0), "text": "stopped for 11h 06m"}]


@example([9999.999999999998, 10_000.0])
@example([0.0, 0.0])
@given(st.lists(st.floats(0.001, 10_000), min_size=1, max_size=200))
def test_no_row_is_lost_from_a_histogram(values: list[float]) -> None:
    """Bins and what lies beyond them are all the rows."""
    told = histogram(np.array(values))
    assert told is not None
    assert sum(told["counts"]) + told["beyond"] == len(values) == told["rows"]
    assert len(told["edges"]) == len(told["counts"]) + 1


def test_unknown_is_not_drawn() -> None:
    """Without values there is no picture, and NaN is no value."""
    assert histogram(np.array([np.nan])) is None
    assert clock_of(read_row_columns(batches_of([invalid("a")], {}, READ), [])) is None


def test_groups_keep_all_money(tmp_path: Path) -> None:
    """A long list of groups is cut after the twelfth, the rest stands in one bar, and the bars are the whole."""
    rows = [answered(str(n), carried={"topic": f"t{n % 40}"}, cost_usd=n / 1000) for n in range(400)]
    output = Published(output_of(tmp_path / "x.parquet", rows))
    seen = read_row_columns(output.batches(READ | {"topic"}), ["topic"])
    assert seen.by is not None
    bars = spent_by(seen.by, seen)["bars"]
    assert (len(bars), bars[-1]["name"]) == (13, "28 others")
    assert sum(bar["cost"] for bar in bars) == pytest.approx(sum(n / 1000 for n in range(400)))
    assert sum(bar["rows"] for bar in bars) == 400
    assert bars[0]["name"] == "t39"


def test_a_journal_s_rows_are_the_same_facts(tmp_path: Path) -> None:
    """Rows that are not published yet are drawn as they will be."""
    rows = run_of(200)
    published = read_row_columns(Published(output_of(tmp_path / "x.parquet", rows)).batches(READ), [])
    journaled = read_row_columns(batches_of(rows, {}, READ), [])
    for name in ("cost_usd", "latency_s", "started_at", "attempts", "prompt_tokens"):
        np.testing.assert_array_equal(getattr(published, name), getattr(journaled, name))
    assert published.model.names == journaled.model.names
    np.testing.assert_array_equal(published.error_kind.of, journaled.error_kind.of)
