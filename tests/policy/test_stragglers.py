"""Only what hangs is cut, never what is merely long, and no row for ever."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from batchchat.core.conversation import Key
from batchchat.policy.stragglers import FLOOR_S, InFlight, Overdue, StragglerPolicy

ROW = Key("last")


def noted(tail: StragglerPolicy, *latencies_s: float) -> StragglerPolicy:
    for latency_s in latencies_s:
        tail.note(latency_s)
    return tail


def test_a_row_is_cut_beyond_four_times_the_99th_percentile() -> None:
    """Of a hundred answers the slowest one does not count; up to four times the next the row may run."""
    tail = noted(StragglerPolicy(), *[10.0] * 99, 500.0)
    assert tail.overdue(140.0, [InFlight(ROW, 100.0)]) == []
    assert tail.overdue(140.5, [InFlight(ROW, 100.0), InFlight(Key("other"), 139.0)]) == [
        Overdue(ROW, 40.5, 10.0, 1, True)
    ]


def test_each_time_it_may_run_twice_as_long_and_the_third_is_the_last() -> None:
    """A long reply gets its chance; a row that hangs is given up with its third cutoff."""
    tail = noted(StragglerPolicy(), *[10.0] * 100)
    assert tail.cutoff_s(ROW) == 40
    assert [cut.again for cut in tail.overdue(41, [InFlight(ROW, 0)])] == [True]
    assert tail.cutoff_s(ROW) == 80
    assert tail.overdue(80, [InFlight(ROW, 0)]) == []
    assert [cut.again for cut in tail.overdue(81, [InFlight(ROW, 0)])] == [True]
    assert tail.overdue(160, [InFlight(ROW, 0)]) == []
    assert [(cut.again, cut.times) for cut in tail.overdue(161, [InFlight(ROW, 0)])] == [(False, 3)]
    assert tail.cutoff_s(Key("another")) == 40


def test_a_short_run_is_left_alone() -> None:
    """Nothing is cut within half a minute, before a hundred answers, or where rows have but one attempt."""
    assert noted(StragglerPolicy(), *[0.1] * 500).overdue(FLOOR_S, [InFlight(ROW, 0)]) == []
    assert noted(StragglerPolicy(), *[0.1] * 500).overdue(FLOOR_S + 1, [InFlight(ROW, 0)]) != []
    assert noted(StragglerPolicy(), *[0.1] * 99).overdue(1e9, [InFlight(ROW, 0)]) == []
    assert noted(StragglerPolicy(max_resends=0), *[0.1] * 500).overdue(1e9, [InFlight(ROW, 0)]) == []


def test_earlier_runs_count_until_this_one_has_answers() -> None:
    """A resume for the last few rows knows what an answer takes."""
    tail = StragglerPolicy(earlier_p99_s=50.0)
    assert tail.cutoff_s(ROW) == 200
    assert noted(tail, *[10.0] * 100).cutoff_s(ROW) == 40
    assert StragglerPolicy(max_resends=0, earlier_p99_s=50.0).cutoff_s(ROW) is None


def test_the_endpoint_of_now_is_what_counts() -> None:
    """What was slow hours ago gives nobody time now."""
    assert noted(StragglerPolicy(), *[300.0] * 5_000, *[1.0] * 2_000).cutoff_s(ROW) == FLOOR_S


@settings(max_examples=40)
@given(
    latencies=st.lists(st.floats(0, 600), min_size=100, max_size=150),
    ages=st.lists(st.floats(0, 10_000), max_size=20),
)
def test_whatever_the_latencies_only_overdue_rows_are_cut_off(latencies: list[float], ages: list[float]) -> None:
    """Every cut row ran longer than 99 of 100 answers and the floor; every other is within its cutoff."""
    tail = noted(StragglerPolicy(), *latencies)
    running = [InFlight(Key(str(number)), 10_000.0 - age) for number, age in enumerate(ages)]
    bounds = {row.key: tail.cutoff_s(row.key) or 0.0 for row in running}
    cut = {late.key for late in tail.overdue(10_000.0, running)}
    for row in running:
        ran_s = 10_000.0 - row.since
        assert (row.key in cut) == (ran_s > bounds[row.key])
        if row.key in cut:
            assert ran_s > FLOOR_S
            assert sum(ran_s > latency for latency in latencies) >= 0.99 * len(latencies)
