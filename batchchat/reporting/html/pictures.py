"""The data of the page's charts: bins, shares and curves of the rows' figures. Pure; every result is plain JSON.

However many rows there are, a chart has at most a few thousand numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from batchchat.reporting.html.row_columns import Codes, Floats, RowColumns
from batchchat.text import numbers

__all__ = ["Clock", "answers_against_length", "clock_of", "histogram", "over_time", "spent_by"]

_MIN_BINS, _MAX_BINS = 8, 40
_ALIKE = 1e-9
_MIN_MOMENTS, _MAX_MOMENTS = 12, 90
_ANSWERS_A_MOMENT = 8
_DOTS = 1_200
_ACROSS, _DOWN = 48, 28
_MAX_GROUPS = 12
_MAX_NAME_CHARS = 60
_MIN_GAP_S = 60.0
_GAP_SHARE = 0.1
_SHOWN = 0.995
_FEW_WHOLE = 5
_UNITS = ((180.0, 1.0, "seconds"), (3 * 3600.0, 60.0, "minutes"), (float("inf"), 3600.0, "hours"))

Mask = npt.NDArray[np.bool_]


def _numbers(values: npt.NDArray[Any], digits: int = 6) -> list[float]:
    return [float(f"{value:.{digits}g}") for value in values]


def spent_by(codes: Codes, columns: RowColumns) -> dict[str, Any]:
    """Cost, tokens and rows of each value, the most expensive first; those after the twelfth are added up."""
    size = len(codes.names)
    has_code = codes.of >= 0
    code_of_row = codes.of[has_code]

    def sums(values: Floats) -> Floats:
        return np.bincount(code_of_row, np.nan_to_num(values[has_code]), size).astype(np.float64)

    cost, tokens = sums(columns.cost_usd), sums(columns.prompt_tokens) + sums(columns.completion_tokens)
    rows = np.bincount(code_of_row, minlength=size)
    order = np.lexsort((rows, tokens, cost))[::-1]
    has_cost = bool(np.isfinite(columns.cost_usd).any())
    bars = [
        {
            "name": numbers.shorten(codes.names[n], _MAX_NAME_CHARS) or '""',
            "cost": float(cost[n]) if has_cost else None,
            "tokens": int(tokens[n]),
            "rows": int(rows[n]),
        }
        for n in order[:_MAX_GROUPS]
    ]
    if len(remaining := order[_MAX_GROUPS:]):
        bars.append(
            {
                "name": f"{numbers.count(len(remaining))} others",
                "cost": float(cost[remaining].sum()) if has_cost else None,
                "tokens": int(tokens[remaining].sum()),
                "rows": int(rows[remaining].sum()),
            }
        )
    return {"bars": bars, "has_cost": has_cost}


def histogram(values: Floats, *, whole: bool = False) -> dict[str, Any] | None:
    """Bins of equal width up to where 99.5 % lie, and how many lie beyond; None without values.

    `whole`: of whole numbers, so that no bin is narrower than one.
    """
    finite = values[np.isfinite(values)]
    if not len(finite):
        return None
    low, shown, maximum = float(finite.min()), float(np.quantile(finite, _SHOWN)), float(finite.max())
    end = maximum if maximum <= shown * 1.5 else shown
    start = 0.0 if low < end / 2 else low
    if end - start <= maximum * _ALIKE:  # all one value, but for the last digits of a float
        start, end = 0.0, 2 * maximum or 1.0
    if whole and end - start < _FEW_WHOLE:  # an axis from 18 to 19 would have marks that are no whole numbers
        start = 0.0
    bins = min(_MAX_BINS, max(_MIN_BINS, round(2 * len(finite) ** 0.5)))
    if whole:
        bins = min(bins, max(1, round(end - start)))
    counts, edges = np.histogram(finite[finite <= end], bins=bins, range=(start, end))
    shares = np.quantile(finite, (0.5, 0.95, 0.99))
    return {
        "counts": [int(count) for count in counts],
        "edges": _numbers(edges),
        "p50": float(shares[0]),
        "p95": float(shares[1]),
        "p99": float(shares[2]),
        "beyond": int((finite > end).sum()),
        "max": maximum,
        "rows": len(finite),
    }


def answers_against_length(columns: RowColumns, answered: Mask, random: np.random.Generator) -> dict[str, Any] | None:
    """Latency against reply tokens: a dot a row, or counts in a grid where dots would hide each other."""
    drawn = answered & np.isfinite(columns.completion_tokens) & np.isfinite(columns.latency_s)
    tokens, latency = columns.completion_tokens[drawn], columns.latency_s[drawn]
    if not len(tokens):
        return None
    if len(tokens) <= _DOTS:
        order = random.permutation(len(tokens))
        return {"dots": [[int(tokens[n]), float(f"{latency[n]:.4g}")] for n in order], "rows": len(tokens)}
    x_end, y_end = float(np.quantile(tokens, _SHOWN)), float(np.quantile(latency, _SHOWN))
    x_end, y_end = max(x_end, 1.0), max(y_end, 1e-3)
    counts, xs, ys = np.histogram2d(tokens, latency, bins=(_ACROSS, _DOWN), range=((0, x_end), (0, y_end)))
    cells = [
        [*_numbers(np.array([xs[i], xs[i + 1], ys[j], ys[j + 1]])), int(counts[i, j])]
        for i, j in zip(*np.nonzero(counts), strict=True)
    ]
    return {"cells": cells, "rows": len(tokens), "beyond": len(tokens) - int(counts.sum())}


class Clock:
    """Running time: seconds since the first request, without the pauses between the `sessions` of a job.

    Where these are not known, the spans in which nothing was in flight for long are left out.
    """

    def __init__(self, started: Floats, finished: Floats, sessions: Sequence[Sequence[float]] = ()) -> None:
        order = np.argsort(started)
        # Wall clocks are set back at times; nothing ends before it began.
        begin, end = started[order], np.maximum.accumulate(np.maximum(finished, started)[order])
        self.first = float(begin[0])
        span = float(end[-1]) - self.first
        idle = begin[1:] - end[:-1]
        if sessions:
            starts = np.array([start for start, _ in sessions])
            session_of = np.searchsorted(starts, begin, side="right")
            is_break = (session_of[1:] != session_of[:-1]) & (idle > 0)
        else:
            is_break = idle > max(_MIN_GAP_S, _GAP_SHARE * span)
        breaks = np.nonzero(is_break)[0]
        self._from = end[breaks]
        self._lengths = idle[breaks]
        self._lost = np.concatenate(([0.0], np.cumsum(self._lengths)))
        self.length_s = span - float(self._lost[-1])
        _, self.divisor, self.unit = next(unit for unit in _UNITS if self.length_s < unit[0])

    def running(self, at: Floats) -> Floats:
        """Moments as running time, in seconds."""
        running_s: Floats = at - self.first - self._lost[np.searchsorted(self._from, at, side="left")]
        return running_s

    def breaks(self) -> list[dict[str, Any]]:
        """Where nothing ran, and for how long."""
        return [
            {"at": float(at) / self.divisor, "text": f"stopped for {numbers.duration(float(length))}"}
            for at, length in zip(self.running(self._from), self._lengths, strict=True)
        ]


def clock_of(columns: RowColumns, sessions: Sequence[Sequence[float]] = ()) -> Clock | None:
    """The clock of the rows that were sent in `sessions`; None where none was."""
    sent = np.isfinite(columns.started_at) & np.isfinite(columns.finished_at)
    return Clock(columns.started_at[sent], columns.finished_at[sent], sessions) if sent.any() else None


def over_time(columns: RowColumns, clock: Clock, answered: Mask) -> dict[str, Any]:
    """Cost so far, tokens, answers and requests in flight at each moment of the run."""
    sent = np.isfinite(columns.started_at) & np.isfinite(columns.finished_at)
    began = clock.running(columns.started_at[sent])
    ended = np.maximum(clock.running(columns.finished_at[sent]), began)
    length = max(clock.length_s, 1e-3)
    moments = min(_MAX_MOMENTS, max(_MIN_MOMENTS, len(began) // _ANSWERS_A_MOMENT))
    edges = np.linspace(0.0, length, moments + 1)
    width = length / moments

    def per_moment(values: Floats) -> Floats:
        return np.histogram(ended, bins=edges, weights=np.nan_to_num(values))[0].astype(np.float64)

    done = per_moment(answered[sent].astype(np.float64))
    area = _area_before(began)(edges) - _area_before(ended)(edges)
    moves = np.concatenate((began, ended))
    signs = np.concatenate((np.ones(len(began)), -np.ones(len(ended))))
    in_order = np.lexsort((signs, moves))  # who ends at an instant makes room for who begins then
    return {
        "unit": clock.unit,
        "edges": _numbers(edges / clock.divisor),
        "cost": _numbers(np.cumsum(per_moment(columns.cost_usd[sent]))),
        "prompt_per_s": _numbers(per_moment(columns.prompt_tokens[sent]) / width, 4),
        "reply_per_s": _numbers(per_moment(columns.completion_tokens[sent]) / width, 4),
        "answers_per_s": _numbers(done / width, 4),
        "in_flight": _numbers(np.diff(area) / width, 4),
        "peak": int(np.cumsum(signs[in_order]).max()),
        "mean": float(np.diff(area).sum() / length),
        "breaks": clock.breaks(),
    }


def _area_before(moments: Floats) -> Callable[[Floats], Floats]:
    """The integral, up to a time, of how many of `moments` lie before it."""
    ordered = np.sort(moments)
    sums = np.concatenate(([0.0], np.cumsum(ordered)))

    def area(times: Floats) -> Floats:
        before = np.searchsorted(ordered, times, side="right")
        areas: Floats = before * times - sums[before]
        return areas

    return area
