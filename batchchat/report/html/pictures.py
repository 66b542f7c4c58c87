"""What the page's pictures show: bins, shares and curves out of a row's figures. Pure; every result is plain JSON.

However many rows there are, a picture has at most a few thousand numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from batchchat.report.html.facts import Codes, Floats, RowColumns
from batchchat.text import numbers

__all__ = ["Clock", "answers_against_length", "clock_of", "histogram", "over_time", "spent_by"]

_FEWEST_BINS, _MOST_BINS = 8, 40
_ALIKE = 1e-9
_FEWEST_MOMENTS, _MOST_MOMENTS = 12, 90
_ANSWERS_A_MOMENT = 8
_DOTS = 1_200
_ACROSS, _DOWN = 48, 28
_MOST_GROUPS = 12
_LONGEST_NAME = 60
_LEAST_GAP_S = 60.0
_GAP_SHARE = 0.1
_SHOWN = 0.995
_UNITS = ((180.0, 1.0, "seconds"), (3 * 3600.0, 60.0, "minutes"), (float("inf"), 3600.0, "hours"))

Mask = npt.NDArray[np.bool_]


def _numbers(values: npt.NDArray[Any], digits: int = 6) -> list[float]:
    return [float(f"{value:.{digits}g}") for value in values]


def spent_by(codes: Codes, facts: RowColumns) -> dict[str, Any]:
    """Cost, tokens and rows of each value, the dearest first; those after the twelfth together."""
    size = len(codes.names)
    known = codes.of >= 0
    at = codes.of[known]

    def sums(values: Floats) -> Floats:
        return np.bincount(at, np.nan_to_num(values[known]), size).astype(np.float64)

    cost, tokens = sums(facts.cost_usd), sums(facts.prompt_tokens) + sums(facts.completion_tokens)
    rows = np.bincount(at, minlength=size)
    order = np.lexsort((rows, tokens, cost))[::-1]
    has_cost = bool(np.isfinite(facts.cost_usd).any())
    bars = [
        {
            "name": numbers.shorten(codes.names[n], _LONGEST_NAME) or '""',
            "cost": float(cost[n]) if has_cost else None,
            "tokens": int(tokens[n]),
            "rows": int(rows[n]),
        }
        for n in order[:_MOST_GROUPS]
    ]
    if len(rest := order[_MOST_GROUPS:]):
        bars.append(
            {
                "name": f"{numbers.count(len(rest))} others",
                "cost": float(cost[rest].sum()) if has_cost else None,
                "tokens": int(tokens[rest].sum()),
                "rows": int(rows[rest].sum()),
            }
        )
    return {"bars": bars, "has_cost": has_cost}


def histogram(values: Floats, *, whole: bool = False) -> dict[str, Any] | None:
    """Bins of equal width up to where 99.5 % lie, and how many lie beyond; None without values.

    `whole`: of whole numbers, so that no bin is narrower than one.
    """
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    low, shown, most = float(known.min()), float(np.quantile(known, _SHOWN)), float(known.max())
    end = most if most <= shown * 1.5 else shown
    start = 0.0 if low < end / 2 else low
    if end - start <= most * _ALIKE:  # all one value, but for the last digits of a float
        start, end = 0.0, 2 * most or 1.0
    bins = min(_MOST_BINS, max(_FEWEST_BINS, round(2 * len(known) ** 0.5)))
    if whole:
        bins = min(bins, max(1, round(end - start)))
    counts, edges = np.histogram(known[known <= end], bins=bins, range=(start, end))
    shares = np.quantile(known, (0.5, 0.95, 0.99))
    return {
        "counts": [int(count) for count in counts],
        "edges": _numbers(edges),
        "p50": float(shares[0]),
        "p95": float(shares[1]),
        "p99": float(shares[2]),
        "beyond": int((known > end).sum()),
        "max": most,
        "rows": len(known),
    }


def answers_against_length(facts: RowColumns, answered: Mask, random: np.random.Generator) -> dict[str, Any] | None:
    """Latency against reply tokens: a dot a row, or counts in a grid where dots would hide each other."""
    known = answered & np.isfinite(facts.completion_tokens) & np.isfinite(facts.latency_s)
    tokens, latency = facts.completion_tokens[known], facts.latency_s[known]
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
    """Running time: seconds since the first request, without the spans in which nothing was in flight for long."""

    def __init__(self, started: Floats, finished: Floats) -> None:
        order = np.argsort(started)
        # Wall clocks are set back at times; nothing ends before it began.
        begin, end = started[order], np.maximum.accumulate(np.maximum(finished, started)[order])
        self.first = float(begin[0])
        span = float(end[-1]) - self.first
        idle = begin[1:] - end[:-1]
        breaks = np.nonzero(idle > max(_LEAST_GAP_S, _GAP_SHARE * span))[0]
        self._from = end[breaks]
        self._lengths = idle[breaks]
        self._lost = np.concatenate(([0.0], np.cumsum(self._lengths)))
        self.length_s = span - float(self._lost[-1])
        _, self.divisor, self.unit = next(unit for unit in _UNITS if self.length_s < unit[0])

    def running(self, at: Floats) -> Floats:
        """Moments as running time, in seconds."""
        found: Floats = at - self.first - self._lost[np.searchsorted(self._from, at, side="left")]
        return found

    def breaks(self) -> list[dict[str, Any]]:
        """Where nothing ran, and for how long."""
        return [
            {"at": float(at) / self.divisor, "text": f"stopped for {numbers.duration(float(length))}"}
            for at, length in zip(self.running(self._from), self._lengths, strict=True)
        ]


def clock_of(facts: RowColumns) -> Clock | None:
    """The clock of the rows that were sent; None where none was."""
    sent = np.isfinite(facts.started_at) & np.isfinite(facts.finished_at)
    return Clock(facts.started_at[sent], facts.finished_at[sent]) if sent.any() else None


def over_time(facts: RowColumns, clock: Clock, answered: Mask) -> dict[str, Any]:
    """Cost so far, tokens, answers and requests in flight at each moment of the run."""
    sent = np.isfinite(facts.started_at) & np.isfinite(facts.finished_at)
    began = clock.running(facts.started_at[sent])
    ended = np.maximum(clock.running(facts.finished_at[sent]), began)
    length = max(clock.length_s, 1e-3)
    moments = min(_MOST_MOMENTS, max(_FEWEST_MOMENTS, len(began) // _ANSWERS_A_MOMENT))
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
        "cost": _numbers(np.cumsum(per_moment(facts.cost_usd[sent]))),
        "prompt_per_s": _numbers(per_moment(facts.prompt_tokens[sent]) / width, 4),
        "reply_per_s": _numbers(per_moment(facts.completion_tokens[sent]) / width, 4),
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
        found: Floats = before * times - sums[before]
        return found

    return area
