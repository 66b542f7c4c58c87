"""For how long nothing is sent because the endpoint asked for it with a Retry-After; pure.

One refusal that asks for it speaks of its own row as likely as of all: it holds nobody else until a second one shows
that it is meant for all. That is one which meets a limit, or one of which can be said that nothing sent since the
first was answered, and all of it refused.
"""

from __future__ import annotations

from batchchat.core.attempt import Attempt

__all__ = ["Hold"]

_MAX_HOLD_S = 60.0
_CALM_FACTOR, _MAX_CALM_S = 20.0, 120.0


class Hold:
    """When requests may be sent again, and from when on the ceiling may grow again."""

    def __init__(self) -> None:
        self.until = self.calm_until = float("-inf")
        self.refusal: Attempt | None = None
        """The one whose Retry-After is waited for."""
        self._first_at: float | None = None  # the first refusal that nothing sent since was answered after
        self._sent_before = self._refused_since = 0
        self._asked_until = float("-inf")

    def add_answer(self, sent_at: float) -> None:
        """A request that was sent at `sent_at` was answered."""
        if self._first_at is not None and sent_at > self._first_at:
            self._first_at, self._asked_until = None, float("-inf")

    def add_refusal(self, now: float, sent: int, refusal: Attempt, *, is_limit: bool) -> None:
        """A request was refused, where `sent` have been sent so far."""
        sent_at, wait_s = now - refusal.latency_s, refusal.verdict.wait_s
        if self._first_at is None:
            self._first_at, self._sent_before, self._refused_since = now, sent, 0
        elif sent_at >= self._first_at:
            self._refused_since += 1
        if wait_s:
            self._asked_until = max(self._asked_until, now + wait_s)
        all_refused = self._refused_since > 0 and self._refused_since >= sent - self._sent_before
        left_s = self._asked_until - now
        if left_s > 0 and (is_limit or all_refused):
            self.until = max(self.until, now + min(left_s, _MAX_HOLD_S))
            self.refusal = refusal
            self.calm_until = max(self.calm_until, now + min(left_s * _CALM_FACTOR, _MAX_CALM_S))

    def left_s(self, now: float) -> float:
        """Seconds for which nothing is sent."""
        return max(0.0, self.until - now)
