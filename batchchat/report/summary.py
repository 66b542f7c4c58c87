"""The morning: what happened, what it cost, what failed and why, what to type next. Pure text of the totals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from batchchat import figures
from batchchat.conversation import ErrorKind, Status
from batchchat.record import RowRecord
from batchchat.store.ledger import Ledger
from batchchat.totals import Totals

__all__ = ["Facts", "replies", "summary"]

_EXAMPLE_WIDTH = 110
_REPLY_WIDTH = 160


@dataclass(frozen=True, slots=True)
class Facts:
    """What the summary is of. `next_commands` can be pasted; `left` is None where the input's end was not seen."""

    name: str
    ledger: Ledger
    elapsed_s: float
    left: int | None
    stopped: str | None
    output: str | None
    output_bytes: int | None
    next_commands: Sequence[str]
    set_aside: Sequence[str] = ()
    max_cost_usd: Decimal | None = None


def summary(facts: Facts) -> str:
    """The headline, a blank line, the figures by topic, and what to type next."""
    totals = facts.ledger.totals
    lines = [_headline(facts), ""]
    lines += [f"  {topic:<10}{text}".rstrip() for topic, text in _topics(facts, totals)]
    if facts.next_commands:
        lines.append("")
        lines += [f"{'next' if not number else '':<6}{command}" for number, command in enumerate(facts.next_commands)]
    return "\n".join(lines)


def _headline(facts: Facts) -> str:
    totals = facts.ledger.totals
    total = totals.finished + (facts.left or 0)
    answered = figures.count(totals.answered)
    rows = (
        f"{answered} of {figures.count(total)} rows answered" if facts.left is not None else f"{answered} rows answered"
    )
    cost = totals.known_cost_usd
    money = f" for {figures.money(cost)}" if cost is not None else ""
    time = f" in {figures.duration(facts.elapsed_s)}" if facts.elapsed_s else ""
    return f"{facts.name}: {rows}{time}{money}"


def _topics(facts: Facts, totals: Totals) -> list[tuple[str, str]]:
    topics = [("rows", _rows(facts, totals)), ("tokens", _tokens(totals))]
    topics += [("cost" if not number else "", line) for number, line in enumerate(_cost(facts.ledger))]
    if facts.max_cost_usd is not None:
        topics.append(("budget", _budget(facts.ledger, facts.max_cost_usd)))
    if totals.answered:
        shares = ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
        topics.append(("latency", " · ".join(f"{name} {figures.seconds(totals.latency_s(s))}" for s, name in shares)))
    if retries := +totals.retries:
        kinds = " · ".join(f"{figures.count(count)} {_words(kind)}" for kind, count in retries.most_common())
        topics.append(("retries", f"{figures.count(retries.total())}: {kinds}"))
    topics += _failures(totals)
    topics += [("", "")] if facts.output or facts.set_aside else []
    if facts.output:
        size = f" · {figures.size(facts.output_bytes)}" if facts.output_bytes is not None else ""
        topics.append(("output", facts.output + size))
    topics += [("set aside", path) for path in facts.set_aside]
    return topics


def _rows(facts: Facts, totals: Totals) -> str:
    parts = [f"{figures.count(totals.answered)} answered"]
    parts += [
        f"{figures.count(number)} {word}"
        for number, word in (
            (totals.failed, "failed"),
            (totals.invalid, "invalid"),
            (facts.left or 0, "left"),
            (facts.ledger.gone.rows, "gone from the input, kept in the journal"),
        )
        if number
    ]
    return " · ".join(parts)


def _tokens(totals: Totals) -> str:
    if totals.answered and totals.without_usage == totals.answered:
        return f"{figures.UNKNOWN}: the endpoint reports none"
    cached = f" ({figures.count(totals.tokens['cached_tokens'])} cached)" if totals.tokens["cached_tokens"] else ""
    text = (
        f"{figures.count(totals.tokens['prompt_tokens'])} in{cached} ·"
        f" {figures.count(totals.tokens['completion_tokens'])} out"
    )
    if totals.without_usage:
        text += f" · unknown for {_some_rows(totals.without_usage)}"
    return text


_SOURCES = {"reported": "reported by the endpoint", "job": "by the job's price"}


def _cost(ledger: Ledger) -> list[str]:
    """One line for what is known, and one for each thing that is not in it."""
    totals = ledger.totals
    known = [
        f"{figures.money(cost)} {_SOURCES.get(source, source)}"
        for source, cost in sorted(totals.cost_usd.items())
        if cost or totals.answered
    ]
    unsure = _possibly_billed(ledger)
    lines = [" + ".join(known)] if known else []
    if not known and not totals.answered:
        lines.append("none known")
    if totals.unknown_cost_rows:
        lines.append(f"unknown for {_some_rows(totals.unknown_cost_rows)}: {_unreported(totals)}")
    if lines and unsure.bounded:
        lines[0] += f" · {unsure.bounded}"
    elsewhere = ledger.superseded.cost_usd + ledger.gone.cost_usd
    pending = sum((spent.cost_usd for spent in ledger.pending.values() if spent.cost_usd), start=elsewhere * 0)
    if elsewhere:
        lines.append(f"{figures.money(elsewhere)} more was paid for answers replaced or gone from the input")
    if pending:
        lines.append(f"{figures.money(pending)} more was paid for attempts at rows that are left")
    if unsure.unbounded:
        lines.append(f"not in it: {_broke_off(unsure.unbounded)} and may have been billed")
    if ledger.at_risk:
        risk = ledger.at_risk_usd * ledger.dearest
        most = f", at most {figures.money(risk)}" if risk else ""
        lines.append(
            f"not in it: up to {figures.count(ledger.at_risk)} requests that were in flight when a run was killed{most}"
        )
    return lines


def _budget(ledger: Ledger, max_cost_usd: Decimal) -> str:
    """All that counts against the cap, of all runs, and what it leaves."""
    counted = ledger.paid_usd + ledger.unsure_usd * ledger.dearest
    may = ", what may have been paid included" if ledger.unsure_usd else ""
    left = max_cost_usd - counted
    rest = f"{figures.money(left)} left" if left >= 0 else f"{figures.money(-left)} over"
    return f"{figures.money(counted)} of {figures.money(max_cost_usd)}{may} · {rest}"


class _Unsure(NamedTuple):
    """What may have been billed: in words where it has a bound, and how many attempts have none."""

    bounded: str
    unbounded: int


def _possibly_billed(ledger: Ledger) -> _Unsure:
    totals, pending = ledger.totals, ledger.pending.values()
    usd = [spent.possibly_billed_usd for spent in pending]
    without = sum(spent.possibly_billed for spent in pending if spent.possibly_billed_usd is None) + totals.unbounded
    attempts = sum(spent.possibly_billed for spent in pending) + totals.possibly_billed - without
    most = sum((one for one in usd if one is not None), start=totals.possibly_billed_usd)
    most *= ledger.dearest
    return _Unsure(f"at most {figures.money(most)} more for {_broke_off(attempts)}" if attempts else "", without)


def _broke_off(attempts: int) -> str:
    return f"{figures.count(attempts)} {'attempt' if attempts == 1 else 'attempts'} that broke off"


def _unreported(totals: Totals) -> str:
    if totals.unreported_usd:
        return f"the endpoint reports no usage; at most {figures.money(totals.unreported_usd)}"
    return "the endpoint reports none and the job has no `price`"


def _failures(totals: Totals) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for topic, invalid in (("failed", False), ("invalid", True)):
        kinds = [
            (kind, count)
            for kind, count in totals.failures.most_common()
            if count > 0 and (kind == ErrorKind.INVALID_INPUT) == invalid
        ]
        for number, (kind, count) in enumerate(kinds):
            example = totals.examples.get(kind)
            where = "" if example is None else example.place if invalid else example.id
            text = "" if example is None else f"  {where}: {figures.shorten(example.text, _EXAMPLE_WIDTH)}"
            label = "" if invalid else f" {kind}"
            rows.append((topic if not number else "", f"{figures.count(count)}{label}{text}"))
    return rows


def _some_rows(number: int) -> str:
    return f"{figures.count(number)} row{'' if number == 1 else 's'}"


def _words(kind: str) -> str:
    return kind.replace("_", " ")


def replies(rows: Sequence[RowRecord]) -> str:
    """Prompts and replies, a line each, shortened: for a run small enough to be read."""
    lines = []
    for row in sorted(rows, key=lambda row: row["ordinal"]):
        asked = next((m for m in reversed(row["messages"]) if m.get("role") == "user"), None)
        content = asked.get("content") if asked else None
        prompt = content if isinstance(content, str) else "(not text)"
        lines.append(f"{row['id']}  {figures.shorten(prompt, _REPLY_WIDTH)}")
        lines.append(f"    {_reply(row)}")
    return "\n".join(lines)


def _reply(row: RowRecord) -> str:
    if row["status"] != Status.ANSWERED:
        return f"{row['error_kind']}: {figures.shorten(row['error'], _REPLY_WIDTH)}"
    reply = row["reply"]
    if text := reply.get("text"):
        return figures.shorten(text, _REPLY_WIDTH)
    if calls := reply.get("tool_calls"):
        return f"({len(calls)} tool calls)"
    return f"refused: {figures.shorten(reply.get('refusal') or '', _REPLY_WIDTH)}"
