"""When a row is retried and when it is given up, as tenacity's stop and wait policies over its attempts.

An attempt that was or may have been billed always counts, whatever else is going on and whatever run it was made in:
`limit_reached` bounds those. Of the others, a failure of scope `endpoint` uses up neither attempts nor time of a row
(`policy.circuit_breaker` bounds those); nor does one that belongs to an outage. That may be known only after the
failure, so all failures of a row are judged again at each. A row that is itself the cause of its refusals is given up
for them (`policy.refused_rows`).

Backoff is exponential with full jitter (the AWS Architecture Blog's "Exponential Backoff And Jitter"). A Retry-After is
a lower bound up to `max_wait`, jittered so that the rows do not come back all at once: what holds all requests for
longer is the gate's. One of less than a second says nothing of how long the endpoint will be busy (some send 0 with
each 429), so it does not shorten our own backoff; nor does one at a row that is itself the cause.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from batchchat.core.attempt import Action, Attempt, Scope
from batchchat.core.conversation import ErrorKind, Key
from batchchat.core.row_history import CANCELLED

if TYPE_CHECKING:
    from tenacity import AsyncRetrying, RetryCallState

__all__ = ["MAX_ATTEMPTS_BY_KIND", "Limit", "RowStop", "RowWait", "limit_reached", "retrying"]

MAX_ATTEMPTS_BY_KIND = {ErrorKind.EMPTY_REPLY: 3}
"""An empty reply is billed each time, so it is retried only twice."""

_RETRY_AFTER_JITTER = 0.25
_MIN_RETRY_AFTER_S = 1.0
_MAX_DOUBLINGS = 64  # centuries: more would overflow a float in the end


class Limit(NamedTuple):
    """A limit that is reached, in `words`. `is_plain`: with the last failure, no words are needed."""

    words: str
    is_plain: bool = True


def limit_reached(billed: Mapping[str, int], max_attempts: int, max_possibly_billed: int | None) -> Limit | None:
    """Why a row may not be sent again after the failed attempts that were or may have been `billed`; None if it may.

    They are counted by the kind of their failure.
    """
    count = sum(billed.values())
    for kind, max_alike in MAX_ATTEMPTS_BY_KIND.items():
        if (alike := billed.get(kind.value, 0)) >= max_alike:
            return Limit(f"{_attempts(alike)} ended so, and each was billed")
    if max_possibly_billed is not None and count >= max_possibly_billed:
        return Limit(f"{_attempts(count)} may have been billed (`retry.max_possibly_billed`)", is_plain=False)
    if count >= max_attempts:
        return Limit(f"{_attempts(count)} may have been billed (`retry.max_attempts`)")
    return None


class RowStop:
    """Gives a row up after `max_attempts` failures of its own, or `max_elapsed_s` seconds spent on them.

    An attempt counts for `attempt_s` at most: one that took longer was on a machine that slept, and the row is not to
    blame. `was_in_outage(failure)` is True for a failure that belongs to an outage, and does not count, unless it may
    have been billed.

    A row is also given up after `max_possibly_billed` attempts that were or may have been billed and did not answer it:
    a gateway that cuts off each long reply has it billed each time. And where `cause_of_refusals(key)` says why the row
    is itself the cause of its refusals. `why` is the limit that was reached, where the failure itself does not say it.
    """

    def __init__(
        self,
        max_attempts: int,
        max_elapsed_s: float,
        attempt_s: float = math.inf,
        was_in_outage: Callable[[Attempt], bool] = lambda _: False,
        max_possibly_billed: int | None = None,
        *,
        cause_of_refusals: Callable[[Key], str | None] = lambda _: None,
    ) -> None:
        self.why: str | None = None
        self._max_possibly_billed = max_possibly_billed
        self._max_attempts = max_attempts
        self._max_elapsed_s = max_elapsed_s
        self._attempt_s = attempt_s
        self._was_in_outage = was_in_outage
        self._cause_of_refusals = cause_of_refusals
        self._billed = Counter[str]()
        self._failures: list[tuple[Attempt, float]] = []
        """Failures of the row itself, each with the seconds spent on it and on the wait after it."""

    def count_earlier(self, billed: Mapping[str, int]) -> None:
        """Count attempts of earlier runs, by kind, that were or may have been `billed`."""
        self._billed.update(billed)

    @property
    def has_billed(self) -> bool:
        """Whether an attempt of the row, in this run or an earlier one, was or may have been billed."""
        return bool(self._billed)

    def limit_of_next(self) -> str | None:
        """The limit that one more attempt reaches, if it may be billed; None where it reaches none."""
        billed = self._billed + Counter({CANCELLED: 1})
        limit = limit_reached(billed, self._max_attempts, self._max_possibly_billed)
        return None if limit is None else limit.words

    def __call__(self, retry_state: RetryCallState) -> bool:
        attempt = _attempt_of(retry_state)
        verdict, may_be_billed = attempt.verdict, attempt.may_be_billed
        if verdict.kind is None:
            return False
        self.why = None
        if verdict.scope is Scope.ROW:
            # tenacity asks for the wait before the stop, so the time up to the next attempt is known here.
            self._failures.append((attempt, min(attempt.latency_s, self._attempt_s) + retry_state.upcoming_sleep))
        elif not may_be_billed:
            self.why = self._cause_of_refusals(attempt.request.key)
            return self.why is not None
        self._failures = [(failure, spent_s) for failure, spent_s in self._failures if not self._was_in_outage(failure)]
        if may_be_billed:
            self._billed[verdict.kind.value] += 1
            limit = limit_reached(self._billed, self._max_attempts, self._max_possibly_billed)
            if limit is not None:
                self.why = None if limit.is_plain else limit.words
                return True
        unbilled = sum(not failure.may_be_billed for failure, _ in self._failures)
        spent_s = sum(spent_s for _, spent_s in self._failures)
        return unbilled + self._billed.total() >= self._max_attempts or spent_s > self._max_elapsed_s


class RowWait:
    """Seconds until the next attempt: full jitter under an exponential ceiling, or the endpoint's Retry-After.

    Neither is more than `max_wait_s`. Where `is_cause(key)`, the row is itself the cause of its refusals, and
    the longer of the two is waited.
    """

    def __init__(self, max_wait_s: float, random: Random, is_cause: Callable[[Key], bool] = lambda _: False) -> None:
        self._max_wait_s = max_wait_s
        self._random = random
        self._is_cause = is_cause
        self._instant_left = 1

    def __call__(self, retry_state: RetryCallState) -> float:
        attempt = _attempt_of(retry_state)
        verdict = attempt.verdict
        if verdict.instant and self._instant_left:
            self._instant_left -= 1
            return 0.0
        backoff_s = self._random.uniform(0.0, self._ceiling_s(retry_state.attempt_number))
        if verdict.wait_s is None:
            return backoff_s
        jitter, max_wait_s = 1 + _RETRY_AFTER_JITTER * self._random.random(), self._max_wait_s
        is_longer = verdict.wait_s > max_wait_s
        retry_after_s = max_wait_s / jitter if is_longer else min(verdict.wait_s * jitter, max_wait_s)
        is_hint = verdict.wait_s < _MIN_RETRY_AFTER_S or self._is_cause(attempt.request.key)
        return max(retry_after_s, backoff_s) if is_hint else retry_after_s

    def _ceiling_s(self, attempt_number: int) -> float:
        """1 s after the first attempt, and twice as much after each further one, up to `max_wait_s`."""
        doublings = min(attempt_number - 1, _MAX_DOUBLINGS)
        return max(0.0, min(2.0**doublings, self._max_wait_s))


def retrying(stop: RowStop, wait: RowWait, sleep: Callable[[float], Awaitable[None]]) -> AsyncRetrying:
    """Tenacity's loop over attempts. Its result is the last attempt; for a row given up, one that fails the row."""
    from tenacity import AsyncRetrying, retry_if_result  # where a row has failed, and not at each start: 50 ms

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
        failure = failure._replace(text=f"{failure.text}; {why}")
    return attempt._replace(verdict=attempt.verdict._replace(action=Action.FAIL_ROW), failure=failure)


def _attempts(count: int) -> str:
    return "1 attempt" if count == 1 else f"{count} attempts"


def _attempt_of(retry_state: RetryCallState) -> Attempt:
    assert retry_state.outcome is not None
    attempt = retry_state.outcome.result()
    assert isinstance(attempt, Attempt)
    return attempt
