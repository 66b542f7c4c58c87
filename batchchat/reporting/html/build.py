"""What the page shows of an output: headline, figures and charts, as plain JSON. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np

from batchchat.core.conversation import Status
from batchchat.core.row_counts import RowCounts
from batchchat.reporting.html.labels import labels_of
from batchchat.reporting.html.pictures import (
    Clock,
    answers_against_length,
    clock_of,
    histogram,
    over_time,
    spent_by,
)
from batchchat.reporting.html.row_columns import RowColumns
from batchchat.reporting.html.sample import most_expensive
from batchchat.reporting.html.variant_table import variant_table
from batchchat.reporting.lines import cost_lines, cut_off_lines, reply_lines, retry_lines, token_lines
from batchchat.reporting.tables import ReportInput
from batchchat.results.variants import VariantFigures
from batchchat.text import numbers
from batchchat.text.labelled import LabelledLine
from batchchat.text.run_sentence import Standing

__all__ = ["PageInput", "headline", "output_data"]

_MAX_KINDS = 20
_MAX_EXAMPLE_CHARS = 300
_SECOND_ROUND = 1
_NAMED = 3


class PageInput(NamedTuple):
    """What the page shows of an output. `by` names the column to group by; `published`: not read from a journal.

    `sessions` are the beginning and end of each of its runs, empty where that is not known; `billed` are lines of a
    comparison with what the endpoint billed, `variants` the figures of each variant of a matrix, and `endpoints` lines
    about each of several.
    """

    report_input: ReportInput
    columns: RowColumns
    by: str | None
    published: bool
    sessions: Sequence[Sequence[float]] = ()
    billed: Sequence[LabelledLine] = ()
    variants: VariantFigures | None = None
    endpoints: Sequence[LabelledLine] = ()


def output_data(page_input: PageInput, random: np.random.Generator) -> dict[str, Any]:
    """All that the page shows of an output but its rows."""
    report_input, columns = page_input.report_input, page_input.columns
    answered = columns.status.are(Status.ANSWERED)
    clock = clock_of(columns, page_input.sessions)
    return {
        "path": report_input.path,
        "job": " · ".join(part for part in (report_input.name, _where(report_input)) if part),
        "sentence": f"{sentence(report_input, clock)}.",
        "figures": _figures(report_input, clock),
        "notes": _notes(page_input),
        "variants": None if page_input.variants is None else variant_table(page_input.variants),
        "samples": columns.samples,
        "spent": _spent(page_input),
        "time": None if clock is None else over_time(columns, clock, answered),
        "latency": histogram(columns.latency_s[answered]),
        "against": answers_against_length(columns, answered, random),
        "prompt": histogram(columns.prompt_tokens, whole=True),
        "reply": histogram(columns.completion_tokens[answered], whole=True),
        "wait": _quantile(columns.wait_s[answered]),
        "failures": _failures(page_input),
        "unanswered": _unanswered(report_input),
        "retries": _retries(page_input),
        "dearest": [{"at": at, "cost": float(columns.cost_usd[at])} for at in most_expensive(columns)],
        "total": columns.rows,
        "by": page_input.by,
        "models": len(columns.model.names),
    }


def headline(page_inputs: list[PageInput]) -> str:
    """The headline of the page: how many rows were answered, at what cost, in what time."""
    if len(page_inputs) == 1:
        page_input = page_inputs[0]
        return f"{sentence(page_input.report_input, clock_of(page_input.columns, page_input.sessions))}."
    if len(page_inputs) > _NAMED:
        totals = [page_input.report_input.stats.totals for page_input in page_inputs]
        costs = [cost for page_input in page_inputs if (cost := page_input.report_input.paid_usd) is not None]
        money = f" for {numbers.money(sum(costs, Decimal(0)))}" if costs else ""
        answered = sum(total.answered for total in totals)
        rows = sum(_all_rows(page_input.report_input) for page_input in page_inputs)
        return (
            f"{len(page_inputs)} outputs: {numbers.count(answered)} of {numbers.count(rows)} rows answered{money}"
            " in all."
        )
    inputs = [page_input.report_input for page_input in page_inputs]
    parts = [
        f"{label} answered {_answered(report_input)}{_for(report_input)}"
        for label, report_input in zip(labels_of(inputs), inputs, strict=True)
    ]
    return f"{len(parts)} outputs: {', '.join(parts)}."


def sentence(report_input: ReportInput, clock: Clock | None) -> str:
    """`Stopped by SIGTERM: 12,474 of 12,480 rows answered for $6.2841 in 9m 51s, 6 left`."""
    text = report_input.sentence("", None if clock is None else clock.length_s)
    return text[:1].upper() + text[1:]


def _all_rows(report_input: ReportInput) -> int:
    """Rows of the input, or those that are finished where the end of the input is not known."""
    rows = report_input.standing.rows
    return rows.finished if rows.total is None else rows.total


def _answered(report_input: ReportInput) -> str:
    return f"{numbers.count(report_input.stats.totals.answered)} of {numbers.count(_all_rows(report_input))}"


def _for(report_input: ReportInput) -> str:
    cost = report_input.paid_usd
    return "" if cost is None else f" for {numbers.money(cost)}"


def _unanswered(report_input: ReportInput) -> str:
    """`3 rows without an answer; 40 left, the run goes on`."""
    totals, left = report_input.stats.totals, _left(report_input.standing)
    if failed := totals.failed + totals.invalid:
        words = f"{numbers.rows(failed)} without an answer"
    elif report_input.standing.since_s is not None:
        words = "Nothing since then"
    else:
        words = "No row so far" if left else "Nothing: every row has its answer"
    return f"{words}; {left}" if left else words


def _left(standing: Standing) -> str:
    """What the page says of rows that have no answer and no failure either; empty where there is none."""
    rows = standing.rows
    if standing.since_s is not None:
        return ""
    if rows.left is None:
        return "the run has not seen the end of its input"
    parts = [(rows.left, "left"), (standing.outdated, "to be sent again"), (rows.undecided, "undecided")]
    words = " and ".join(f"{numbers.count(count)} {word}" for count, word in parts if count)
    return f"{words}{_why_left(standing)}" if words else ""


def _why_left(standing: Standing) -> str:
    if standing.state == "running":
        return ", the run goes on"
    if standing.state == "killed":
        return ", the run was killed"
    return f", the run stopped {standing.stopped_by}" if standing.stopped_by else ""


def _where(report_input: ReportInput) -> str:
    where = f" at {report_input.endpoint}" if report_input.endpoint else ""
    return f"{report_input.model}{where}" if report_input.model else ""


def _figures(report_input: ReportInput, clock: Clock | None) -> list[dict[str, str]]:
    stats = report_input.stats
    totals, cost = stats.totals, stats.totals.known_cost_usd
    paid = report_input.paid_usd
    figures = stats.json()
    prompt_tokens, completion_tokens = figures["prompt_tokens"], figures["completion_tokens"]
    row_cost = ""
    if cost is not None and totals.answered:
        row_cost = numbers.money_a_row(cost, totals.answered)
    if totals.unknown_cost_rows and row_cost:
        row_cost += f" · unknown for {numbers.rows(totals.unknown_cost_rows)}"
    if report_input.of_mock:
        row_cost = "the mock's price: nothing was paid"
    rows = report_input.standing.rows
    if report_input.standing.since_s is not None:  # what ended since then is the whole
        rows = totals.counts(left=0)
    shares = ((rows.failed, "failed"), (rows.invalid, "invalid"), (rows.left, "left"), (rows.cut_off, "cut off"))
    others = [f"{numbers.count(number)} {word}" for number, word in shares if number]
    latency = stats.latency_s(0.5), stats.latency_s(0.95)
    p50, p95 = (numbers.seconds(value) for value in latency)
    if prompt_tokens is None and completion_tokens is None:
        tokens, token_note = numbers.UNKNOWN, ""
    else:
        tokens = numbers.compact((prompt_tokens or 0) + (completion_tokens or 0))
        token_note = f"{_compact(prompt_tokens)} in · {_compact(completion_tokens)} out"
    return [
        {"label": "cost", "value": numbers.money(paid), "note": row_cost},
        {
            "label": "tokens",
            "value": tokens,
            "note": token_note,
        },
        {
            "label": "time",
            "value": numbers.duration(_span_s(report_input, clock)),
            "note": "" if latency[0] is None else f"latency p50 {p50} · p95 {p95}",
        },
        {
            "label": "answered",
            "value": numbers.UNKNOWN if rows.total is None else _share(rows.answered, rows.total),
            "note": " · ".join(others) or _every_row(rows, report_input.standing.since_s),
        },
    ]


def _every_row(rows: RowCounts, since_s: float | None) -> str:
    if rows.total is None:
        return f"{numbers.rows(rows.answered)} so far"
    if not rows.total:
        return "no rows"
    return "every row" if since_s is None else "every row that ended since then"


def _span_s(report_input: ReportInput, clock: Clock | None) -> float | None:
    return report_input.standing.running_s or (None if clock is None else clock.length_s)


def _compact(number: int | None) -> str:
    return numbers.UNKNOWN if number is None else numbers.compact(number)


def _share(part: int, whole: int) -> str:
    """Never rounded to all or to nothing."""
    if not whole:
        return numbers.NONE
    percent = 100 * part / whole
    if part == whole or not part:
        return f"{percent:.0f} %"
    return f"{min(max(percent, 0.01), 99.99):.{1 if 1 <= percent <= 99 else 2}f} %"  # noqa: PLR2004


def _notes(page_input: PageInput) -> list[list[str]]:
    """Cost and tokens as labelled lines; what is unknown and what may have been billed have lines of their own."""
    report_input = page_input.report_input
    totals = report_input.stats.totals
    costs = cost_lines(totals, report_input.off_row_costs, of_mock=report_input.of_mock)
    lines = [*costs, *page_input.billed, *token_lines(totals), *reply_lines(totals), *cut_off_lines(totals)]
    standing = report_input.standing
    if standing.reason and standing.state == "stopped":
        lines.insert(0, LabelledLine("stopped", " ".join(standing.reason.split())))
    lines += page_input.endpoints
    if not page_input.published:
        lines.append(
            LabelledLine("so far", "these are the rows in the run's journal; its output is not published, or older")
        )
    return [[line.label, line.text] for line in lines]


def _spent(page_input: PageInput) -> list[dict[str, Any]]:
    columns = page_input.columns
    breakdowns = []
    if page_input.by is not None and columns.by is not None:
        breakdowns.append({"by": page_input.by, **spent_by(columns.by, columns)})
    if columns.model.names and (len(columns.model.names) > 1 or page_input.by is None) and page_input.by != "model":
        breakdowns.append({"by": "model", **spent_by(columns.model, columns)})
    return breakdowns


def _quantile(values: Any) -> dict[str, float] | None:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return None
    p50, p95 = np.quantile(finite, (0.5, 0.95))
    return {"p50": float(p50), "p95": float(p95)}


def _failures(page_input: PageInput) -> list[dict[str, Any]]:
    totals, kinds = page_input.report_input.stats.totals, page_input.columns.error_kind
    failures: list[dict[str, Any]] = []
    for kind, count in totals.failures.most_common(_MAX_KINDS):
        example = totals.examples.get(kind)
        positions = np.nonzero(kinds.are(kind))[0]
        failures.append(
            {
                "kind": numbers.shorten(kind, 60),
                "rows": count,
                "id": "" if example is None else numbers.shorten(example.name, 80),
                "text": "" if example is None else numbers.shorten(example.text, _MAX_EXAMPLE_CHARS),
                "at": int(positions[0]) if len(positions) else None,
            }
        )
    return failures


def _retries(page_input: PageInput) -> dict[str, Any]:
    """Attempts beyond a row's first; their reasons are known where the journal was read."""
    attempts = page_input.columns.attempts[np.isfinite(page_input.columns.attempts)]
    again = attempts[attempts > _SECOND_ROUND]
    kinds = +page_input.report_input.stats.totals.retries
    lines = retry_lines(page_input.report_input.stats.totals, page_input.report_input.off_row_costs)
    words = " · ".join(line.text for line in lines)
    return {
        "text": words
        or (
            f"{numbers.rows(len(again))} took {numbers.count(float((again - 1).sum()))} more"
            f" {'request' if (again - 1).sum() == 1 else 'requests'}: further turns, questions asked again, or retries"
            if len(again)
            else "no row took more than one request"
        ),
        "kinds": [{"kind": kind, "count": count} for kind, count in kinds.most_common(_MAX_KINDS)],
    }
