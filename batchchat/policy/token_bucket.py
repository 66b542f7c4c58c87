"""Requests and tokens a minute, as the job allows them: a bucket that fills evenly and holds one second's worth.

Tokens are charged when a request is sent, by an estimate: the most it may use, times the share of that which answers so
far have used. The answer's usage then settles the charge, up to ten times the most it could use. A request larger than
the bucket is admitted when the bucket is full, and the others wait until it is paid off: over minutes the rate holds,
and no request waits for ever.
"""

from __future__ import annotations

from typing import Protocol

from batchchat.core.attempt import Attempt, Billed, MaxUsage
from batchchat.policy.decision import ADMIT, Decision, Delay

__all__ = ["Bucket", "CreditSource", "RequestRate", "TokenRate"]

_MINUTE_S = 60.0
_BURST_S = 1.0
_MIN_WAIT_S = 0.001

_UNKNOWN_PROMPT, _UNKNOWN_COMPLETION = 1000, 500
_FIRST_SHARE = 0.5
_SHARE_MEMORY = 0.05  # of one answer in the mean
_MAX_TIMES_EXPECTED = 10.0
"""A usage beyond this is a server's error: charged in full, one such answer would stop sending for hours."""


class CreditSource(Protocol):
    """Where a rate takes its requests or tokens from: a bucket of the process, or what was leased to it.

    `size` is the most it holds. A larger amount can be taken when it is full, and leaves it in debt.
    """

    size: float

    def level(self, now: float) -> float:
        """What it holds; below 0 in debt."""

    def wait_s(self, now: float, amount: float) -> float:
        """Seconds until to check again whether `amount` can be taken; 0 where it can now."""

    def take(self, now: float, amount: float) -> None:
        """Take `amount`; a negative one gives back."""


class Bucket:
    """Filled with `per_minute`, evenly; holds one second's worth, at least 1. Taking may leave it in debt."""

    def __init__(self, per_minute: float) -> None:
        self._per_s = per_minute / _MINUTE_S
        self.size = max(1.0, self._per_s * _BURST_S)
        self._level = self.size
        self._at: float | None = None

    def level(self, now: float) -> float:
        at = now if self._at is None else self._at
        return min(self.size, self._level + max(0.0, now - at) * self._per_s)

    def wait_s(self, now: float, amount: float) -> float:
        """Seconds until the bucket holds `amount`, or is full; 0 where it does now."""
        missing = min(amount, self.size) - self.level(now)
        return max(missing / self._per_s, _MIN_WAIT_S) if missing > _NOTHING else 0.0

    def take(self, now: float, amount: float) -> None:
        """Take `amount`; a negative one gives back."""
        self._level = min(self.size, self.level(now) - amount)
        self._at = now


_NOTHING = 1e-9


class RequestRate:
    """At most `per_minute` requests a minute, or as many as `bucket` has, where the rate is leased."""

    def __init__(self, per_minute: float, bucket: CreditSource | None = None) -> None:
        self._bucket: CreditSource = bucket or Bucket(per_minute)

    def check(self, now: float, max_usage: MaxUsage) -> Decision:  # noqa: ARG002
        wait_s = self._bucket.wait_s(now, 1.0)
        return Delay(wait_s) if wait_s else ADMIT

    def acquire(self, now: float, max_usage: MaxUsage) -> None:  # noqa: ARG002
        self._bucket.take(now, 1.0)

    def release(self, now: float, max_usage: MaxUsage, attempt: Attempt | None, record: int | None = None) -> None:
        """Nothing is given back: a request counts however it ends."""


class TokenRate:
    """At most `per_minute` tokens a minute, prompt and reply, or as many as `bucket` has, where the rate is leased."""

    def __init__(self, per_minute: float, bucket: CreditSource | None = None) -> None:
        self._bucket: CreditSource = bucket or Bucket(per_minute)
        self._share = _FIRST_SHARE
        # Of the requests in flight: the most they may use, and what was charged for them.
        self._max_in_flight = 0.0
        self._charged = 0.0

    def check(self, now: float, max_usage: MaxUsage) -> Decision:
        wait_s = self._bucket.wait_s(now, _max_tokens(max_usage) * self._share)
        return Delay(wait_s) if wait_s else ADMIT

    def acquire(self, now: float, max_usage: MaxUsage) -> None:
        max_tokens = _max_tokens(max_usage)
        self._bucket.take(now, max_tokens * self._share)
        self._max_in_flight += max_tokens
        self._charged += max_tokens * self._share

    def release(self, now: float, max_usage: MaxUsage, attempt: Attempt | None, record: int | None = None) -> None:  # noqa: ARG002
        max_tokens = _max_tokens(max_usage)
        # The share has moved since this was charged; over all requests in flight the sums agree.
        charged = self._charged * max_tokens / self._max_in_flight if self._max_in_flight > 0 else 0.0
        self._max_in_flight = max(0.0, self._max_in_flight - max_tokens)
        self._charged = max(0.0, self._charged - charged) if self._max_in_flight else 0.0
        reported = _used(attempt)
        if reported is None:
            return
        used = min(reported, max(_MAX_TIMES_EXPECTED * max_tokens, self._bucket.size))
        self._bucket.take(now, used - charged)
        if used:
            self._share += _SHARE_MEMORY * (min(1.0, used / max_tokens) - self._share)


def _max_tokens(max_usage: MaxUsage) -> float:
    """The most tokens a request may use; typical figures stand in for unknown ones."""
    prompt = _UNKNOWN_PROMPT if max_usage.prompt_tokens is None else max_usage.prompt_tokens
    completion = _UNKNOWN_COMPLETION if max_usage.completion_tokens is None else max_usage.completion_tokens
    return max(1.0, float(prompt + completion))


def _used(attempt: Attempt | None) -> int | None:
    """The tokens an attempt used; None where that is unknown."""
    if attempt is None:
        return None
    usage = attempt.usage
    if usage is None:
        return 0 if attempt.verdict.billed is Billed.NO else None
    if usage.total_tokens is not None:
        return usage.total_tokens
    if usage.prompt_tokens is None or usage.completion_tokens is None:
        return None
    return usage.prompt_tokens + usage.completion_tokens
