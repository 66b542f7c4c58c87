"""When the last rows of a run are cut off and sent again: one that hangs never holds the night; pure.

A row is overdue when it has run four times as long as 99 of 100 answers took. The longest of ten thousand replies of
log-normal length takes two to four times the 99th percentile (sigma 0.6 to 1), so a reply that is only long is mostly
left alone; and since the bound doubles with each time a row is cut, one that is longer still is answered the second or
third time. Below half a minute nothing is overdue, nor before a hundred answers: a 99th percentile of fewer is the
longest of them.

What a row was cut off for here uses up none of its own attempts; it is cut at most twice to be sent again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from batchchat.core.conversation import Key

__all__ = ["FLOOR_S", "LEAST_ANSWERS", "MOST_AGAIN", "InFlight", "Overdue", "StragglerPolicy"]

TIMES_P99 = 4.0
FLOOR_S = 30.0
LEAST_ANSWERS = 100
MOST_AGAIN = 2

_LATEST = 2_000
"""The endpoint's pace now, not that of six hours ago."""


class InFlight(NamedTuple):
    """An attempt in flight: whose, and since when, in seconds of the policy's clock."""

    key: Key
    since: float


class Overdue(NamedTuple):
    """An attempt to be cut off. `ran_s` is how long it ran, `again` whether its row is sent once more."""

    key: Key
    ran_s: float
    p99_s: float
    times: int
    again: bool


class StragglerPolicy:
    """Which of the last attempts are overdue. `again` is how often a row may be sent again; with 0 nothing is cut.

    `earlier_p99_s` is that of earlier runs, where those had answers enough; it stands until this run has.
    """

    def __init__(
        self,
        *,
        again: int = MOST_AGAIN,
        floor_s: float = FLOOR_S,
        least_answers: int = LEAST_ANSWERS,
        earlier_p99_s: float | None = None,
    ) -> None:
        self._again = again
        self._floor_s = floor_s
        self._least_answers = least_answers
        self._earlier_p99_s = earlier_p99_s
        self._latencies: deque[float] = deque(maxlen=_LATEST)
        self._cuts: dict[Key, int] = {}

    def note(self, latency_s: float) -> None:
        """An answer took `latency_s`."""
        self._latencies.append(latency_s)

    def bound_s(self, key: Key) -> float | None:
        """How long an attempt at `key` may run at the end of the run; None where there is no bound."""
        p99_s = self._p99_s()
        return None if p99_s is None else self._bound_s(key, p99_s)

    def cut(self, now: float, running: Iterable[InFlight]) -> list[Overdue]:
        """The overdue among `running`, when nothing else is left to do; each counts as cut from here on."""
        p99_s = self._p99_s()
        if p99_s is None:
            return []
        found = []
        for key, since in running:
            if now - since > self._bound_s(key, p99_s):
                times = self._cuts[key] = self._cuts.get(key, 0) + 1
                found.append(Overdue(key, now - since, p99_s, times, times <= self._again))
        return found

    def _bound_s(self, key: Key, p99_s: float) -> float:
        return float(max(self._floor_s, TIMES_P99 * p99_s) * 2 ** self._cuts.get(key, 0))

    def _p99_s(self) -> float | None:
        count = len(self._latencies)
        if not self._again or count < self._least_answers:
            return self._earlier_p99_s if self._again else None
        return sorted(self._latencies)[count - count // 100 - 1]
