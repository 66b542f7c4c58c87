"""The page of one output or several, from what was read of each; it keeps its size by holding fewer rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from batchchat.core.record import RowRecord
from batchchat.reporting.html.build import PageInput, headline, output_data
from batchchat.reporting.html.differ import COMPARED, answers_of, difference
from batchchat.reporting.html.labels import labels_of
from batchchat.reporting.html.page import LIMIT, embedded, page_of
from batchchat.reporting.html.sample import chosen_rows, fitted
from batchchat.reporting.html.variant_table import reply_tokens, row_cost_usd
from batchchat.results.group_stats import GroupStats
from batchchat.text import numbers
from batchchat.version import __version__

__all__ = ["MAX_OUTPUTS", "OpenOutput", "assembled"]

MAX_OUTPUTS = 8
_SEED = 7
_DIFFERING = 12
_DIFFERING_TEXT = 2_500
_LONGEST_ID = 240


class OpenOutput(NamedTuple):
    """What the page shows of an output, and how to read its rows and columns."""

    page_input: PageInput
    rows_at: Callable[[Sequence[int]], Iterator[tuple[int, RowRecord]]]
    columns: Callable[[frozenset[str]], Iterator[pa.RecordBatch]]


def assembled(outputs: Sequence[OpenOutput], created_at: datetime) -> bytes:
    """The page as HTML, of at most `LIMIT` bytes, saying that it was made at `created_at`."""
    random = np.random.default_rng(_SEED)
    page_inputs = [output.page_input for output in outputs]
    top = headline(page_inputs)
    labels = labels_of([page_input.report_input for page_input in page_inputs])
    head = {
        "headline": top,
        "version": __version__,
        "made": f"{created_at:%Y-%m-%d %H:%M} UTC",
        "outputs": [
            {**output_data(page_input, random), "label": label}
            for page_input, label in zip(page_inputs, labels, strict=True)
        ],
        "compare": _compared(outputs, random) if len(outputs) > 1 else None,
    }
    start = embedded(head)[:-1] + b',"rows":['
    room = (LIMIT - len(page_of(top, start)) - 64) // len(outputs)
    rows = [b"[" + b",".join(_rows(output, room, random)) + b"]" for output in outputs]
    return page_of(top, start + b",".join(rows) + b"]}")


def _rows(output: OpenOutput, room: int, random: np.random.Generator) -> list[bytes]:
    chosen = chosen_rows(output.page_input.columns, random)
    records = dict(output.rows_at(sorted(chosen)))
    groups = output.page_input.columns.by
    values = {} if groups is None else {position: groups.names[groups.of[position]] for position in chosen}
    available = [position for position in chosen if position in records]
    return fitted([records[position] for position in available], values, available, room)


def _compared(outputs: Sequence[OpenOutput], random: np.random.Generator) -> dict[str, Any]:
    """The measures of all outputs side by side, and which replies of each differ from the first output's."""
    stats_of_outputs = [output.page_input.report_input.stats for output in outputs]
    measures = [
        {"title": title, "unit": unit, "form": form, "values": [measure(stats) for stats in stats_of_outputs]}
        for title, unit, form, measure in _MEASURES
    ]
    first = answers_of(outputs[0].columns(COMPARED))
    differ = []
    for number, output in enumerate(outputs[1:], 1):
        differing = difference(first, answers_of(output.columns(COMPARED)))
        max_rows = max(1, _DIFFERING // (len(outputs) - 1))
        sample = random.permutation(len(differing.left_positions))[:max_rows]
        lefts, rights = differing.left_positions[sample].tolist(), differing.right_positions[sample].tolist()
        left_rows = dict(outputs[0].rows_at(sorted(lefts)))
        right_rows = dict(output.rows_at(sorted(rights)))
        rows = [
            {
                "id": numbers.shorten(left_rows[left]["id"], _LONGEST_ID),
                "one": _reply(left_rows[left]),
                "other": _reply(right_rows[right]),
            }
            for left, right in zip(lefts, rights, strict=True)
        ]
        differ.append({"output": number, "both": differing.both, "differ": len(differing.left_positions), "rows": rows})
    return {"measures": measures, "differ": differ}


def _reply(row: RowRecord) -> str:
    text = row.get("reply", {}).get("text") or ""
    return text if len(text) <= _DIFFERING_TEXT else f"{text[:_DIFFERING_TEXT]}…"


def _failed(tally: GroupStats) -> float | None:
    totals = tally.totals
    return (totals.failed + totals.invalid) / totals.finished if totals.finished else None


_MEASURES: tuple[tuple[str, str, str, Callable[[GroupStats], float | None]], ...] = (
    ("Which is cheaper?", "USD an answered row", "money", row_cost_usd),
    ("Which says more?", "reply tokens an answer that reports them", "count", reply_tokens),
    ("Which is faster?", "median latency, seconds", "seconds", lambda tally: tally.latency_s(0.5)),
    (
        "Which is slow at worst?",
        "latency, p95, seconds",
        "seconds",
        lambda tally: tally.latency_s(0.95),
    ),
    ("Which fails more?", "share of rows failed or invalid", "share", _failed),
)
