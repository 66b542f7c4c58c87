"""How long rows take that are sent so many at a time, by the latencies that were seen; pure.

With more rows than are in flight, requests start until the rows are out; then each one in flight has a rest of its
latency to go, and the longest of those rests ends the run. With fewer rows the longest latency does. The chance that
the longest of n is below t is exp(-n S(t)), S being the share of latencies, or of rests, that are above t. A sample
mostly lacks the longest there will be, so that S is of the lognormal distribution with the sample's mean and spread.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

__all__ = ["LIKELY", "SELDOM_LESS", "SELDOM_MORE", "Latencies"]

LIKELY, SELDOM_LESS, SELDOM_MORE = 0.5, 0.05, 0.95
"""Of the time that the last one takes: its median, and what holds it in nine of ten cases."""
_STEPS = 60
_LEAST_S = 1e-6
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Latencies:
    """Latencies as a distribution: the mean and spread of their logarithms; none is above `most_s`."""

    mean: float
    spread: float
    most_s: float

    @classmethod
    def of(cls, seen: Sequence[float], most_s: float) -> Latencies:
        """Of a sample; `most_s` is the longest there can be, if that is longer than what was seen."""
        logs = [math.log(max(each, _LEAST_S)) for each in seen]
        mean = math.fsum(logs) / len(logs)
        squares = math.fsum((each - mean) ** 2 for each in logs)
        return cls(mean, math.sqrt(squares / max(len(logs) - 1, 1)), max(*seen, most_s, _LEAST_S))

    def finish_s(self, busy_s: float, rows: int, concurrency: int, share: float = LIKELY) -> float:
        """Seconds that `rows` take whose latencies add up to `busy_s`; `share` says how lucky the last one is."""
        expected = -math.log(share)
        if rows <= concurrency:
            return self._longest(self._above, expected / rows)
        mean_rest = math.exp(self.mean + 1.5 * self.spread**2) / 2
        last = self._longest(self._rest_above, expected / concurrency)
        return max(busy_s / concurrency + last - min(mean_rest, last), last)

    def _above(self, at: float) -> float:
        """The share of latencies longer than `at`."""
        return self._tail(self.mean, at)

    def _rest_above(self, at: float) -> float:
        """The share of those in flight that still take longer than `at`."""
        mean_s = math.exp(self.mean + self.spread**2 / 2)
        return self._tail(self.mean + self.spread**2, at) - at / mean_s * self._tail(self.mean, at)

    def _tail(self, mean: float, at: float) -> float:
        if not self.spread:
            return float(math.log(at) < mean)
        return _NORMAL.cdf((mean - math.log(at)) / self.spread)

    def _longest(self, above: Callable[[float], float], share: float) -> float:
        """Where no more than `share` is above, by halving."""
        low, high = 0.0, self.most_s
        for _ in range(_STEPS):
            middle = (low + high) / 2
            low, high = (middle, high) if above(middle) > share else (low, middle)
        return high
