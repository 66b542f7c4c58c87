"""The summary at the end of a run: rows, cost, failures and their reasons, what to type next. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from batchchat.core.conversation import Status
from batchchat.core.key_spelling import spelled_key
from batchchat.core.record import RowRecord, key_of
from batchchat.core.run_figures import ThisRun
from batchchat.core.totals import OffRowCosts, Totals
from batchchat.reporting.lines import (
    budget_lines,
    cost_lines,
    cut_off_lines,
    endpoint_standing_lines,
    failure_lines,
    latency_lines,
    paid_usd,
    reply_lines,
    retry_lines,
    token_lines,
)
from batchchat.text import numbers
from batchchat.text.expansion import factor_words, product_words
from batchchat.text.labelled import LabelledLine, labelled_list, next_lines
from batchchat.text.run_sentence import Standing, run_sentence

__all__ = ["RunSummary", "replies", "summary"]

_REPLY_WIDTH = 160


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What the summary prints. `next_commands` can be pasted; `this_run` is told apart where it was not the first.

    Each input row is a row for each of `samples` of each of `variants`. `endpoints` are those of `run --json`.
    """

    name: str
    totals: Totals
    off_row_costs: OffRowCosts
    standing: Standing
    this_run: ThisRun
    output: str | None
    output_bytes: int | None
    next_commands: Sequence[str]
    set_aside: Sequence[str] = ()
    max_cost_usd: Decimal | None = None
    variants: int = 1
    samples: int = 1
    endpoints: Sequence[Mapping[str, Any]] = ()


def summary(run: RunSummary) -> str:
    """The headline, the labelled figures, and what to type next."""
    usd, of_mock = paid_usd(run.totals, run.off_row_costs), bool(run.totals.mock_answers)
    headline = run_sentence(run.name, run.standing, usd=usd, of_mock=of_mock, span_s=run.standing.running_s)
    parts = [headline, labelled_list(_lines(run))]
    if run.next_commands:
        parts.append(next_lines(run.next_commands))
    return "\n\n".join(parts)


def _lines(run: RunSummary) -> list[LabelledLine]:
    totals = run.totals
    lines = [LabelledLine("rows", _rows(run)), *_this_run(run), *token_lines(totals)]
    lines += cost_lines(totals, run.off_row_costs, of_mock=bool(totals.mock_answers))
    lines += budget_lines(totals, run.off_row_costs, run.max_cost_usd)
    lines += latency_lines(totals)
    lines += retry_lines(totals, run.off_row_costs)
    lines += endpoint_standing_lines(run.endpoints, "this run")
    lines += reply_lines(totals)
    lines += cut_off_lines(totals)
    lines += failure_lines(totals)
    lines += [LabelledLine("", "")] if run.output or run.set_aside else []
    if run.output:
        size = f" · {numbers.size(run.output_bytes)}" if run.output_bytes is not None else ""
        lines.append(LabelledLine("output", run.output + size, pasted=True))
    lines += [LabelledLine("set aside", path, pasted=True) for path in run.set_aside]
    return lines


def _rows(run: RunSummary) -> str:
    standing = run.standing
    rows = standing.rows
    factors = factor_words(run.variants, run.samples)
    total = f" of {product_words(rows.total, run.variants, run.samples)}" if factors and rows.total else ""
    parts = [f"{numbers.count(rows.answered)} answered{total}"]
    parts += [
        f"{numbers.count(number)} {word}"
        for number, word in (
            (rows.failed, "failed"),
            (rows.invalid, "invalid"),
            (rows.left or 0, "left"),
            (standing.outdated, "left to be sent again"),
            (rows.undecided, "undecided: answered before their request changed"),
            (run.off_row_costs.gone_rows, "gone from the input, kept in the journal"),
        )
        if number
    ]
    return " · ".join(parts)


def _this_run(run: RunSummary) -> list[LabelledLine]:
    """What this run did of it, where others did the rest."""
    this_run = run.this_run
    if not this_run.is_a_part_of(run.standing.rows):
        return []
    parts = [numbers.rows(this_run.rows), numbers.duration(this_run.elapsed_s)]
    if this_run.cost_usd is not None:
        parts.append(numbers.money(this_run.cost_usd))
    return [LabelledLine("this run", " · ".join(parts))]


def replies(rows: Sequence[RowRecord]) -> str:
    """Prompts and replies, a line each, shortened: for a run small enough to be read."""
    lines = []
    for row in sorted(rows, key=lambda row: row["ordinal"]):
        last_user_message = next(
            (message for message in reversed(row["messages"]) if message.get("role") == "user"), None
        )
        content = last_user_message.get("content") if last_user_message else None
        prompt = content if isinstance(content, str) else "(not text)"
        lines.append(f"{spelled_key(key_of(row))}  {numbers.shorten(prompt, _REPLY_WIDTH)}")
        lines.append(f"    {_reply(row)}")
    return "\n".join(lines)


def _reply(row: RowRecord) -> str:
    if row["status"] != Status.ANSWERED:
        return f"{row['error_kind']}: {numbers.shorten(row['error'], _REPLY_WIDTH)}"
    reply = row["reply"]
    if text := reply.get("text"):
        return numbers.shorten(text, _REPLY_WIDTH)
    if calls := reply.get("tool_calls"):
        return f"({len(calls)} tool calls)"
    if refusal := reply.get("refusal"):
        return f"refused: {numbers.shorten(refusal, _REPLY_WIDTH)}"
    return "(no text: images or audio, in the column `raw`)"
