"""The report on a terminal: an output's figures by topic, and a table of its groups or of several outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from batchchat import lossless_json
from batchchat.core.totals import OffRowCosts
from batchchat.report.lines import answered_words, cost_lines, failure_lines, retry_lines, token_lines
from batchchat.results.group_stats import GroupStats
from batchchat.text import numbers
from batchchat.text.labelled import LabelledLine, labelled_list
from batchchat.text.table import table

__all__ = ["ReportInput", "group_table", "report_text"]

_MOST_LINES = 40
_LONGEST_VALUE = 32
_HEADS = ("rows", "unanswered", "tokens in", "tokens out", "cost", "a row", "p50", "p95")


class ReportInput(NamedTuple):
    """One output's figures, under the path that a person typed or would type."""

    path: str
    name: str | None
    model: str | None
    endpoint: str | None
    tally: GroupStats
    off_row_costs: OffRowCosts


def report_text(told: ReportInput) -> str:
    """The headline, and the figures by topic."""
    totals = told.tally.totals
    cost = totals.known_cost_usd
    money = f" for {numbers.money(cost)}" if cost is not None else ""
    head = f"{told.path}: {answered_words(totals, told.off_row_costs)}{money}"
    lines = [LabelledLine("job", _job(told))] if told.name else []
    lines += [LabelledLine("rows", _rows(told)), *token_lines(totals), *cost_lines(totals, told.off_row_costs)]
    if cost is not None and totals.answered:
        lines.append(LabelledLine("", f"{numbers.money(cost / totals.answered)} an answered row"))
    lines += [LabelledLine("latency", _latencies(told.tally))] if totals.answered else []
    lines.append(LabelledLine("attempts", numbers.count(totals.attempts)))
    lines += [*retry_lines(totals, told.off_row_costs), *failure_lines(totals)]
    return f"{head}\n\n{labelled_list(lines)}"


def _job(told: ReportInput) -> str:
    where = f" at {told.endpoint}" if told.endpoint else ""
    return " · ".join(part for part in (told.name, f"{told.model}{where}" if told.model else "") if part)


def _rows(told: ReportInput) -> str:
    totals = told.tally.totals
    counts = ((totals.answered, "answered"), (totals.failed, "failed"), (totals.invalid, "invalid"))
    parts = [f"{numbers.count(number)} {word}" for number, word in counts if number or word == "answered"]
    if told.off_row_costs.left:
        parts.append(f"{numbers.count(told.off_row_costs.left)} left")
    if told.off_row_costs.gone_rows:
        parts.append(f"{numbers.count(told.off_row_costs.gone_rows)} gone from the input, kept in the journal")
    return " · ".join(parts)


def _latencies(tally: GroupStats) -> str:
    shares = ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"), (1.0, "max"))
    return " · ".join(f"{name} {numbers.seconds(tally.latency_s(share))}" for share, name in shares)


def group_table(head: str, groups: Sequence[tuple[Any, GroupStats]]) -> str:
    """A line a group, figures right-aligned; the dearest come first, and what is too much is counted."""
    rows: list[tuple[str, ...]] = [(head, *_HEADS)]
    rows += [(_value(value), *_cells(tally)) for value, tally in groups[:_MOST_LINES]]
    text = table(rows)
    if len(groups) > _MOST_LINES:
        text += f"\n  and {numbers.count(len(groups) - _MOST_LINES)} more; --json has all"
    return text


def _value(value: Any) -> str:
    if value is None:
        return "(null)"
    text = value if isinstance(value, str) else lossless_json.dumps(value).decode()
    return numbers.shorten(text, _LONGEST_VALUE) or '""'


def _cells(tally: GroupStats) -> tuple[str, ...]:
    totals = tally.totals
    told = tally.json()
    cost = totals.known_cost_usd
    return (
        numbers.count(totals.finished),
        numbers.count(totals.failed + totals.invalid) if totals.failed + totals.invalid else numbers.NONE,
        *(
            numbers.NONE if told[f"{what}_tokens"] is None else numbers.count(told[f"{what}_tokens"])
            for what in ("prompt", "completion")
        ),
        numbers.NONE if cost is None else numbers.money(cost) + ("+" if totals.unknown_cost_rows else ""),
        numbers.NONE if cost is None or not totals.answered else numbers.money(cost / totals.answered),
        *(
            numbers.NONE if tally.latency_s(share) is None else numbers.seconds(tally.latency_s(share))
            for share in (0.5, 0.95)
        ),
    )
