"""When a row is retried and when it is given up, as tenacity's stop and wait policies over its attempts.

A failure of scope `endpoint` uses up neither attempts nor time of a row (`policy.circuit_breaker` bounds those); nor
does one that belongs to an outage. That may be known only after the failure, so all failures of a row are judged again
at each. Backoff is exponential with full jitter (the AWS Architecture Blog's "Exponential Backoff And Jitter"). A
Retry-After is a lower bound, jittered upwards so that the rows do not come back all at once. One of less than a second
says nothing of how long the endpoint will be busy (some send 0 with each 429), so it does not shorten our own backoff.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import replace
from random import Random

from tenacity import AsyncRetrying, RetryCallState, retry_if_result, wait_exponential
from tenacity.stop import stop_base
from tenacity.wait import wait_base

from batchchat.core.attempt import Action, Attempt, Billed, Scope
from batchchat.core.conversation import ErrorKind

__all__ = ["MAX_ATTEMPTS_BY_KIND", "RowStop", "RowWait", "retrying"]

MAX_ATTEMPTS_BY_KIND = {ErrorKind.EMPTY_REPLY: 3}
"""An empty reply is billed each time, so it is retried only twice."""

_MAX_ATTEMPTS_EXTENDED = 20
"""About ten minutes with waits of up to two. Shorter waits are no reason for more attempts."""

_RETRY_AFTER_JITTER = 0.25
_MIN_RETRY_AFTER_S = 1.0
_MAX_RETRY_AFTER_S = 3600.0
"""`max_wait` bounds our own backoff; a Retry-After is respected beyond that, up to an hour."""


class RowStop(stop_base):
    """Gives a row up after `max_attempts` failures of its own, or `max_elapsed_s` seconds spent on them.

    An attempt counts for `attempt_s` at most: one that took longer was on a machine that slept, and the row is not to
    blame. `was_in_outage(failure)` is True for a failure that belongs to an outage, and does not count.

    A row is also given up after `max_possibly_billed` attempts that broke off: a gateway that cuts off each long reply
    has it billed each time. `why` is the reason then, since the failure itself does not say so.

    `extends_patience(first, last, spent_s)` is True where the row is retried beyond these bounds, because the endpoint
    may be down; its arguments are the row's first failure, its last, and the seconds spent on it. The row is then
    retried up to 20 attempts, but never where a bound is one attempt.
    """

    def __init__(
        self,
        max_attempts: int,
        max_elapsed_s: float,
        attempt_s: float = math.inf,
        was_in_outage: Callable[[Attempt], bool] = lambda _: False,
        max_possibly_billed: int | None = None,
        *,
        extends_patience: Callable[[Attempt, Attempt, float], bool] = lambda *_: False,
    ) -> None:
        self.why: str | None = None
        self._max_possibly_billed = max_possibly_billed
        self._max_attempts = max_attempts
        self._max_elapsed_s = max_elapsed_s
        self._attempt_s = attempt_s
        self._was_in_outage = was_in_outage
        self._extends_patience = extends_patience
        self._failures: list[tuple[Attempt, float]] = []
        """Failures of the row itself, each with the seconds spent on it and on the wait after it."""

    def __call__(self, retry_state: RetryCallState) -> bool:
        attempt = _attempt_of(retry_state)
        verdict = attempt.verdict
        if verdict.scope is Scope.ENDPOINT or verdict.kind is None:
            return False
        # tenacity asks for the wait before the stop, so the time up to the next attempt is known here.
        self._failures.append((attempt, min(attempt.latency_s, self._attempt_s) + retry_state.upcoming_sleep))
        self._failures = [(failure, spent_s) for failure, spent_s in self._failures if not self._was_in_outage(failure)]
        if not self._failures:
            return False
        bound, self.why = self._bound_reached(verdict.kind)
        spent_s = sum(spent_s for _, spent_s in self._failures)
        if spent_s > self._max_elapsed_s:
            return True
        if bound is None:
            return False
        may_be_extended = bound > 1 and len(self._failures) < _MAX_ATTEMPTS_EXTENDED
        return not (may_be_extended and self._extends_patience(self._failures[0][0], attempt, spent_s))

    def _bound_reached(self, kind: ErrorKind) -> tuple[int | None, str | None]:
        """The bound on attempts that is reached, and the reason to show for it; None where there is none."""
        broke_off = sum(failure.verdict.billed is Billed.MAYBE for failure, _ in self._failures)
        if self._max_possibly_billed is not None and broke_off >= self._max_possibly_billed:
            why = f"{_attempts(broke_off)} may have been billed (`retry.max_possibly_billed`)"
            return self._max_possibly_billed, why
        same_kind = sum(failure.verdict.kind is kind for failure, _ in self._failures)
        max_alike = min(self._max_attempts, MAX_ATTEMPTS_BY_KIND.get(kind, self._max_attempts))
        return (
            (max_alike, None) if len(self._failures) >= self._max_attempts or same_kind >= max_alike else (None, None)
        )


class RowWait(wait_base):
    """Seconds until the next attempt: full jitter under an exponential ceiling, or the endpoint's Retry-After."""

    def __init__(self, max_wait_s: float, random: Random) -> None:
        self._ceiling = wait_exponential(multiplier=1, max=max_wait_s)
        self._random = random
        self._instant_left = 1

    def __call__(self, retry_state: RetryCallState) -> float:
        verdict = _attempt_of(retry_state).verdict
        if verdict.instant and self._instant_left:
            self._instant_left -= 1
            return 0.0
        backoff_s = self._random.uniform(0.0, self._ceiling(retry_state))
        if verdict.wait_s is None:
            return backoff_s
        retry_after_s = min(verdict.wait_s, _MAX_RETRY_AFTER_S) * (1 + _RETRY_AFTER_JITTER * self._random.random())
        return retry_after_s if verdict.wait_s >= _MIN_RETRY_AFTER_S else max(retry_after_s, backoff_s)


def retrying(stop: RowStop, wait: RowWait, sleep: Callable[[float], Awaitable[None]]) -> AsyncRetrying:
    """Tenacity's loop over attempts. Its result is the last attempt; for a row given up, one that fails the row."""
    return AsyncRetrying(
        stop=stop,
        wait=wait,
        sleep=sleep,
        retry=retry_if_result(lambda attempt: attempt.verdict.action is Action.RETRY),
        retry_error_callback=lambda retry_state: _given_up(_attempt_of(retry_state), stop.why),
    )


def _given_up(attempt: Attempt, why: str | None) -> Attempt:
    """A retryable failure as one that fails its row, with the reason `why` appended to its text where there is one."""
    failure = attempt.failure
    if failure is not None and why is not None:
        failure = replace(failure, text=f"{failure.text}; {why}")
    return attempt._replace(verdict=replace(attempt.verdict, action=Action.FAIL_ROW), failure=failure)


def _attempts(count: int) -> str:
    return "1 attempt" if count == 1 else f"{count} attempts"


def _attempt_of(retry_state: RetryCallState) -> Attempt:
    assert retry_state.outcome is not None
    attempt = retry_state.outcome.result()
    assert isinstance(attempt, Attempt)
    return attempt
