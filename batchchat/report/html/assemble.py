"""The page of one output or of several, from what was read of each; it keeps to its size by holding fewer rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from batchchat import __version__
from batchchat.core.record import RowRecord
from batchchat.report.html.build import PageInput, headline, output_data
from batchchat.report.html.differ import COMPARED, answers_of, difference
from batchchat.report.html.page import LIMIT, embedded, page_of
from batchchat.report.html.sample import chosen_rows, fitted
from batchchat.results.group_stats import GroupStats
from batchchat.text import numbers

__all__ = ["MOST_OUTPUTS", "OpenOutput", "assembled"]

MOST_OUTPUTS = 8
_SEED = 7
_DIFFERING = 12
_DIFFERING_TEXT = 2_500
_LONGEST_ID = 240


class OpenOutput(NamedTuple):
    """What was seen of an output, and how to read on in it."""

    seen: PageInput
    rows_at: Callable[[Sequence[int]], Iterator[tuple[int, RowRecord]]]
    columns: Callable[[frozenset[str]], Iterator[pa.RecordBatch]]


def assembled(outputs: Sequence[OpenOutput], made: datetime) -> bytes:
    """The page, of at most `LIMIT` bytes."""
    random = np.random.default_rng(_SEED)
    seen = [output.seen for output in outputs]
    top = headline(seen)
    head = {
        "headline": top,
        "version": __version__,
        "made": f"{made:%Y-%m-%d %H:%M} UTC",
        "outputs": [output_data(each, random) for each in seen],
        "compare": _compared(outputs, random) if len(outputs) > 1 else None,
    }
    start = embedded(head)[:-1] + b',"rows":['
    room = (LIMIT - len(page_of(top, start)) - 64) // len(outputs)
    rows = [b"[" + b",".join(_rows(output, room, random)) + b"]" for output in outputs]
    return page_of(top, start + b",".join(rows) + b"]}")


def _rows(output: OpenOutput, room: int, random: np.random.Generator) -> list[bytes]:
    chosen = chosen_rows(output.seen.facts, random)
    found = dict(output.rows_at(sorted(chosen)))
    by = output.seen.facts.by
    values = {} if by is None else {at: by.names[by.of[at]] for at in chosen}
    kept = [at for at in chosen if at in found]
    return fitted([found[at] for at in kept], values, kept, room)


def _compared(outputs: Sequence[OpenOutput], random: np.random.Generator) -> dict[str, Any]:
    """The measures that put outputs side by side, and how each differs from the first."""
    tallies = [output.seen.told.tally for output in outputs]
    measures = [
        {"title": title, "unit": unit, "form": form, "values": [measure(tally) for tally in tallies]}
        for title, unit, form, measure in _MEASURES
    ]
    first = answers_of(outputs[0].columns(COMPARED))
    differ = []
    for number, other in enumerate(outputs[1:], 1):
        found = difference(first, answers_of(other.columns(COMPARED)))
        most = max(1, _DIFFERING // (len(outputs) - 1))
        some = random.permutation(len(found.places))[:most]
        ones = dict(outputs[0].rows_at(sorted(int(at) for at in found.places[some])))
        others = dict(other.rows_at(sorted(int(at) for at in found.other_places[some])))
        rows = [
            {
                "id": numbers.shorten(ones[one]["id"], _LONGEST_ID),
                "one": _reply(ones[one]),
                "other": _reply(others[two]),
            }
            for one, two in zip(found.places[some].tolist(), found.other_places[some].tolist(), strict=True)
        ]
        differ.append({"output": number, "both": found.both, "differ": len(found.places), "rows": rows})
    return {"measures": measures, "differ": differ}


def _reply(row: RowRecord) -> str:
    text = row.get("reply", {}).get("text") or ""
    return text if len(text) <= _DIFFERING_TEXT else f"{text[:_DIFFERING_TEXT]}…"


def _cost_a_row(tally: GroupStats) -> float | None:
    cost = tally.totals.known_cost_usd
    return float(cost / tally.totals.answered) if cost is not None and tally.totals.answered else None


def _reply_tokens(tally: GroupStats) -> float | None:
    tokens, told = tally.json()["completion_tokens"], tally.totals.answered - tally.totals.without_usage
    return tokens / told if tokens is not None and told else None


def _failed(tally: GroupStats) -> float | None:
    totals = tally.totals
    return (totals.failed + totals.invalid) / totals.finished if totals.finished else None


_MEASURES: tuple[tuple[str, str, str, Callable[[GroupStats], float | None]], ...] = (
    ("Which is cheaper?", "USD an answered row", "money", _cost_a_row),
    ("Which says more?", "reply tokens an answer that reports them", "count", _reply_tokens),
    ("Which is faster?", "median latency, seconds", "seconds", lambda tally: tally.latency_s(0.5)),
    (
        "Which is slow at worst?",
        "latency, p95, seconds",
        "seconds",
        lambda tally: tally.latency_s(0.95),
    ),
    ("Which fails more?", "share of rows failed or invalid", "share", _failed),
)
