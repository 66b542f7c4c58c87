"""The sentence that says how a job stands: first what stopped it, then its rows, time and money, then what is left.

Summary, report, page, status and `on_finish` say it with the same words. Pure.
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from batchchat.core.row_counts import RowCounts
from batchchat.text import numbers
from batchchat.text.times import iso_utc

__all__ = ["Standing", "answered_words", "left_words", "run_sentence"]


class Standing(NamedTuple):
    """How a job stands. `state` is that of `status --json`, None where nothing but its output is known.

    `stopped_by` says in a few words what stopped the run (`by SIGTERM`), None where nothing did. `outdated` rows have a
    record and are to be sent again. With `since_s`, seconds since the epoch, only rows that ended since then count.
    """

    state: str | None = None
    stopped_by: str | None = None
    rows: RowCounts = RowCounts()
    outdated: int = 0
    reason: str | None = None
    estimated_total: int | None = None
    running_s: float | None = None
    since_s: float | None = None


def run_sentence(
    name: str, standing: Standing, *, usd: Decimal | None = None, of_mock: bool = False, span_s: float | None = None
) -> str:
    """`chef stopped by SIGTERM: 215 of 12,480 rows answered in 9m 51s for $4.9981, 12,265 left`.

    `usd` is what was paid, at the price of the mock where it is `of_mock`; `span_s` is the time it took.
    """
    time = f" in {numbers.duration(span_s)}" if span_s else ""
    money = "" if usd is None else f" for {numbers.money(usd)}{' (mock)' if of_mock else ''}"
    head = _head(name, standing).strip()
    if standing.since_s is None:
        answered = answered_words(standing.rows, standing.estimated_total)
    else:
        answered = f"{numbers.rows(standing.rows.answered)} answered"
    return f"{head}{': ' if head else ''}{answered}{time}{money}{left_words(standing)}"


def _head(name: str, standing: Standing) -> str:
    if standing.since_s is not None:
        return f"{name} since {iso_utc(standing.since_s, 'seconds')}"
    if standing.state == "running":
        return f"{name} is running" if name else "still running"
    if standing.state == "killed":
        return f"{name} was killed" if name else "killed"
    if standing.stopped_by:
        return f"{name} stopped {standing.stopped_by}"
    return f"{name} stopped" if standing.state == "stopped" else name


def answered_words(rows: RowCounts, estimated_total: int | None = None) -> str:
    """`12,474 of 12,480 rows answered`, or `… so far` where it is not known how many there are."""
    if rows.total is None and estimated_total is not None:
        return f"{numbers.count(rows.answered)} of about {numbers.rows(estimated_total)} answered"
    if rows.total is None:
        return f"{numbers.rows(rows.answered)} answered so far"
    return f"{numbers.count(rows.answered)} of {numbers.rows(rows.total)} answered"


def left_words(standing: Standing) -> str:
    """`, 12,265 left, 40 to be sent again`; nothing where nothing is left."""
    parts = [
        (standing.rows.left, "left"),
        (standing.outdated, "to be sent again"),
        (standing.rows.undecided, "undecided"),
    ]
    return "".join(f", {numbers.count(count)} {words}" for count, words in parts if count)
