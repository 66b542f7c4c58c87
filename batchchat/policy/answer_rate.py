"""How many requests an endpoint answers in the time after which one was cut off; pure.

A gateway ends a request after so many seconds, whether it is being worked on or still in line. Where those in flight
beside it were answered about once each in that time, it was a long one. Where far fewer were answered than are in
flight, the others stand in line: as many as were answered are what the endpoint takes.

A few in flight are looked at over several such times, since what so few answer in one of them is left to chance.
"""

from __future__ import annotations

from collections import deque

__all__ = ["AnswerRate"]

_MAX_TIMES = 4096
_IN_LINE_SHARE = 0.75
_MARGIN = 0.9
"""With just as many in flight as were answered, the last in line would be cut off again."""
_ENOUGH = 16
_NEARLY_NONE_SHARE = 0.25
"""Where hardly any is answered, fewer than enough will do."""


class AnswerRate:
    """The times of the latest answers."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=_MAX_TIMES)
        self._began_at = float("-inf")

    def begin(self, now: float) -> None:
        """The first request is sent."""
        self._began_at = now

    def add(self, now: float) -> None:
        """A request was answered."""
        self._times.append(now)

    def in_line(self, now: float, cut_off_s: float, since: float, in_flight: int) -> int | None:
        """How many are answered in `cut_off_s`, where the others of `in_flight` stand in line; None where none does.

        Only answers after `since`, at least `cut_off_s` ago, count: before, another number was in flight.
        """
        spans = min(max(1.0, _ENOUGH / in_flight), (now - max(since, self._began_at)) / cut_off_s)
        expected = min(in_flight * spans, _MAX_TIMES)
        answers = self._count_since(now - spans * cut_off_s, expected)
        share = answers / expected
        if share < _NEARLY_NONE_SHARE or (share < _IN_LINE_SHARE and expected >= _ENOUGH):
            return int(_MARGIN * answers / spans + 0.5)
        return None

    def _count_since(self, since: float, at_most: float) -> int:
        count = 0
        for answered_at in reversed(self._times):
            if answered_at <= since or count >= at_most:
                break
            count += 1
        return count
