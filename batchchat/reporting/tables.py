"""The report on a terminal: the labelled figures of an output, and a table of its groups or of several outputs."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from batchchat import lossless_json
from batchchat.core.totals import OffRowCosts
from batchchat.reporting.lines import (
    cost_lines,
    cut_off_lines,
    failure_lines,
    paid_usd,
    reply_lines,
    retry_lines,
    token_lines,
)
from batchchat.results.figures import Figures
from batchchat.results.group_stats import GroupStats
from batchchat.text import numbers
from batchchat.text.labelled import LabelledLine, labelled, labelled_list
from batchchat.text.run_sentence import Standing, run_sentence
from batchchat.text.table import table

__all__ = ["ReportInput", "endpoint_lines", "group_table", "report_input_of", "report_text"]

_MAX_LINES = 40
_MAX_VALUE_CHARS = 32
_A_ROW = "a row"
_SMALL_USD = Decimal("0.0001")  # less is given for 1,000 rows, so that groups can be compared
_HEADS = ("rows", "unanswered", "tokens in", "tokens out", "cost", _A_ROW, "p50", "p95")


class ReportInput(NamedTuple):
    """The figures of one output, under its path as the user would type it."""

    path: str
    name: str | None
    model: str | None
    endpoint: str | None
    stats: GroupStats
    off_row_costs: OffRowCosts
    standing: Standing
    of_mock: bool = False

    @property
    def paid_usd(self) -> Decimal | None:
        """All that is known to be paid for the job."""
        return paid_usd(self.stats.totals, self.off_row_costs)

    def sentence(self, name: str, span_s: float | None = None) -> str:
        """How the job stands, under `name`; `span_s` is the time it took where its run does not tell it."""
        time_s = self.standing.running_s or span_s
        return run_sentence(name, self.standing, usd=self.paid_usd, of_mock=self.of_mock, span_s=time_s)


def report_input_of(figures: Figures, path: str) -> ReportInput:
    """`figures` under the path that is printed for them."""
    return ReportInput(
        path,
        figures.name,
        figures.model,
        figures.endpoint,
        figures.whole,
        figures.off_row_costs,
        figures.standing,
        figures.of_mock,
    )


def report_text(report_input: ReportInput) -> str:
    """The headline and the labelled figures of one output."""
    totals = report_input.stats.totals
    cost = totals.known_cost_usd
    lines = [LabelledLine("job", _job(report_input))] if report_input.name else []
    lines += [
        LabelledLine("rows", _rows(report_input)),
        *token_lines(totals),
        *cost_lines(totals, report_input.off_row_costs, of_mock=report_input.of_mock),
    ]
    if report_input.standing.reason and report_input.standing.state == "stopped":
        lines.insert(1, LabelledLine("why", " ".join(report_input.standing.reason.split())))
    if cost is not None and totals.answered:
        lines.append(LabelledLine("", numbers.money_a_row(cost, totals.answered)))
    lines += [LabelledLine("latency", _latencies(report_input.stats))] if totals.answered else []
    lines.append(LabelledLine("attempts", numbers.count(totals.attempts)))
    lines += [*retry_lines(totals, report_input.off_row_costs), *reply_lines(totals), *cut_off_lines(totals)]
    lines += failure_lines(totals)
    return f"{report_input.sentence(report_input.path)}\n\n{labelled_list(lines)}"


def _job(report_input: ReportInput) -> str:
    where = f" at {report_input.endpoint}" if report_input.endpoint else ""
    return " · ".join(
        part for part in (report_input.name, f"{report_input.model}{where}" if report_input.model else "") if part
    )


def _rows(report_input: ReportInput) -> str:
    standing = report_input.standing
    rows = standing.rows
    counts = (
        (rows.answered, "answered"),
        (rows.failed, "failed"),
        (rows.invalid, "invalid"),
        (rows.left, "left"),
        (standing.outdated, "to be sent again"),
        (rows.undecided, "undecided"),
    )
    parts = [f"{numbers.count(number or 0)} {word}" for number, word in counts if number or word == "answered"]
    if report_input.off_row_costs.gone_rows:
        parts.append(f"{numbers.count(report_input.off_row_costs.gone_rows)} gone from the input, kept in the journal")
    return " · ".join(parts)


def _latencies(stats: GroupStats) -> str:
    shares = ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"), (1.0, "max"))
    return " · ".join(f"{name} {numbers.seconds(stats.latency_s(share))}" for share, name in shares)


def group_table(heads: Sequence[str], groups: Sequence[tuple[tuple[Any, ...], GroupStats]]) -> str:
    """A line for each group under `heads`, one for each of its values, in the order given.

    Groups beyond the first 40 are only counted.
    """
    per = 1_000 if any(0 < (_row_usd(stats) or 0) < _SMALL_USD for _, stats in groups) else 1
    columns = ("per 1,000" if head == _A_ROW and per > 1 else head for head in _HEADS)
    rows: list[tuple[str, ...]] = [(*heads, *columns)]
    rows += [(*map(_value, values), *_cells(stats, per)) for values, stats in groups[:_MAX_LINES]]
    text = table(rows, left=range(len(heads)))
    if len(groups) > _MAX_LINES:
        text += f"\n  and {numbers.count(len(groups) - _MAX_LINES)} more; --json has all"
    return text


def endpoint_lines(figures: Figures) -> list[LabelledLine]:
    """A line for each of several endpoints, in order of cost; `figures` are grouped by them."""
    texts = []
    for (name,), stats in figures.groups:
        totals, usd = stats.totals, stats.totals.known_cost_usd
        parts = [f"{numbers.count(totals.answered)} answered"]
        if failed := totals.failed + totals.invalid:
            parts.append(f"{numbers.count(failed)} without an answer")
        parts += [] if usd is None else [numbers.money(usd)]
        if totals.answered:
            parts += [
                f"{word} {numbers.seconds(stats.latency_s(share))}" for share, word in ((0.5, "p50"), (0.95, "p95"))
            ]
        texts.append(f"{'no endpoint' if name is None else name}: {' · '.join(parts)}")
    return labelled("endpoints", texts)


def _value(value: Any) -> str:
    if value is None:
        return "(null)"
    text = value if isinstance(value, str) else lossless_json.dumps(value).decode()
    return numbers.shorten(text, _MAX_VALUE_CHARS) or '""'


def _row_usd(stats: GroupStats) -> Decimal | None:
    """What an answered row cost; None where that is not known."""
    usd = stats.totals.known_cost_usd
    return usd / stats.totals.answered if usd is not None and stats.totals.answered else None


def _cells(stats: GroupStats, per: int) -> tuple[str, ...]:
    totals = stats.totals
    figures = stats.json()
    cost, row_usd = totals.known_cost_usd, _row_usd(stats)
    return (
        numbers.count(totals.finished),
        numbers.count(totals.failed + totals.invalid) if totals.failed + totals.invalid else numbers.NONE,
        *(
            numbers.NONE if figures[f"{kind}_tokens"] is None else numbers.count(figures[f"{kind}_tokens"])
            for kind in ("prompt", "completion")
        ),
        numbers.NONE if cost is None else numbers.money(cost) + ("+" if totals.unknown_cost_rows else ""),
        numbers.NONE if row_usd is None else numbers.small_money(row_usd * per) if per > 1 else numbers.money(row_usd),
        *(
            numbers.NONE if stats.latency_s(share) is None else numbers.seconds(stats.latency_s(share))
            for share in (0.5, 0.95)
        ),
    )
