"""How long a run takes from its first request to its last answer, by a sample of latencies; pure.

With more rows than requests in flight, requests are started until no row is left; then each request in flight has a
residual latency, and the longest of them ends the run. With fewer rows the longest latency does. The probability that
the longest of n is below t is about exp(-n S(t)), where S(t) is the share of latencies, or of residual latencies, above
t. A sample mostly lacks the longest latencies of a run, so S is that of the lognormal distribution whose logarithm has
the sample's mean and standard deviation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

__all__ = ["HIGH_QUANTILE", "LOW_QUANTILE", "MEDIAN", "LatencyDistribution"]

MEDIAN, LOW_QUANTILE, HIGH_QUANTILE = 0.5, 0.05, 0.95
"""Quantiles of the time that the last answer takes: the median, and both ends of a 90 % interval."""
_BISECTIONS = 60
_MIN_S = 1e-6
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class LatencyDistribution:
    """A lognormal distribution of latencies, cut off at `max_s`: mean and standard deviation of their logarithms."""

    log_mean: float
    log_deviation: float
    max_s: float

    @classmethod
    def of(cls, latencies_s: Sequence[float], max_s: float) -> LatencyDistribution:
        """The distribution that fits a sample; `max_s` is the longest possible latency, if longer than the sample's."""
        logs = [math.log(max(latency_s, _MIN_S)) for latency_s in latencies_s]
        mean = math.fsum(logs) / len(logs)
        squares = math.fsum((log - mean) ** 2 for log in logs)
        return cls(mean, math.sqrt(squares / max(len(logs) - 1, 1)), max(*latencies_s, max_s, _MIN_S))

    def makespan_s(self, busy_s: float, rows: int, concurrency: int, quantile: float = MEDIAN) -> float:
        """The seconds from the first request to the last answer.

        `busy_s` is the sum of the latencies of all `rows`, of which `concurrency` are in flight at a time; `quantile`
        is that of the time until the last answer.
        """
        exceedances = -math.log(quantile)  # expected number of requests that take longer than the returned time
        if rows <= concurrency:
            return self._invert(self._share_above, exceedances / rows)
        mean_residual_s = math.exp(self.log_mean + 1.5 * self.log_deviation**2) / 2
        last_s = self._invert(self._residual_share_above, exceedances / concurrency)
        return max(busy_s / concurrency + last_s - min(mean_residual_s, last_s), last_s)

    def _share_above(self, latency_s: float) -> float:
        """The share of latencies above `latency_s`."""
        return self._normal_share_above(self.log_mean, latency_s)

    def _residual_share_above(self, residual_s: float) -> float:
        """The share of requests in flight whose residual latency is above `residual_s`."""
        mean_s = math.exp(self.log_mean + self.log_deviation**2 / 2)
        weighted = self._normal_share_above(self.log_mean + self.log_deviation**2, residual_s)
        return weighted - residual_s / mean_s * self._normal_share_above(self.log_mean, residual_s)

    def _normal_share_above(self, log_mean: float, latency_s: float) -> float:
        if not self.log_deviation:
            return float(math.log(latency_s) < log_mean)
        return _NORMAL.cdf((log_mean - math.log(latency_s)) / self.log_deviation)

    def _invert(self, share_above: Callable[[float], float], share: float) -> float:
        """The shortest time above which at most `share` lies, by bisection."""
        low, high = 0.0, self.max_s
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            low, high = (middle, high) if share_above(middle) > share else (low, middle)
        return high
