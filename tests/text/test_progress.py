"""Events as a person follows them."""

from __future__ import annotations

import io
from decimal import Decimal
from typing import Any

import pytest

from batchchat.core import events
from batchchat.core.row_counts import RowCounts
from batchchat.core.run_figures import RunFigures
from batchchat.text.progress import Bar, Lines, log_file


def finished(rows: RowCounts, usd: str | None = None, code: int = 0, reason: str = "") -> events.Finished:
    paid_usd = None if usd is None else Decimal(usd)
    return events.Finished(code, reason, reason, RunFigures(rows, paid_usd=paid_usd))


STARTED = events.Started(
    name="chef", model="m", host="api.deepinfra.com", concurrency=1200, source="messages from a.jsonl",
    recognised=None, output="out/chef.parquet",
)  # fmt: skip
PROGRESS = events.Progress(
    elapsed_s=131.0, total=12477, estimated=False, rows=RowCounts(8238, 2, 0, 4237), done=8240, in_flight=200,
    recovering=0, ceiling=200, cost_usd=Decimal("4.12"), expected_cost_usd=Decimal("6.3"),
    tokens_per_s=31_000.0, rows_per_s=7.3, eta_s=580.0, failures={}, retries={},
)  # fmt: skip
FINISHED = finished(RowCounts(12477, left=0), "6.2841")


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        ({}, "200 in flight"),
        ({"max_ceiling": 200}, "200 in flight"),
        ({"max_ceiling": 200, "ceiling": 140, "in_flight": 138}, "138/140 in flight"),
        ({"held_s": 12.4}, "held 12s by the endpoint"),
        ({"held_s": 0.4}, "200 in flight"),
        ({"down_since": 1.0, "probe_in_s": 31.0, "held_s": 9.0}, "endpoint down, next probe in 31s"),
        ({"down_since": 1.0}, "endpoint down, probing"),
    ],
)
def test_the_line_shows_what_holds_it(state: dict[str, Any], shown: str) -> None:
    """The number in flight, under a ceiling that was lowered, or why nothing is sent."""
    lines: list[str] = []
    Lines(lines.append)(PROGRESS._replace(**state))
    assert f" · {shown} · " in lines[0]


def test_growth_is_told_in_the_log_alone() -> None:
    """It is of interest afterwards; meanwhile the line shows it."""
    stream, lines = io.StringIO(), list[str]()
    log_file(stream)(events.CeilingRaised(10, 20))
    Lines(lines.append)(events.CeilingRaised(10, 20))
    bar = io.StringIO()
    Bar(bar)(events.CeilingRaised(10, 20))
    assert stream.getvalue().endswith("Z grown back: 10 -> 20 in flight\n")
    assert (lines, bar.getvalue()) == ([], "")


def test_log_lines_come_once_a_minute_and_at_the_end() -> None:
    """A pipe gets a line a minute, and the last state before the end; nothing in between."""
    lines: list[str] = []
    tell = Lines(lines.append)
    for tenth in range(1300):
        tell(PROGRESS._replace(elapsed_s=tenth / 10))
    assert [line[:5] for line in lines] == ["01:00", "02:00"]
    tell(PROGRESS)
    tell(FINISHED)
    assert lines[-1] == (
        "02:11 8,240/12,477 rows · 7.3/s · $4.1200 of about $6.3000 · 2 failed · 200 in flight · 31k tok/s"
        " · 9m 40s left"
    )


def test_an_estimated_total_says_so() -> None:
    """While the input is still being read its size is `about`."""
    lines: list[str] = []
    tell = Lines(lines.append)
    tell(PROGRESS._replace(estimated=True, total=12500, eta_s=None))
    assert lines[0].startswith("02:11 8,240/about 12,500 rows")


def test_the_last_row_is_named() -> None:
    """A bar that stands still says what it waits for, and for how long at most."""
    lines: list[str] = []
    row = events.AwaitedRow("r9", 12.0, 41.0)
    Lines(lines.append)(PROGRESS._replace(awaited=row, recovering=1, in_flight=1))
    assert " · waiting for row r9, 12s of at most 41s · 1 in flight" in lines[0]


def test_the_last_row_is_named_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 80 columns the row and its time are still to be read, and an id that is a hash is shortened."""
    monkeypatch.setenv("COLUMNS", "80")
    stream = io.StringIO()
    bar = Bar(stream)
    row = events.AwaitedRow("0123456789abcdef" * 2, 12.0, 41.0)
    bar(
        PROGRESS._replace(
            total=300,
            done=299,
            rows=RowCounts(299, left=1),
            in_flight=1,
            cost_usd=Decimal("0.1"),
            awaited=row,
        )
    )
    bar(FINISHED)
    assert "$0.1000 · waiting for 0123456789a…, 12s" in stream.getvalue()


def test_the_reason_of_a_stop_is_logged() -> None:
    """run.log ends with the exit code and why, stamped with the time."""
    stream = io.StringIO()
    log_file(stream)(FINISHED._replace(exit_code=5, text="the key was refused: Ada", reason="unauthorized"))
    lines = [line.split(" ", 1)[1] for line in stream.getvalue().splitlines()]
    assert lines == ["end    12,477 answered · $6.2841", "exit 5: unauthorized"]


def test_the_log_has_failures_and_retries_by_kind() -> None:
    """Each minute run.log says what failed and what was tried again; a terminal's line stays short."""
    stream, lines = io.StringIO(), list[str]()
    event = PROGRESS._replace(failures={"timeout": 1, "schema": 0}, retries={"timeout": 2, "rate_limit": 1900})
    log_file(stream)(event)
    Lines(lines.append)(event)
    assert stream.getvalue().endswith("left · failed: 1 timeout · tried again: 1,900 rate_limit, 2 timeout\n")
    assert lines[0].endswith("9m 40s left")


def test_the_log_ends_with_the_sum() -> None:
    """The end of a run is in its log whatever the exit code, with what is left where that is known."""
    stream = io.StringIO()
    tell = log_file(stream)
    tell(finished(RowCounts(12474, 3, 3, 0)))
    tell(finished(RowCounts(5), "0.5", 143, "SIGTERM"))
    tell(finished(RowCounts(5, left=7), "0.5", 143, "SIGTERM"))
    assert [line.split(" ", 1)[1] for line in stream.getvalue().splitlines()] == [
        "end    12,474 answered · 3 failed · 3 invalid · unknown",
        "exit 0",
        "end    5 answered · an unknown number left · $0.5000",
        "exit 143: SIGTERM",
        "end    5 answered · 7 left · $0.5000",
        "exit 143: SIGTERM",
    ]


@pytest.mark.parametrize(
    ("columns", "money"),
    [
        ("120", "$4.1200 of about $6.3000 · 2 failed · 200 in flight · 31k tok/s"),
        ("80", "$4.1200 · 2 failed · 200 in flight"),
    ],
)
def test_the_bar_stays_one_line_and_is_closed(monkeypatch: pytest.MonkeyPatch, columns: str, money: str) -> None:
    """The bar rewrites its line, other events scroll above it, and what it last said stays; a narrow one is brief."""
    monkeypatch.setenv("COLUMNS", columns)
    stream = io.StringIO()
    bar = Bar(stream)
    bar(STARTED)
    bar(PROGRESS._replace(total=None, estimated=True))
    bar(PROGRESS)
    bar(events.OtherModelServed("a", "b{}"))
    bar(FINISHED)
    text = stream.getvalue()
    assert text.startswith("chef · m at")
    assert " 66%|" in text
    assert f"8,240/12,477 [02:11<09:40, 7.3 rows/s]  {money}" in text
    assert "the endpoint serves b{} for a" in text
    assert text.endswith("\n")


def test_a_cap_stands_beside_the_cost() -> None:
    """The line says what was spent, what it is thought to come to, and what it may come to at most."""
    capped = PROGRESS._replace(max_cost_usd=Decimal(20), elapsed_s=60.0)
    lines: list[str] = []
    Lines(lines.append)(capped)
    assert "$4.1200 of about $6.3000, at most $20.0000 · " in lines[0]
    Lines(lines.append)(capped._replace(expected_cost_usd=None))
    assert "$4.1200 of at most $20.0000 · " in lines[1]


def test_the_pace_of_money_is_told_where_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Log lines and a wide bar say what an hour costs; a narrow bar leaves it out, and nothing is said of nothing."""
    paced = PROGRESS._replace(cost_per_hour_usd=1.2, elapsed_s=60.0)
    lines: list[str] = []
    Lines(lines.append)(paced)
    assert "$4.1200 of about $6.3000 · $1.20/h · 2 failed" in lines[0]
    Lines(lines.append)(paced._replace(cost_per_hour_usd=0.0))
    assert "/h" not in lines[1]
    for columns, told in (("120", True), ("80", False)):
        monkeypatch.setenv("COLUMNS", columns)
        stream = io.StringIO()
        Bar(stream)(paced)
        assert ("$1.20/h" in stream.getvalue()) is told
