"""How fast rows finish: the mean of the last half minute, so that a stall shows and a spike does not. Pure."""

from __future__ import annotations

from collections import deque

__all__ = ["Throughput"]

_WINDOW_S = 30.0
_HOUR_S = 3600


class Throughput:
    """Fed with (seconds since the start, rows finished, tokens written, USD known to be paid)."""

    def __init__(self) -> None:
        self._notes: deque[tuple[float, int, int, float]] = deque()

    def note(self, now_s: float, rows: int, tokens: int, usd: float = 0.0) -> None:
        """The state at `now_s`."""
        notes = self._notes
        notes.append((now_s, rows, tokens, usd))
        while len(notes) > 2 and now_s - notes[1][0] > _WINDOW_S:  # noqa: PLR2004
            notes.popleft()

    @property
    def rows_per_s(self) -> float:
        """Rows finished in a second."""
        return self._rate(1)

    @property
    def tokens_per_s(self) -> float:
        """Completion tokens in a second."""
        return self._rate(2)

    @property
    def usd_per_hour(self) -> float:
        """What an hour costs; a figure to look at, so that a float will do."""
        return self._rate(3) * _HOUR_S

    def eta_s(self, total: int | None) -> float | None:
        """Seconds until `total` rows are finished, at this pace; None where that can't be told."""
        if total is None or not self._notes or self.rows_per_s <= 0:
            return None
        return max(0, total - self._notes[-1][1]) / self.rows_per_s

    def _rate(self, field: int) -> float:
        if not self._notes:
            return 0.0
        first, last = self._notes[0], self._notes[-1]
        span_s = last[0] - first[0]
        return (last[field] - first[field]) / span_s if span_s > 0 else 0.0
