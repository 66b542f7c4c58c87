"""When a row is tried again and when it is given up, as tenacity's stop and wait policies over its attempts.

A failure of scope `endpoint` uses up neither attempts nor time of a row (`policy.circuit_breaker` bounds those); nor
does one that turns out to belong to an outage, which may be known only after it: each failure is judged anew. Backoff
is exponential with full jitter (the AWS Architecture Blog's "Exponential Backoff And Jitter"); what the endpoint asks
for in `Retry-After` is a floor, jittered upwards so that the rows do not come back as one. Less than a second is no
answer to how long it will be busy (some send 0 with each 429), so it does not shorten our own backoff.
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

__all__ = ["MOST_ATTEMPTS_BY_KIND", "RowStop", "RowWait", "retrying"]

MOST_ATTEMPTS_BY_KIND = {ErrorKind.EMPTY_REPLY: 3}
"""An empty reply is paid for each time, so it is tried again only twice."""

_MOST_ATTEMPTS_KEPT = 20
"""About ten minutes with waits of up to two: with shorter ones it is no reason to hammer."""

_RETRY_AFTER_JITTER = 0.25
_SHORTEST_RETRY_AFTER_S = 1.0
_LONGEST_RETRY_AFTER_S = 3600.0
"""`max_wait` bounds our own backoff; the endpoint's word is taken, but not for a day."""


class RowStop(stop_base):
    """Gives a row up after `max_attempts` failures of its own, or `max_elapsed_s` seconds spent on them.

    An attempt counts for `attempt_s` at most: what took longer was a machine that slept, and no fault of the row.
    `excused` says of a failure whether it belongs to an outage.

    It is given up, too, after `max_possibly_billed` attempts that broke off: a gateway that cuts each long reply has it
    paid for each time. `why` says so then, since the failure itself does not.

    `keeps` says, of its first failure, its last, and the seconds spent on it, whether it is tried on all the same,
    because the endpoint may be gone. That is up to 20 attempts, and never where a bound is one attempt.
    """

    def __init__(
        self,
        max_attempts: int,
        max_elapsed_s: float,
        attempt_s: float = math.inf,
        excused: Callable[[Attempt], bool] = lambda _: False,
        max_possibly_billed: int | None = None,
        *,
        keeps: Callable[[Attempt, Attempt, float], bool] = lambda *_: False,
    ) -> None:
        self.why: str | None = None
        self._max_possibly_billed = max_possibly_billed
        self._max_attempts = max_attempts
        self._max_elapsed_s = max_elapsed_s
        self._attempt_s = attempt_s
        self._excused = excused
        self._keeps = keeps
        self._own: list[tuple[Attempt, float]] = []
        """Failures of the row itself, each with the seconds that it and the wait after it took."""

    def __call__(self, retry_state: RetryCallState) -> bool:
        attempt = _attempt_of(retry_state)
        verdict = attempt.verdict
        if verdict.scope is Scope.ENDPOINT or verdict.kind is None:
            return False
        # tenacity asks for the wait before the stop, so the time up to the next attempt is known here.
        self._own.append((attempt, min(attempt.latency_s, self._attempt_s) + retry_state.upcoming_sleep))
        self._own = [(own, spent_s) for own, spent_s in self._own if not self._excused(own)]
        if not self._own:
            return False
        bound, self.why = self._reached(verdict.kind)
        spent_s = sum(spent_s for _, spent_s in self._own)
        if spent_s > self._max_elapsed_s:
            return True
        if bound is None:
            return False
        may_be_kept = bound > 1 and len(self._own) < _MOST_ATTEMPTS_KEPT
        return not (may_be_kept and self._keeps(self._own[0][0], attempt, spent_s))

    def _reached(self, kind: ErrorKind) -> tuple[int | None, str | None]:
        """The bound on attempts that is reached, and what to say of it."""
        broke_off = sum(own.verdict.billed is Billed.MAYBE for own, _ in self._own)
        if self._max_possibly_billed is not None and broke_off >= self._max_possibly_billed:
            why = f"{_attempts(broke_off)} may have been billed (`retry.max_possibly_billed`)"
            return self._max_possibly_billed, why
        alike = sum(own.verdict.kind is kind for own, _ in self._own)
        most = min(self._max_attempts, MOST_ATTEMPTS_BY_KIND.get(kind, self._max_attempts))
        return (most, None) if len(self._own) >= self._max_attempts or alike >= most else (None, None)


class RowWait(wait_base):
    """Seconds until the next attempt: full jitter under an exponential ceiling, or what the endpoint asked for."""

    def __init__(self, max_wait_s: float, random: Random) -> None:
        self._ceiling = wait_exponential(multiplier=1, max=max_wait_s)
        self._random = random
        self._instant_left = 1

    def __call__(self, retry_state: RetryCallState) -> float:
        verdict = _attempt_of(retry_state).verdict
        if verdict.instant and self._instant_left:
            self._instant_left -= 1
            return 0.0
        own = self._random.uniform(0.0, self._ceiling(retry_state))
        if verdict.wait_s is None:
            return own
        asked = min(verdict.wait_s, _LONGEST_RETRY_AFTER_S) * (1 + _RETRY_AFTER_JITTER * self._random.random())
        return asked if verdict.wait_s >= _SHORTEST_RETRY_AFTER_S else max(asked, own)


def retrying(stop: RowStop, wait: RowWait, sleep: Callable[[float], Awaitable[None]]) -> AsyncRetrying:
    """Tenacity's loop over attempts: its result is the last attempt; it ends its row where that was given up."""
    return AsyncRetrying(
        stop=stop,
        wait=wait,
        sleep=sleep,
        retry=retry_if_result(lambda attempt: attempt.verdict.action is Action.RETRY),
        retry_error_callback=lambda retry_state: _given_up(_attempt_of(retry_state), stop.why),
    )


def _given_up(attempt: Attempt, why: str | None) -> Attempt:
    """A retryable failure as one that ends its row; `why`, where it does not say so itself."""
    failure = attempt.failure
    if failure is not None and why is not None:
        failure = replace(failure, text=f"{failure.text}; {why}")
    return attempt._replace(verdict=replace(attempt.verdict, action=Action.FAIL_ROW), failure=failure)


def _attempts(number: int) -> str:
    return "1 attempt" if number == 1 else f"{number} attempts"


def _attempt_of(retry_state: RetryCallState) -> Attempt:
    assert retry_state.outcome is not None
    attempt = retry_state.outcome.result()
    assert isinstance(attempt, Attempt)
    return attempt
