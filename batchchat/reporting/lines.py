"""Totals as labelled lines: tokens, cost, failures. The summary, the report and the page print them. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from batchchat.core.conversation import ErrorKind
from batchchat.core.totals import RE_ASKS, REPAIRED, SHARED, TOKEN_FIELDS, OffRowCosts, Totals
from batchchat.text import numbers
from batchchat.text.labelled import LabelledLine, labelled
from batchchat.text.times import local_moment

__all__ = [
    "budget_lines",
    "cost_lines",
    "cut_off_lines",
    "cut_off_words",
    "endpoint_standing_lines",
    "failure_lines",
    "latency_lines",
    "paid_usd",
    "reply_lines",
    "retry_lines",
    "token_lines",
]

_EXAMPLE_WIDTH = 110


def paid_usd(totals: Totals, off_row: OffRowCosts) -> Decimal | None:
    """All that is known to be paid for a job: for its rows, for answers replaced or gone, for rows that are left."""
    elsewhere_usd = off_row.superseded_usd + off_row.pending_usd
    known_usd = totals.known_cost_usd
    return elsewhere_usd or None if known_usd is None else known_usd + elsewhere_usd


def cut_off_words(count: int) -> str:
    """What cut-off answers are, and the way out."""
    ended = "answer ended" if count == 1 else "answers ended"
    return (
        f"{numbers.count(count)} {ended} at the token limit; raise `max_tokens`, then --resend cut-off --keep-changed"
    )


def cut_off_lines(totals: Totals) -> list[LabelledLine]:
    """Answers that ended at the limit of their tokens, if there are any."""
    return [LabelledLine("cut off", cut_off_words(totals.cut_off))] if totals.cut_off else []


def reply_lines(totals: Totals) -> list[LabelledLine]:
    """Replies that were repaired or asked for again, if there are any."""
    repaired, re_asks = totals.replies[REPAIRED], totals.replies[RE_ASKS]
    parts = [f"{numbers.count(repaired)} repaired"] if repaired else []
    parts += [f"{numbers.count(re_asks)} asked for again"] if re_asks else []
    return [LabelledLine("replies", " · ".join(parts))] if parts else []


def token_lines(totals: Totals) -> list[LabelledLine]:
    """Tokens as reported."""
    return [LabelledLine("tokens", _tokens(totals))]


def _tokens(totals: Totals) -> str:
    tokens = {name: totals.tokens.get(name) for name in TOKEN_FIELDS}
    if tokens["prompt_tokens"] is None and tokens["completion_tokens"] is None:
        return f"{numbers.UNKNOWN}: the endpoint reports none" if totals.answered else "none known"
    cached = f" ({numbers.count(tokens['cached_tokens'])} cached)" if tokens["cached_tokens"] else ""
    text = f"{_some(tokens['prompt_tokens'])} in{cached} · {_some(tokens['completion_tokens'])} out"
    if totals.without_usage:
        text += f" · unknown for {numbers.rows(totals.without_usage)}"
    return text


def _some(tokens: int | None) -> str:
    return numbers.UNKNOWN if tokens is None else numbers.count(tokens)


_REPORTED = "reported"
_MOCK = "at the price of the embedded mock: nothing was paid"
_SOURCES = {
    _REPORTED: "reported by the endpoint",
    "job": "by the job's price",
    "endpoint": "by the endpoint's list of models",
    "table": "by the price table",
}


def cost_lines(totals: Totals, off_row: OffRowCosts, *, of_mock: bool = False) -> list[LabelledLine]:
    """A line for the known cost, and one for each amount that is not in it; `off_row` are costs outside the rows.

    `of_mock`: the embedded mock answered, and nothing was paid.
    """
    known_costs = [
        f"{numbers.money(cost)} {_MOCK if of_mock and source == _REPORTED else _SOURCES.get(source, source)}"
        for source, cost in sorted(totals.cost_usd.items())
        if (cost or totals.answered) and source != SHARED
    ]
    lines = [" + ".join(known_costs)] if known_costs else []
    if not known_costs and not totals.answered:
        lines.append("none known")
    if shared := totals.known_cost_rows.get(SHARED, 0):
        share = "shares" if shared == 1 else "share"
        lines.append(f"nothing for {numbers.rows(shared)} that {share} the answer of an equal request")
    if off_row.cache_saved_usd and not of_mock:
        count = numbers.count(totals.tokens["cached_tokens"])
        lines.append(f"{numbers.money(off_row.cache_saved_usd)} less by {count} cached tokens, at their known price")
    if totals.unknown_cost_rows:
        lines.append(f"unknown for {numbers.rows(totals.unknown_cost_rows)}: {_unreported(off_row)}")
    possibly = totals.possibly_billed + off_row.pending_possibly_billed
    unbounded = possibly if off_row.unbounded is None else off_row.unbounded
    if lines and possibly > unbounded:
        lines[0] += f" · at most {numbers.money(off_row.broke_off_usd)} more for {_broke_off(possibly - unbounded)}"
    if off_row.superseded_usd:
        money = numbers.money(off_row.superseded_usd)
        lines.append(f"{money} more for answers replaced or gone from the input")
    if off_row.pending_usd:
        lines.append(f"{numbers.money(off_row.pending_usd)} more for attempts at rows that are left")
    if unbounded:
        lines.append(f"not in it: {_broke_off(unbounded)} and may have been billed")
    if off_row.at_risk:
        bound = f", at most {numbers.money(off_row.at_risk_usd)}" if off_row.at_risk_usd else ""
        lines.append(
            f"not in it: up to {numbers.count(off_row.at_risk)} requests that were in flight when a run was killed"
            f"{bound}"
        )
    return labelled("cost", lines)


def budget_lines(totals: Totals, off_row: OffRowCosts, max_cost_usd: Decimal | None) -> list[LabelledLine]:
    """All that counts against the cap, over all runs of the job, and what is left of it."""
    if max_cost_usd is None:
        return []
    uncertain_usd = off_row.unsure_usd
    counted_usd = (totals.known_cost_usd or Decimal(0)) + off_row.superseded_usd + off_row.pending_usd + uncertain_usd
    note = ", what may have been paid included" if uncertain_usd else ""
    left_usd = max_cost_usd - counted_usd
    remainder = f"{numbers.money(left_usd)} left" if left_usd >= 0 else f"{numbers.money(-left_usd)} over"
    return [
        LabelledLine("budget", f"{numbers.money(counted_usd)} of {numbers.money(max_cost_usd)}{note} · {remainder}")
    ]


def _broke_off(attempts: int) -> str:
    return f"{numbers.quantity(attempts, 'attempt')} that broke off"


def _unreported(off_row: OffRowCosts) -> str:
    if off_row.unreported_usd:
        return f"the endpoint reports no usage; at most {numbers.money(off_row.unreported_usd)}"
    return "the endpoint reports none, and no price is known for it"


def latency_lines(totals: Totals) -> list[LabelledLine]:
    """How long answers took."""
    shares = ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
    if totals.latency_s(1) is None:
        return []
    return [
        LabelledLine(
            "latency", " · ".join(f"{name} {numbers.seconds(totals.latency_s(share))}" for share, name in shares)
        )
    ]


def retry_lines(totals: Totals, off_row: OffRowCosts) -> list[LabelledLine]:
    """The reasons of retries; of an output they are in `off_row`, since no column has them."""
    if not (retries := +totals.retries or Counter(off_row.retries)):
        return []
    kinds = " · ".join(f"{numbers.count(count)} {kind.replace('_', ' ')}" for kind, count in retries.most_common())
    return [LabelledLine("retries", f"{numbers.count(retries.total())}: {kinds}")]


def failure_lines(totals: Totals) -> list[LabelledLine]:
    """Each kind of failure with an example; an invalid row is named by its location, since it may have no id."""
    lines: list[LabelledLine] = []
    for status, is_invalid in (("failed", False), ("invalid", True)):
        kinds = [
            (kind, count)
            for kind, count in totals.failures.most_common()
            if count > 0 and (kind == ErrorKind.INVALID_INPUT) == is_invalid
        ]
        texts = []
        for kind, count in kinds:
            example = totals.examples.get(kind)
            where = "" if example is None else example.place if is_invalid else example.name
            text = "" if example is None else f"  {where}: {numbers.shorten(example.text, _EXAMPLE_WIDTH)}"
            label = "" if is_invalid else f" {kind}"
            texts.append(f"{numbers.count(count)}{label}{text}")
        lines += labelled(status, texts)
    return lines


def endpoint_standing_lines(
    endpoints: Iterable[Mapping[str, Any]], which_run: str, *, runs: bool = False
) -> list[LabelledLine]:
    """What each of several endpoints answered in `which_run`, and how it stands there or stood at its end."""
    return labelled("endpoints", [_endpoint_standing(endpoint, which_run, runs=runs) for endpoint in endpoints])


def _endpoint_standing(endpoint: Mapping[str, Any], which_run: str, *, runs: bool) -> str:
    parts = [f"{numbers.count(endpoint['rows'] or 0)} answered in {which_run}"]
    if endpoint["cost_usd"] is not None:
        parts.append(numbers.money(endpoint["cost_usd"]))
    since = "" if endpoint["down_since"] is None else f" since {local_moment(endpoint['down_since'])}"
    waiting_for = endpoint.get("waiting_for")
    if endpoint["state"] == "retired":
        parts.append("not used any more" + (f" ({waiting_for})" if waiting_for else ""))
    elif runs and endpoint["state"] == "working":
        in_flight, ceiling = (numbers.count(endpoint[name] or 0) for name in ("in_flight", "ceiling"))
        parts.append(f"{endpoint['rows_per_s'] or 0:.1f} rows/s · {in_flight} of up to {ceiling} in flight")
    elif runs:
        parts.append(f"waiting{since} for {waiting_for}")
    elif endpoint["state"] == "down":
        parts.append(f"was down{since}" + (f", waited for {waiting_for}" if waiting_for else ""))
    return f"{endpoint['name']}: {' · '.join(parts)}"
