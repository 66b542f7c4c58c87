"""What the page says of an output: its sentence, its figures, its pictures, as plain JSON. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np

from batchchat.core.conversation import Status
from batchchat.report.html.facts import RowColumns
from batchchat.report.html.pictures import (
    Clock,
    answers_against_length,
    clock_of,
    histogram,
    over_time,
    spent_by,
)
from batchchat.report.html.sample import dearest
from batchchat.report.lines import answered_words, cost_lines, retry_lines, token_lines
from batchchat.report.tables import ReportInput
from batchchat.results.group_stats import GroupStats
from batchchat.text import numbers
from batchchat.text.labelled import LabelledLine

__all__ = ["PageInput", "headline", "output_data"]

_MOST_KINDS = 20
_LONGEST_EXAMPLE = 300
_SECOND_ROUND = 1
_NAMED = 3


class PageInput(NamedTuple):
    """An output with all that is drawn of it. `by` names the column to group by; `published`: not from a journal."""

    told: ReportInput
    facts: RowColumns
    by: str | None
    published: bool


def output_data(seen: PageInput, random: np.random.Generator) -> dict[str, Any]:
    """All of an output but its rows."""
    told, facts = seen.told, seen.facts
    answered = facts.status.are(Status.ANSWERED)
    clock = clock_of(facts)
    return {
        "path": told.path,
        "job": " · ".join(part for part in (told.name, _where(told)) if part),
        "sentence": f"{sentence(told, clock)}.",
        "figures": _figures(told, clock),
        "notes": _notes(seen),
        "spent": _spent(seen),
        "time": None if clock is None else over_time(facts, clock, answered),
        "latency": histogram(facts.latency_s[answered]),
        "against": answers_against_length(facts, answered, random),
        "prompt": histogram(facts.prompt_tokens, whole=True),
        "reply": histogram(facts.completion_tokens[answered], whole=True),
        "wait": _quantile(facts.wait_s[answered]),
        "failures": _failures(seen),
        "retries": _retries(seen),
        "dearest": [{"at": at, "cost": float(facts.cost_usd[at])} for at in dearest(facts)],
        "total": facts.rows,
        "by": seen.by,
        "models": len(facts.model.names),
    }


def headline(all_seen: list[PageInput]) -> str:
    """The sentence on top: what came of it, for how much, in what time."""
    if len(all_seen) == 1:
        return f"{sentence(all_seen[0].told, clock_of(all_seen[0].facts))}."
    if len(all_seen) > _NAMED:
        totals = [seen.told.tally.totals for seen in all_seen]
        costs = [cost for each in totals if (cost := each.known_cost_usd) is not None]
        money = f" for {numbers.money(sum(costs, Decimal(0)))}" if costs else ""
        answered, rows = sum(each.answered for each in totals), sum(each.finished for each in totals)
        return (
            f"{len(all_seen)} outputs: {numbers.count(answered)} of {numbers.count(rows)} rows answered{money} in all."
        )
    parts = [f"{seen.told.path} answered {_answered(seen.told.tally)}{_for(seen.told.tally)}" for seen in all_seen]
    return f"{len(parts)} outputs: {', '.join(parts)}."


def sentence(told: ReportInput, clock: Clock | None) -> str:
    """`12,474 of 12,480 rows answered for $6.2841 in 9m 51s`."""
    time = "" if clock is None else f" in {numbers.duration(clock.length_s)}"
    return f"{answered_words(told.tally.totals, told.off_row_costs)}{_for(told.tally)}{time}"


def _answered(tally: GroupStats) -> str:
    return f"{numbers.count(tally.totals.answered)} of {numbers.count(tally.totals.finished)}"


def _for(tally: GroupStats) -> str:
    cost = tally.totals.known_cost_usd
    return "" if cost is None else f" for {numbers.money(cost)}"


def _where(told: ReportInput) -> str:
    where = f" at {told.endpoint}" if told.endpoint else ""
    return f"{told.model}{where}" if told.model else ""


def _figures(told: ReportInput, clock: Clock | None) -> list[dict[str, str]]:
    tally = told.tally
    totals, cost = tally.totals, tally.totals.known_cost_usd
    known = tally.json()
    sent, back = known["prompt_tokens"], known["completion_tokens"]
    each = f"{numbers.money(cost / totals.answered)} an answered row" if cost is not None and totals.answered else ""
    if totals.unknown_cost_rows and each:
        each += f" · unknown for {numbers.rows(totals.unknown_cost_rows)}"
    bad = [
        f"{numbers.count(number)} {word}"
        for number, word in ((totals.failed, "failed"), (totals.invalid, "invalid"))
        if number
    ]
    latency = tally.latency_s(0.5), tally.latency_s(0.95)
    p50, p95 = (numbers.seconds(value) for value in latency)
    tokens = numbers.UNKNOWN if sent is None and back is None else numbers.compact((sent or 0) + (back or 0))
    return [
        {"label": "cost", "value": numbers.money(cost), "note": each},
        {
            "label": "tokens",
            "value": tokens,
            "note": "" if tokens == numbers.UNKNOWN else f"{_compact(sent)} in · {_compact(back)} out",
        },
        {
            "label": "time",
            "value": numbers.duration(None if clock is None else clock.length_s),
            "note": "" if latency[0] is None else f"latency p50 {p50} · p95 {p95}",
        },
        {
            "label": "answered",
            "value": _share(totals.answered, totals.finished),
            "note": " · ".join(bad) or ("every row" if totals.finished else "no rows"),
        },
    ]


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


def _notes(seen: PageInput) -> list[list[str]]:
    """Cost and tokens in words, what is unknown and what may have been billed each apart."""
    told = seen.told
    totals = told.tally.totals
    lines = [*cost_lines(totals, told.off_row_costs), *token_lines(totals)]
    if not seen.published:
        lines.append(
            LabelledLine("so far", "these are the rows in the run's journal; its output is not published, or older")
        )
    return [list(line) for line in lines]


def _spent(seen: PageInput) -> list[dict[str, Any]]:
    facts = seen.facts
    found = []
    if seen.by is not None and facts.by is not None:
        found.append({"by": seen.by, **spent_by(facts.by, facts)})
    if facts.model.names and (len(facts.model.names) > 1 or seen.by is None) and seen.by != "model":
        found.append({"by": "model", **spent_by(facts.model, facts)})
    return found


def _quantile(values: Any) -> dict[str, float] | None:
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    p50, p95 = np.quantile(known, (0.5, 0.95))
    return {"p50": float(p50), "p95": float(p95)}


def _failures(seen: PageInput) -> list[dict[str, Any]]:
    totals, kinds = seen.told.tally.totals, seen.facts.error_kind
    found: list[dict[str, Any]] = []
    for kind, count in totals.failures.most_common(_MOST_KINDS):
        example = totals.examples.get(kind)
        places = np.nonzero(kinds.are(kind))[0]
        found.append(
            {
                "kind": numbers.shorten(kind, 60),
                "rows": count,
                "id": "" if example is None else numbers.shorten(example.id, 80),
                "text": "" if example is None else numbers.shorten(example.text, _LONGEST_EXAMPLE),
                "at": int(places[0]) if len(places) else None,
            }
        )
    return found


def _retries(seen: PageInput) -> dict[str, Any]:
    """Attempts beyond a row's first; what they were for is known of a journal only."""
    attempts = seen.facts.attempts[np.isfinite(seen.facts.attempts)]
    again = attempts[attempts > _SECOND_ROUND]
    kinds = +seen.told.tally.totals.retries
    words = " · ".join(line for _, line in retry_lines(seen.told.tally.totals, seen.told.off_row_costs))
    return {
        "text": words
        or (
            f"{numbers.rows(len(again))} took {numbers.count(float((again - 1).sum()))} more"
            f" {'attempt' if (again - 1).sum() == 1 else 'attempts'}"
            if len(again)
            else "no row took more than one attempt"
        ),
        "kinds": [{"kind": kind, "count": count} for kind, count in kinds.most_common(_MOST_KINDS)],
    }
