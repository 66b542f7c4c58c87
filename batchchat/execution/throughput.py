"""How fast rows finish: the mean of the last half minute, so that a stall shows and a spike does not. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["Throughput"]

_WINDOW_S = 30.0
_HOUR_S = 3600
_FEWEST = 2


class _Sample(NamedTuple):
    """What was finished by `at_s`, in seconds since the start."""

    at_s: float
    rows: int
    tokens: int
    usd: float


class Throughput:
    """Rates over the samples of the last half minute."""

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque()

    def add(self, at_s: float, rows: int, tokens: int, usd: float = 0.0) -> None:
        """By `at_s` so many rows were finished, with so many completion tokens, for so much known cost."""
        samples = self._samples
        samples.append(_Sample(at_s, rows, tokens, usd))
        while len(samples) > _FEWEST and at_s - samples[1].at_s > _WINDOW_S:
            samples.popleft()

    @property
    def rows_per_s(self) -> float:
        """Rows finished in a second."""
        return self._per_s(lambda sample: sample.rows)

    @property
    def tokens_per_s(self) -> float:
        """Completion tokens in a second."""
        return self._per_s(lambda sample: sample.tokens)

    @property
    def usd_per_hour(self) -> float:
        """What an hour costs; a figure to look at, so that a float will do."""
        return self._per_s(lambda sample: sample.usd) * _HOUR_S

    def eta_s(self, total: int | None) -> float | None:
        """Seconds until `total` rows are finished at this rate; None where that is not known."""
        if total is None or not self._samples or self.rows_per_s <= 0:
            return None
        return max(0, total - self._samples[-1].rows) / self.rows_per_s

    def _per_s(self, figure: Callable[[_Sample], float]) -> float:
        if not self._samples:
            return 0.0
        first, last = self._samples[0], self._samples[-1]
        span_s = last.at_s - first.at_s
        return (figure(last) - figure(first)) / span_s if span_s > 0 else 0.0
