"""Backoff and giving up, as tenacity drives them, with a sleep that only writes down."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.core.attempt import Action, Attempt, Billed, Failure, Request, Scope, Verdict
from batchchat.core.conversation import ErrorKind, Key
from batchchat.policy.retry import RowStop, RowWait, retrying

REQUEST = Request(Key("1"), 0, "m", [], b"{}", 1)


def attempt(
    kind: ErrorKind | None = ErrorKind.SERVER_ERROR,
    scope: Scope = Scope.ROW,
    wait_s: float | None = None,
    latency_s: float = 0.0,
    *,
    instant: bool = False,
    billed: Billed = Billed.NO,
) -> Attempt:
    action = Action.RETRY if kind else Action.ACCEPT
    verdict = Verdict(action, scope, billed, kind, wait_s, instant)
    return Attempt(REQUEST, verdict, 0, 0, latency_s, failure=Failure(kind, "no") if kind else None)


ANSWER = attempt(None)
REFUSAL = attempt(ErrorKind.RATE_LIMIT, Scope.ENDPOINT)


class Highest(Random):
    """Draws the upper end, so that a wait is its ceiling."""

    def random(self) -> float:
        return 1.0


def played(
    attempts: Sequence[Attempt],
    *,
    max_attempts: int = 6,
    max_possibly_billed: int | None = None,
    max_elapsed_s: float = 1e9,
    attempt_s: float = math.inf,
    max_wait_s: float = 120,
    random: Random | None = None,
    extends_patience: Callable[[Attempt, Attempt, float], bool] = lambda *_: False,
) -> tuple[Attempt, int, list[float]]:
    """The result, the number of attempts and the waits; the last of `attempts` goes on for ever."""
    waits: list[float] = []
    made = 0

    async def sleep(seconds: float) -> None:
        waits.append(float(seconds))

    async def send() -> Attempt:
        nonlocal made
        made += 1
        return attempts[min(made, len(attempts)) - 1]

    stop = RowStop(
        max_attempts,
        max_elapsed_s,
        attempt_s,
        max_possibly_billed=max_possibly_billed,
        extends_patience=extends_patience,
    )
    wait = RowWait(max_wait_s, random or Random(1))
    return asyncio.run(retrying(stop, wait, sleep)(send)), made, waits


@pytest.mark.parametrize("max_attempts", [1, 2, 6, 20])
def test_max_attempts_is_counted_exactly(max_attempts: int) -> None:
    """A row that always fails is sent so often, and its last failure ends it."""
    result, made, waits = played([attempt()], max_attempts=max_attempts)
    assert (made, len(waits)) == (max_attempts, max_attempts - 1)
    assert result == attempt()._replace(verdict=Verdict(Action.FAIL_ROW, kind=ErrorKind.SERVER_ERROR))


def test_a_machine_that_slept_uses_up_no_row() -> None:
    """An attempt that was stopped for hours counts as one that ran into its timeout, and no more."""
    slept = attempt(ErrorKind.TIMEOUT, latency_s=30_000.0)
    assert played([slept, ANSWER], max_elapsed_s=3600, attempt_s=600)[0] is ANSWER
    assert played([slept, ANSWER], max_elapsed_s=3600)[1] == 1


@given(refusals=st.integers(0, 40), max_attempts=st.integers(1, 5))
def test_refusals_use_up_neither_attempts_nor_time(refusals: int, max_attempts: int) -> None:
    """However many, however slow and however long they ask to wait, the row still has all its own."""
    slow = attempt(ErrorKind.OVERLOADED, Scope.ENDPOINT, wait_s=3000.0, latency_s=500.0)
    _, made, _ = played([slow] * refusals + [attempt()], max_attempts=max_attempts, max_elapsed_s=1000)
    assert made == refusals + max_attempts


@given(seed=st.integers(), max_wait_s=st.floats(0, 1000), attempts=st.integers(2, 30))
def test_waits_stay_under_a_ceiling_that_doubles(seed: int, max_wait_s: float, attempts: int) -> None:
    """The n-th is between 0 and 2^(n-1) seconds, and never over max_wait."""
    _, _, waits = played([attempt()], max_attempts=attempts, max_wait_s=max_wait_s, random=Random(seed))
    assert len(waits) == attempts - 1
    for number, wait in enumerate(waits):
        assert 0 <= wait <= min(2**number, max_wait_s)


def test_the_ceiling_doubles_up_to_max_wait() -> None:
    """1, 2, 4… seconds, then max_wait."""
    assert played([attempt()], max_attempts=8, max_wait_s=20, random=Highest())[2] == [1, 2, 4, 8, 16, 20, 20]
    assert played([REFUSAL] * 2000 + [ANSWER], random=Highest())[2][-1] == 120


@given(seed=st.integers(), asked=st.floats(0, 90_000), attempts=st.integers(2, 9))
def test_retry_after_is_a_floor(seed: int, asked: float, attempts: int) -> None:
    """What the endpoint asks for is waited, up to an hour, and at most a quarter more; max_wait does not cut it."""
    failure = attempt(wait_s=asked)
    for wait in played([failure], max_attempts=attempts, max_wait_s=5, random=Random(seed))[2]:
        floor = min(asked, 3600)
        assert floor <= wait
        assert wait <= max(floor * 1.25, 5 if asked < 1 else 0)


def test_retry_after_zero_does_not_hammer() -> None:
    """An endpoint that sends 0 with each refusal is met with our own backoff."""
    hasty = attempt(ErrorKind.RATE_LIMIT, Scope.ENDPOINT, wait_s=0.0)
    assert played([hasty] * 4 + [ANSWER], random=Highest())[2] == [1, 2, 4, 8]
    assert played([attempt(wait_s=1.0)] * 4 + [ANSWER], random=Highest())[2] == [1.25] * 4


@pytest.mark.parametrize(("latency_s", "made"), [(0, 5), (10, 3), (29, 2), (31, 1), (1000, 1)])
def test_max_elapsed_bounds_the_time_spent(latency_s: float, made: int) -> None:
    """A row is given up when its attempts and waits, with the wait to come, pass max_elapsed."""
    failure = attempt(latency_s=latency_s)
    assert played([failure], max_attempts=99, max_elapsed_s=30.5, random=Highest())[1] == made


def test_an_empty_reply_is_tried_again_twice() -> None:
    """It is paid for each time; other failures in between don't give it more, and count for themselves."""
    empty = attempt(ErrorKind.EMPTY_REPLY)
    assert played([empty])[1] == 3
    assert played([empty, attempt(), empty, REFUSAL, empty], max_attempts=9)[1] == 5
    assert played([empty], max_attempts=2)[1] == 2
    assert played([attempt(), attempt(), empty, ANSWER])[0] is ANSWER


def test_attempts_that_may_have_been_billed_are_bounded() -> None:
    """The second that breaks off ends the row; what was refused, or failed at no cost, between them does not count."""
    broken = attempt(ErrorKind.GATEWAY_TIMEOUT, billed=Billed.MAYBE)
    last, made, _ = played([broken, attempt(), REFUSAL, broken, ANSWER], max_possibly_billed=2)
    assert (made, last.verdict.action) == (4, Action.FAIL_ROW)
    assert last.failure == Failure(
        ErrorKind.GATEWAY_TIMEOUT, "no; 2 attempts may have been billed (`retry.max_possibly_billed`)"
    )
    assert played([broken, attempt(), REFUSAL, broken, ANSWER], max_possibly_billed=3)[:2] == (ANSWER, 5)
    assert played([broken] * 4 + [ANSWER])[1] == 5


def test_what_an_outage_broke_off_fails_no_row() -> None:
    """Attempts that broke off because the endpoint went down count to the outage, not against the row."""
    broken = attempt(ErrorKind.GATEWAY_TIMEOUT, billed=Billed.MAYBE)

    async def sleep(seconds: float) -> None:
        return None

    left = [broken] * 5 + [ANSWER]

    async def send() -> Attempt:
        return left.pop(0)

    stop = RowStop(6, 1e9, was_in_outage=lambda failed: failed is broken, max_possibly_billed=2)
    last: Attempt = asyncio.run(retrying(stop, RowWait(1, Random(1)), sleep)(send))
    assert last is ANSWER


@pytest.mark.parametrize(("bound", "made"), [(1, 1), (2, 20), (30, 30)])
def test_patience_is_extended_while_the_endpoint_may_be_down(bound: int, made: int) -> None:
    """For twenty attempts where it is allowed more than one: a bound of one holds to the letter."""
    assert played([attempt()], max_attempts=bound, extends_patience=lambda *_: True)[1] == made
    broken = attempt(billed=Billed.MAYBE)
    assert played([broken], max_attempts=99, max_possibly_billed=bound, extends_patience=lambda *_: True)[1] == made


def test_patience_depends_on_the_failures_of_the_row_itself() -> None:
    """With the first and the last of them and the seconds they took; the answer may change."""
    first, last, asked = attempt(latency_s=3), attempt(latency_s=4), list[tuple[Attempt, Attempt, float]]()

    def extends_patience(*about: Any) -> bool:
        asked.append(about)
        return len(asked) == 1

    _, made, waits = played([REFUSAL, first, last, REFUSAL, last], max_attempts=2, extends_patience=extends_patience)
    assert made == 5
    assert asked[0][:2] == (first, last)
    assert asked[0][2] == pytest.approx(7 + waits[1] + waits[2])
    assert len(asked) == 2


def test_why_a_row_is_given_up_is_of_its_last_failure() -> None:
    """A failure that has turned out to be in an outage is no reason any more."""
    broken, in_outage = attempt(ErrorKind.GATEWAY_TIMEOUT, billed=Billed.MAYBE), list[Attempt]()
    stop = RowStop(9, 50, math.inf, lambda failed: failed in in_outage, 2, extends_patience=lambda *_: True)
    left = [broken, broken, attempt(latency_s=60)]

    async def sleep(seconds: float) -> None:
        if len(left) == 1:
            in_outage.append(broken)

    async def send() -> Attempt:
        return left.pop(0)

    asyncio.run(retrying(stop, RowWait(0, Random(1)), sleep)(send))
    assert (stop.why, left) == (None, [])


def test_max_elapsed_bounds_extended_patience() -> None:
    """However often it is extended."""
    assert played([attempt(latency_s=10)], max_elapsed_s=65, max_wait_s=0, extends_patience=lambda *_: True)[1] == 7


def test_a_stale_connection_is_tried_again_at_once_and_only_once() -> None:
    """The first wait is 0, the second is backoff."""
    stale = attempt(ErrorKind.CONNECTION, instant=True)
    _, made, waits = played([stale], max_attempts=4, random=Highest())
    assert (made, waits) == (4, [0, 2, 4])
    assert played([attempt(), stale, stale, ANSWER], random=Highest())[2] == [1, 0, 4]


@pytest.mark.parametrize("action", [Action.ACCEPT, Action.FAIL_ROW, Action.STOP_RUN])
def test_what_is_not_to_be_retried_is_the_result(action: Action) -> None:
    """Accepted or failed for good, it ends the loop at once."""
    end = Attempt(REQUEST, Verdict(action, kind=ErrorKind.BAD_REQUEST), 0, 0, 0)
    assert played([attempt(), end])[:2] == (end, 2)


def test_what_an_attempt_raises_comes_through() -> None:
    """Tenacity keeps nothing back: an exception is neither retried nor wrapped."""

    async def send() -> Attempt:
        raise ZeroDivisionError

    async def sleep(seconds: float) -> None:
        raise AssertionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(retrying(RowStop(6, 1), RowWait(1, Random(1)), sleep)(send))
