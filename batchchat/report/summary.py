"""The morning: what happened, what it cost, what failed and why, what to type next. Pure text of the totals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from batchchat.core.conversation import Status
from batchchat.core.record import RowRecord
from batchchat.core.totals import OffRowCosts, Totals
from batchchat.report.lines import (
    budget_lines,
    cost_lines,
    failure_lines,
    latency_lines,
    retry_lines,
    token_lines,
)
from batchchat.text import numbers
from batchchat.text.labelled import LabelledLine, labelled_list, next_lines

__all__ = ["RunSummary", "replies", "summary"]

_REPLY_WIDTH = 160


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What the summary is of. `next_commands` can be pasted; `left` is None where the input's end was not seen."""

    name: str
    totals: Totals
    off_row_costs: OffRowCosts
    elapsed_s: float
    left: int | None
    stopped: str | None
    output: str | None
    output_bytes: int | None
    next_commands: Sequence[str]
    set_aside: Sequence[str] = ()
    max_cost_usd: Decimal | None = None
    outdated: int = 0


def summary(facts: RunSummary) -> str:
    """The headline, a blank line, the figures by topic, and what to type next."""
    parts = [_headline(facts), labelled_list(_lines(facts))]
    if facts.next_commands:
        parts.append(next_lines(facts.next_commands))
    return "\n\n".join(parts)


def _headline(facts: RunSummary) -> str:
    totals = facts.totals
    total = totals.finished + (facts.left or 0)
    answered = numbers.count(totals.answered)
    rows = f"{numbers.rows(totals.answered)} answered"
    if facts.left is not None:
        rows = f"{answered} of {numbers.rows(total)} answered"
    cost = totals.known_cost_usd
    money = f" for {numbers.money(cost)}" if cost is not None else ""
    time = f" in {numbers.duration(facts.elapsed_s)}" if facts.elapsed_s else ""
    return f"{facts.name}: {rows}{time}{money}"


def _lines(facts: RunSummary) -> list[LabelledLine]:
    totals = facts.totals
    lines = [LabelledLine("rows", _rows(facts)), *token_lines(totals)]
    lines += cost_lines(totals, facts.off_row_costs)
    lines += budget_lines(totals, facts.off_row_costs, facts.max_cost_usd)
    lines += latency_lines(totals)
    lines += retry_lines(totals, facts.off_row_costs)
    lines += failure_lines(totals)
    lines += [LabelledLine("", "")] if facts.output or facts.set_aside else []
    if facts.output:
        size = f" · {numbers.size(facts.output_bytes)}" if facts.output_bytes is not None else ""
        lines.append(LabelledLine("output", facts.output + size))
    lines += [LabelledLine("set aside", path) for path in facts.set_aside]
    return lines


def _rows(facts: RunSummary) -> str:
    totals = facts.totals
    parts = [f"{numbers.count(totals.answered)} answered"]
    parts += [
        f"{numbers.count(number)} {word}"
        for number, word in (
            (totals.failed, "failed"),
            (totals.invalid, "invalid"),
            (facts.left or 0, "left"),
            (facts.outdated, "left to be sent again"),
            (facts.off_row_costs.gone_rows, "gone from the input, kept in the journal"),
        )
        if number
    ]
    return " · ".join(parts)


def replies(rows: Sequence[RowRecord]) -> str:
    """Prompts and replies, a line each, shortened: for a run small enough to be read."""
    lines = []
    for row in sorted(rows, key=lambda row: row["ordinal"]):
        asked = next((m for m in reversed(row["messages"]) if m.get("role") == "user"), None)
        content = asked.get("content") if asked else None
        prompt = content if isinstance(content, str) else "(not text)"
        lines.append(f"{row['id']}  {numbers.shorten(prompt, _REPLY_WIDTH)}")
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
    return f"refused: {numbers.shorten(reply.get('refusal') or '', _REPLY_WIDTH)}"
