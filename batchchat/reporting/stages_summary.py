"""The summary at the end of several jobs that ran in order: a line for each, their money, what to type next. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from batchchat.reporting.lines import cut_off_lines, failure_lines, paid_usd
from batchchat.reporting.summary import RunSummary
from batchchat.text import numbers
from batchchat.text.labelled import LabelledLine, labelled, labelled_list, next_lines
from batchchat.text.run_sentence import run_sentence

__all__ = ["Refusal", "sentence_of", "stages_summary"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A job that was refused, or broke off, before its figures were known; `text` says so in one line."""

    name: str
    text: str


def stages_summary(stages: Sequence[RunSummary | Refusal], not_started: Sequence[str], commands: Sequence[str]) -> str:
    """A sentence for each of `stages` and of the jobs that did not start, the figures of all, what to type next."""
    ended = [stage for stage in stages if isinstance(stage, RunSummary)]
    sentences = [*(sentence_of(stage) for stage in stages), *(f"{name} did not start" for name in not_started)]
    parts = ["\n".join(sentences), labelled_list(_lines(ended))]
    if commands:
        parts.append(next_lines(commands))
    return "\n\n".join(part for part in parts if part)


def sentence_of(stage: RunSummary | Refusal) -> str:
    """How `stage` stands, in one line."""
    if isinstance(stage, Refusal):
        return stage.text
    rows = stage.standing.rows
    trouble = ((rows.failed, "failed"), (rows.invalid, "invalid"), (rows.cut_off, "cut off"))
    return run_sentence(
        stage.name,
        stage.standing,
        usd=paid_usd(stage.totals, stage.off_row_costs),
        of_mock=bool(stage.totals.mock_answers),
        span_s=stage.standing.running_s,
    ) + "".join(f", {numbers.count(count)} {words}" for count, words in trouble if count)


def _lines(stages: Sequence[RunSummary]) -> list[LabelledLine]:
    lines = labelled("cost", _costs(stages))
    for stage in stages:
        trouble = [*failure_lines(stage.totals), *cut_off_lines(stage.totals)]
        lines += [line._replace(text=f"{stage.name}: {line.text}") for line in trouble]
    outputs = [
        stage.output + ("" if stage.output_bytes is None else f" · {numbers.size(stage.output_bytes)}")
        for stage in stages
        if stage.output
    ]
    lines += labelled("output", outputs, pasted=True)
    lines += labelled("set aside", [path for stage in stages for path in stage.set_aside], pasted=True)
    return lines


def _costs(stages: Sequence[RunSummary]) -> list[str]:
    """The sum of what is known, with each job's share, and what is not in it."""
    paid = [(stage, paid_usd(stage.totals, stage.off_row_costs)) for stage in stages]
    costs = [(stage, usd) for stage, usd in paid if usd is not None]
    if not costs:
        return []
    of_mock = " (mock)" if all(stage.totals.mock_answers for stage, _ in costs) else ""
    total = numbers.money(sum((usd for _, usd in costs), Decimal(0)))
    shares = ", ".join(f"{stage.name} {numbers.money(usd)}" for stage, usd in costs)
    lines = [f"{total}{of_mock}: {shares}"]
    for stage in stages:
        off_row, totals = stage.off_row_costs, stage.totals
        if totals.unknown_cost_rows:
            lines.append(f"unknown for {numbers.rows(totals.unknown_cost_rows)} of {stage.name}")
        if attempts := totals.possibly_billed + off_row.pending_possibly_billed + off_row.at_risk:
            bound = "" if off_row.unbounded != 0 else f", at most {numbers.money(off_row.unsure_usd)}"
            count = numbers.quantity(attempts, "attempt")
            lines.append(f"not in it: {count} of {stage.name} that may have been billed{bound}")
    return lines
