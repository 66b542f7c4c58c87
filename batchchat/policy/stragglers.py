"""When the last rows of a run are cut off and sent again: one request that hangs does not hold up the run; pure.

An attempt is overdue when it has run four times as long as 99 of 100 answers took. The longest of ten thousand replies
of log-normal length takes two to four times the 99th percentile (sigma 0.6 to 1), so a reply that is merely long is
mostly left alone; and since the cutoff doubles each time a row is cut off, a longer one is answered the second or third
time. Nothing is overdue within half a minute, nor before a hundred answers: a 99th percentile of fewer is the longest
of them.

An attempt that is cut off may have been billed, and counts against the limits of its row on those. A row is cut off and
sent again at most twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from batchchat.core.conversation import Key

__all__ = ["FLOOR_S", "MAX_RESENDS", "MIN_ANSWERS", "InFlight", "Overdue", "StragglerPolicy"]

TIMES_P99 = 4.0
FLOOR_S = 30.0
MIN_ANSWERS = 100
MAX_RESENDS = 2

_MAX_LATENCIES = 2_000
"""The 99th percentile is of so many latest answers: the endpoint's pace now, not that of six hours ago."""


class InFlight(NamedTuple):
    """An attempt in flight: its row, and when it was sent, in seconds of the policy's clock.

    `limit` names the limit of the row that this attempt reaches, if it has to be counted as billed.
    """

    key: Key
    since: float
    limit: str | None = None


class Overdue(NamedTuple):
    """An attempt to be cut off after `ran_s` seconds, the row's cutoff number `times`.

    `again`: the row is resent. Where it is not because of a limit of the row, `limit` names that.
    """

    key: Key
    ran_s: float
    p99_s: float
    times: int
    again: bool
    limit: str | None = None


class StragglerPolicy:
    """Which of the last attempts are overdue. A row is sent again at most `max_resends` times; with 0 none is cut off.

    `earlier_p99_s` is the 99th percentile of earlier runs, where they had enough answers, used until this run has.
    """

    def __init__(
        self,
        *,
        max_resends: int = MAX_RESENDS,
        floor_s: float = FLOOR_S,
        min_answers: int = MIN_ANSWERS,
        earlier_p99_s: float | None = None,
    ) -> None:
        self._max_resends = max_resends
        self._floor_s = floor_s
        self._min_answers = min_answers
        self._earlier_p99_s = earlier_p99_s
        self._latencies: deque[float] = deque(maxlen=_MAX_LATENCIES)
        self._cutoffs: dict[Key, int] = {}

    def note(self, latency_s: float) -> None:
        """Count an answer that took `latency_s`."""
        self._latencies.append(latency_s)

    def cutoff_s(self, key: Key) -> float | None:
        """How long an attempt at `key` may run at the end of the run, in seconds; None where it may run on."""
        p99_s = self._p99_s()
        return None if p99_s is None else self._cutoff_s(key, p99_s)

    def overdue(self, now: float, running: Iterable[InFlight]) -> list[Overdue]:
        """The overdue among `running`, when nothing else is left to do; each counts as cut off from now on."""
        p99_s = self._p99_s()
        if p99_s is None:
            return []
        overdue = []
        for key, since, limit in running:
            if now - since > self._cutoff_s(key, p99_s):
                times = self._cutoffs[key] = self._cutoffs.get(key, 0) + 1
                if times > self._max_resends:
                    overdue.append(Overdue(key, now - since, p99_s, times, again=False))
                else:
                    overdue.append(Overdue(key, now - since, p99_s, times, limit is None, limit))
        return overdue

    def _cutoff_s(self, key: Key, p99_s: float) -> float:
        return float(max(self._floor_s, TIMES_P99 * p99_s) * 2 ** self._cutoffs.get(key, 0))

    def _p99_s(self) -> float | None:
        count = len(self._latencies)
        if not self._max_resends or count < self._min_answers:
            return self._earlier_p99_s if self._max_resends else None
        return sorted(self._latencies)[count - count // 100 - 1]
