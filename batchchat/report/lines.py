"""Totals in words, a topic at a time: tokens, cost, failures. What the summary and the report both say. Pure."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

from batchchat.core.conversation import ErrorKind
from batchchat.core.totals import TOKEN_FIELDS, OffRowCosts, Totals
from batchchat.text import numbers
from batchchat.text.labelled import LabelledLine, labelled

__all__ = [
    "answered_words",
    "budget_lines",
    "cost_lines",
    "failure_lines",
    "latency_lines",
    "retry_lines",
    "token_lines",
]

_EXAMPLE_WIDTH = 110


def answered_words(totals: Totals, off_row: OffRowCosts) -> str:
    """`12,474 of 12,480 rows answered`, or `… so far` where it is not known how many there are."""
    answered = numbers.count(totals.answered)
    if off_row.left is None:
        return f"{answered} rows answered so far"
    return f"{answered} of {numbers.rows(totals.finished + off_row.left)} answered"


def token_lines(totals: Totals) -> list[LabelledLine]:
    """Tokens as reported."""
    return [LabelledLine("tokens", _tokens(totals))]


def _tokens(totals: Totals) -> str:
    told = {name: totals.tokens.get(name) for name in TOKEN_FIELDS}
    if told["prompt_tokens"] is None and told["completion_tokens"] is None:
        return f"{numbers.UNKNOWN}: the endpoint reports none" if totals.answered else "none known"
    cached = f" ({numbers.count(told['cached_tokens'])} cached)" if told["cached_tokens"] else ""
    text = f"{_some(told['prompt_tokens'])} in{cached} · {_some(told['completion_tokens'])} out"
    if totals.without_usage:
        text += f" · unknown for {numbers.rows(totals.without_usage)}"
    return text


def _some(tokens: int | None) -> str:
    return numbers.UNKNOWN if tokens is None else numbers.count(tokens)


_SOURCES = {
    "reported": "reported by the endpoint",
    "job": "by the job's price",
    "endpoint": "by the endpoint's list of models",
    "table": "by the price table",
}


def cost_lines(totals: Totals, off_row: OffRowCosts) -> list[LabelledLine]:
    """One line for what is known, and one for each thing that is not in it."""
    known = [
        f"{numbers.money(cost)} {_SOURCES.get(source, source)}"
        for source, cost in sorted(totals.cost_usd.items())
        if cost or totals.answered
    ]
    lines = [" + ".join(known)] if known else []
    if not known and not totals.answered:
        lines.append("none known")
    if totals.unknown_cost_rows:
        lines.append(f"unknown for {numbers.rows(totals.unknown_cost_rows)}: {_unreported(off_row)}")
    possibly = totals.possibly_billed + off_row.pending_possibly_billed
    unbounded = possibly if off_row.unbounded is None else off_row.unbounded
    if lines and possibly > unbounded:
        lines[0] += f" · at most {numbers.money(off_row.broke_off_usd)} more for {_broke_off(possibly - unbounded)}"
    if off_row.superseded_usd:
        money = numbers.money(off_row.superseded_usd)
        lines.append(f"{money} more was paid for answers replaced or gone from the input")
    if off_row.pending_usd:
        lines.append(f"{numbers.money(off_row.pending_usd)} more was paid for attempts at rows that are left")
    if unbounded:
        lines.append(f"not in it: {_broke_off(unbounded)} and may have been billed")
    if off_row.at_risk:
        most = f", at most {numbers.money(off_row.at_risk_usd)}" if off_row.at_risk_usd else ""
        lines.append(
            f"not in it: up to {numbers.count(off_row.at_risk)} requests that were in flight when a run was killed"
            f"{most}"
        )
    return labelled("cost", lines)


def budget_lines(totals: Totals, off_row: OffRowCosts, max_cost_usd: Decimal | None) -> list[LabelledLine]:
    """All that counts against the cap, of all runs, and what it leaves."""
    if max_cost_usd is None:
        return []
    unsure = off_row.unsure_usd
    counted = (totals.known_cost_usd or Decimal(0)) + off_row.superseded_usd + off_row.pending_usd + unsure
    may = ", what may have been paid included" if unsure else ""
    left = max_cost_usd - counted
    rest = f"{numbers.money(left)} left" if left >= 0 else f"{numbers.money(-left)} over"
    return [LabelledLine("budget", f"{numbers.money(counted)} of {numbers.money(max_cost_usd)}{may} · {rest}")]


def _broke_off(attempts: int) -> str:
    return f"{numbers.quantity(attempts, 'attempt')} that broke off"


def _unreported(off_row: OffRowCosts) -> str:
    if off_row.unreported_usd:
        return f"the endpoint reports no usage; at most {numbers.money(off_row.unreported_usd)}"
    return "the endpoint reports none, and no price is known for it"


def latency_lines(totals: Totals) -> list[LabelledLine]:
    """How long answers took."""
    shares = ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
    if not totals.answered:
        return []
    return [
        LabelledLine(
            "latency", " · ".join(f"{name} {numbers.seconds(totals.latency_s(share))}" for share, name in shares)
        )
    ]


def retry_lines(totals: Totals, off_row: OffRowCosts) -> list[LabelledLine]:
    """What further attempts were made for; `off_row` knows it of an output, whose columns don't tell."""
    if not (retries := +totals.retries or Counter(off_row.retries)):
        return []
    kinds = " · ".join(f"{numbers.count(count)} {kind.replace('_', ' ')}" for kind, count in retries.most_common())
    return [LabelledLine("retries", f"{numbers.count(retries.total())}: {kinds}")]


def failure_lines(totals: Totals) -> list[LabelledLine]:
    """Each kind of failure with an example; invalid rows by their place, since an id may be all they lack."""
    lines: list[LabelledLine] = []
    for topic, invalid in (("failed", False), ("invalid", True)):
        kinds = [
            (kind, count)
            for kind, count in totals.failures.most_common()
            if count > 0 and (kind == ErrorKind.INVALID_INPUT) == invalid
        ]
        texts = []
        for kind, count in kinds:
            example = totals.examples.get(kind)
            where = "" if example is None else example.place if invalid else example.id
            text = "" if example is None else f"  {where}: {numbers.shorten(example.text, _EXAMPLE_WIDTH)}"
            label = "" if invalid else f" {kind}"
            texts.append(f"{numbers.count(count)}{label}{text}")
        lines += labelled(topic, texts)
    return lines
