"""The line that shows how far a run is."""

from __future__ import annotations

from decimal import Decimal

import pytest

from batchchat.core import events
from batchchat.core.row_counts import RowCounts
from batchchat.core.run_figures import RunFigures
from batchchat.text.progress_line import failure_kinds, figures, finished_line, progress_line, rows_of_total

PROGRESS = events.Progress(
    elapsed_s=131.0, total=100, estimated=False, rows=RowCounts(38, 2, 0, 60), done=40, in_flight=8,
    recovering=3, ceiling=8, cost_usd=Decimal("4.12"), expected_cost_usd=Decimal("6.3"),
    tokens_per_s=31_000.0, rows_per_s=7.3, eta_s=580.0, failures={}, retries={},
)  # fmt: skip


def finished(rows: RowCounts, paid_usd: Decimal | None) -> events.Finished:
    return events.Finished(0, "", "", RunFigures(rows, paid_usd=paid_usd))


def test_the_whole_line() -> None:
    """Time elapsed, rows, pace, money, trouble, requests in flight, token rate, time left."""
    assert progress_line(PROGRESS) == (
        "02:11 40/100 rows · 7.3/s · $4.1200 of about $6.3000 · 2 failed · 3 retrying · 8 in flight · 31k tok/s"
        " · 9m 40s left"
    )


@pytest.mark.parametrize(
    ("total", "estimated", "text"), [(None, False, "40"), (100, False, "40/100"), (100, True, "40/about 100")]
)
def test_the_total_may_be_unknown(total: int | None, estimated: bool, text: str) -> None:
    """What is estimated says so, and what is unknown is left out."""
    assert rows_of_total(PROGRESS._replace(total=total, estimated=estimated)) == text


def test_brief_figures_leave_rates_and_expectations_out() -> None:
    """A narrow terminal shows what is spent, what failed and what is in flight."""
    assert figures(PROGRESS, brief=True) == "$4.1200 · 2 failed · 3 retrying · 8 in flight"


def test_unknown_cost_is_not_shown_as_nothing() -> None:
    """No figure of money stands where none is known."""
    assert "$" not in figures(PROGRESS._replace(cost_usd=None))


def test_kinds_are_ranked() -> None:
    """The most frequent first; a kind that no row has any more is left out."""
    event = PROGRESS._replace(failures={"schema": 0, "timeout": 1}, retries={"timeout": 2, "rate_limit": 1900})
    assert failure_kinds(event) == " · failed: 1 timeout · tried again: 1,900 rate_limit, 2 timeout"
    assert failure_kinds(PROGRESS) == ""


def test_the_last_line_has_all_counts() -> None:
    """Answered rows are always counted, the others where there are any."""
    assert finished_line(finished(RowCounts(left=0), None)) == "end    0 answered · unknown"
    assert finished_line(finished(RowCounts(5, 1, 2, 3, cut_off=4), Decimal("0.5"))) == (
        "end    5 answered · 4 cut off · 1 failed · 2 invalid · 3 left · $0.5000"
    )
