"""Waits for the reset that the endpoint announces in its own headers (`x-ratelimit-...`), before the 429 comes.

Too little is left when the headers announce at most as many requests as are in flight: their figure does not include
the requests of others, nor our own that are still on the way.
A reset is waited for up to two minutes, and only while the headers prove true: once the first answer after a reset that
was waited for has said three times that still nothing is left, they are ignored.
"""

from __future__ import annotations

from batchchat.core.attempt import Attempt, MaxUsage, Quota
from batchchat.policy.decision import ADMIT, Decision, Delay

__all__ = ["RateLimitHeaders"]

_MAX_WAIT_S = 120.0
_MAX_FALSE_RESETS = 3
_TOKENS_MEMORY = 0.1


class RateLimitHeaders:
    """Admits nothing until the reset while no more is left than is in flight."""

    def __init__(self) -> None:
        self._in_flight = 0
        self._until = float("-inf")
        self._waited = False
        self._false_resets = 0
        self._tokens = 0.0  # that a request uses: a moving mean

    def check(self, now: float, max_usage: MaxUsage) -> Decision:  # noqa: ARG002
        return ADMIT if now >= self._until else Delay(self._until - now)

    def acquire(self, now: float, max_usage: MaxUsage) -> None:  # noqa: ARG002
        self._in_flight += 1

    def release(self, now: float, max_usage: MaxUsage, attempt: Attempt | None, record: int | None = None) -> None:  # noqa: ARG002
        self._in_flight -= 1
        if attempt is None or attempt.quota is None or self._false_resets >= _MAX_FALSE_RESETS:
            return
        if attempt.usage is not None and attempt.usage.total_tokens is not None:
            used = min(attempt.usage.total_tokens, 1 << 40)
            self._tokens += (_TOKENS_MEMORY if self._tokens else 1.0) * (used - self._tokens)
        if now - attempt.latency_s < self._until:
            return  # sent before the reset: its figure is known already
        wait_s = self._wait_s(attempt.quota)
        if self._waited:
            self._false_resets = self._false_resets + 1 if wait_s else 0
            self._waited = False
            if self._false_resets >= _MAX_FALSE_RESETS:
                return
        if wait_s:
            self._until = now + wait_s
            self._waited = True

    def held_s(self, now: float) -> float:
        """Seconds until the reset that is waited for; 0 where none is."""
        return max(0.0, self._until - now)

    def _wait_s(self, quota: Quota) -> float:
        waits = [
            reset_s
            for left, needed, reset_s in (
                (quota.requests, self._in_flight, quota.requests_reset_s),
                (quota.tokens, self._in_flight * self._tokens, quota.tokens_reset_s),
            )
            if left is not None and left <= needed and reset_s is not None and reset_s <= _MAX_WAIT_S
        ]
        return max(waits, default=0.0)
