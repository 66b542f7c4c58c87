"""At most so many requests in flight, whichever endpoints they go to: the `concurrency` of a job that has several."""

from __future__ import annotations

from batchchat.core.attempt import Attempt, MaxUsage
from batchchat.policy.decision import ADMIT, Decision, Delay

__all__ = ["InFlightLimit"]

_FULL = Delay()


class InFlightLimit:
    """A policy that admits while fewer than `max_in_flight` requests are in flight."""

    def __init__(self, max_in_flight: int) -> None:
        self._max = max_in_flight
        self._in_flight = 0

    def check(self, now: float, max_usage: MaxUsage) -> Decision:  # noqa: ARG002
        return ADMIT if self._in_flight < self._max else _FULL

    def acquire(self, now: float, max_usage: MaxUsage) -> None:  # noqa: ARG002
        self._in_flight += 1

    def release(self, now: float, max_usage: MaxUsage, attempt: Attempt | None, record: int | None = None) -> None:  # noqa: ARG002
        self._in_flight -= 1
