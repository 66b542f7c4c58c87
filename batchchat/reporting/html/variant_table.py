"""The table of a matrix: the figures of each variant, models against prompts. Pure; the result is plain JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from batchchat import lossless_json
from batchchat.core.conversation import ErrorKind
from batchchat.core.totals import SHARED
from batchchat.results.group_stats import GroupStats
from batchchat.results.variants import VariantFigures
from batchchat.text import numbers

__all__ = ["reply_tokens", "row_cost_usd", "variant_table"]

_MAX_COLUMNS = 6
"""With more the variants are listed, one below the other."""
_MAX_LINES = 60
_MAX_LABEL_CHARS = 60
_SMALL_USD = 0.0001
_MODEL, _SYSTEM = "model", "system"
_RANKS = {_MODEL: 0, _SYSTEM: 1}


class _Measure(NamedTuple):
    """A figure of each variant. `form` is how it is written, `best` is `max` or `min`, or empty."""

    label: str
    form: str
    best: str
    value: Callable[[GroupStats], float | None]


def row_cost_usd(stats: GroupStats) -> float | None:
    """USD for each answered row; None where no cost is known."""
    cost = stats.totals.known_cost_usd
    return float(cost / stats.totals.answered) if cost is not None and stats.totals.answered else None


def _cost_of_1000_usd(stats: GroupStats) -> float | None:
    cost_usd = row_cost_usd(stats)
    return None if cost_usd is None else 1000 * cost_usd


def reply_tokens(stats: GroupStats) -> float | None:
    """Reply tokens for each answer that reports them; the answer of an equal request has none of its own."""
    totals = stats.totals
    tokens = stats.json()["completion_tokens"]
    reporting_rows = totals.answered - totals.without_usage - totals.known_cost_rows[SHARED]
    return tokens / reporting_rows if tokens is not None and reporting_rows > 0 else None


def _answered(stats: GroupStats) -> float | None:
    return stats.totals.answered / stats.totals.finished if stats.totals.finished else None


def _fitting(stats: GroupStats) -> float | None:
    """The share of the replies that fit, of those that were checked."""
    replies = stats.totals.answered + stats.totals.failures[ErrorKind.SCHEMA]
    return stats.totals.answered / replies if replies else None


_MEASURES = (
    _Measure("answered", "share", "max", _answered),
    _Measure("fits the schema", "share", "max", _fitting),
    _Measure("cost a row", "money", "min", row_cost_usd),
    _Measure("cost per 1,000 rows", "money", "min", _cost_of_1000_usd),
    _Measure("mean reply tokens", "count", "", reply_tokens),
    _Measure("latency p50", "seconds", "min", lambda stats: stats.latency_s(0.5)),
)


def _measures(figures: VariantFigures) -> list[_Measure]:
    """Those that say something: small costs are given for 1,000 rows, as in the tables of `report`."""
    costs = [row_cost_usd(stats) or 0 for _, stats in figures.variants]
    small = any(0 < cost < _SMALL_USD for cost in costs)
    left_out = {_cost_of_1000_usd if not small else row_cost_usd, None if figures.has_schema else _fitting}
    return [measure for measure in _MEASURES if measure.value not in left_out]


class _Axis(NamedTuple):
    """An axis of the matrix: its `name` for people, its distinct `values` as JSON, and a label for each."""

    name: str
    values: list[bytes]
    labels: list[str]


def variant_table(figures: VariantFigures) -> dict[str, Any]:
    """`{title, measures, by, head, columns, lines, left_out}`: models down and prompts across, or the first two axes.

    A line is `{labels, cells}`: `labels` are those of the axes in `head`. It has a cell `{rows, values}` for each of
    `columns`, null where there is no such variant; `values` has one for each of `measures`, null where unknown. Further
    axes are part of the columns' labels. Where there is one axis, or so many columns that nobody could read them,
    `columns` is null, and each variant is a line of one cell, those after the 60th only counted in `left_out`. `by` is
    what `report --by` takes for all.
    """
    order = sorted(range(len(figures.axes)), key=lambda at: (_RANKS.get(figures.axes[at], len(_RANKS)), at))
    axes = [_axis(figures.axes[at], [values[at] for values, _ in figures.variants]) for at in order]
    places = {
        tuple(axis.values.index(_json(values[at])) for axis, at in zip(axes, order, strict=True)): stats
        for values, stats in figures.variants
    }
    measures = _measures(figures)
    columns = sorted({place[1:] for place in places})
    lists = len(axes) == 1 or len(columns) > _MAX_COLUMNS
    ordered = sorted(places)
    if lists:
        lines = [
            {"labels": _labels(axes, place), "cells": [_cell(places[place], measures)]}
            for place in ordered[:_MAX_LINES]
        ]
    else:
        lines = [
            {
                "labels": _labels(axes[:1], (first,)),
                "cells": [_cell(places.get((first, *column)), measures) for column in columns],
            }
            for first in range(len(axes[0].values))
        ]
    return {
        "title": _title([axis.name for axis in axes]),
        "measures": [{"label": measure.label, "form": measure.form, "best": measure.best} for measure in measures],
        "by": ",".join(f"variant_{figures.axes[at]}" for at in order),
        "head": [axis.name for axis in (axes if lists else axes[:1])],
        "columns": None if lists else [" · ".join(_labels(axes[1:], column, named=True)) for column in columns],
        "lines": lines,
        "left_out": max(0, len(ordered) - _MAX_LINES) if lists else 0,
    }


def _title(names: Sequence[str]) -> str:
    """The question that the table answers: `Which model with which prompt and temperature?`, of the axes' names."""
    first, *others = names
    if not others:
        return f"Which {first}?"
    *middle, last = others
    return f"Which {first} with which {', '.join(middle)}{' and ' if middle else ''}{last}?"


def _axis(name: str, values: Sequence[Any]) -> _Axis:
    """Numbers in ascending order, others in the order of the matrix."""
    distinct = {_json(value): value for value in values}
    if all(isinstance(value, int | float) for value in distinct.values()):
        distinct = dict(sorted(distinct.items(), key=lambda item: item[1]))
    texts = [_text(name, value) for value in distinct.values()]
    if name == _MODEL and len({*(ends := [text.rsplit("/", 1)[-1] for text in texts])}) == len(texts):
        texts = ends
    return _Axis(
        "prompt" if name == _SYSTEM else name.replace("_", " "),
        list(distinct),
        [numbers.shorten(text, _MAX_LABEL_CHARS) or '""' for text in texts],
    )


def _text(name: str, value: Any) -> str:
    if value is None and name == _SYSTEM:
        return "none"
    if isinstance(value, float) and value.is_integer():  # 0 beside 0.7, in a column of floats
        value = int(value)
    return value if isinstance(value, str) else _json(value).decode()


def _json(value: Any) -> bytes:
    return lossless_json.dumps(value)


def _labels(axes: Sequence[_Axis], place: Sequence[int], *, named: bool = False) -> list[str]:
    """The labels of the values at `place`; a number says nothing without the axis' name, so it may be `named`."""
    return [
        f"{axis.name} {axis.labels[at]}" if named and axis.name not in {_MODEL, "prompt"} else axis.labels[at]
        for axis, at in zip(axes, place, strict=True)
    ]


def _cell(stats: GroupStats | None, measures: Sequence[_Measure]) -> dict[str, Any] | None:
    if stats is None:
        return None
    return {"rows": stats.totals.finished, "values": [measure.value(stats) for measure in measures]}
