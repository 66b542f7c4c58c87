"""Backoff and giving up, as tenacity drives them, with a sleep that only writes down."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.core.attempt import Action, Attempt, Billed, Cost, Failure, Request, Scope, Verdict
from batchchat.core.conversation import ErrorKind, Key
from batchchat.core.row_history import NO_HISTORY
from batchchat.policy.retry import Limit, RowStop, RowWait, limit_reached, retrying

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
    billed_before: Mapping[str, int] = NO_HISTORY.billed,
    was_in_outage: Callable[[Attempt], bool] = lambda _: False,
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
        was_in_outage,
        max_possibly_billed=max_possibly_billed,
    )
    stop.count_earlier(billed_before)
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
def test_retry_after_is_a_floor_up_to_max_wait(seed: int, asked: float, attempts: int) -> None:
    """What the endpoint asks for is waited, and at most a quarter more, but no row waits longer than max_wait."""
    failure = attempt(wait_s=asked)
    for wait in played([failure], max_attempts=attempts, max_wait_s=100, random=Random(seed))[2]:
        assert min(asked, 80) <= wait <= 100
        assert wait <= max(asked * 1.25, 100 if asked < 1 else 0)


def test_rows_that_max_wait_holds_back_do_not_come_back_all_at_once() -> None:
    """A Retry-After of hours is waited for as long as `max_wait`, or a fifth less."""
    hours = attempt(ErrorKind.RATE_LIMIT, Scope.ENDPOINT, wait_s=7200.0)
    waits = {played([hours, ANSWER], random=Random(seed))[2][0] for seed in range(50)}
    assert 96 <= min(waits) < 100
    assert 118 < max(waits) <= 120


def test_a_row_that_is_refused_for_itself_backs_off_whatever_it_is_told_to_wait() -> None:
    """Its Retry-After of a second does not bring it back each second."""
    asks, waits = attempt(ErrorKind.RATE_LIMIT, Scope.ENDPOINT, wait_s=1.0), list[float]()
    left = [*[asks] * 5, ANSWER]

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async def send() -> Attempt:
        return left.pop(0)

    wait = RowWait(120, Highest(), is_cause=lambda key: key == REQUEST.key and len(left) < 4)
    asyncio.run(retrying(RowStop(6, 1e9), wait, sleep)(send))
    assert waits == [1.25, 1.25, 4, 8, 16]


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
    empty = attempt(ErrorKind.EMPTY_REPLY, billed=Billed.YES)
    assert played([empty])[1] == 3
    assert played([empty, attempt(), empty, REFUSAL, empty], max_attempts=9)[1] == 5
    assert played([empty], max_attempts=2)[1] == 2
    assert played([attempt(), attempt(), empty, ANSWER])[0] is ANSWER


BROKEN = attempt(ErrorKind.GATEWAY_TIMEOUT, billed=Billed.MAYBE)


def test_attempts_that_may_have_been_billed_are_bounded() -> None:
    """The second that breaks off ends the row; what was refused, or failed at no cost, between them does not count."""
    last, made, _ = played([BROKEN, attempt(), REFUSAL, BROKEN, ANSWER], max_possibly_billed=2)
    assert (made, last.verdict.action) == (4, Action.FAIL_ROW)
    assert last.failure == Failure(
        ErrorKind.GATEWAY_TIMEOUT, "no; 2 attempts may have been billed (`retry.max_possibly_billed`)"
    )
    assert played([BROKEN, attempt(), REFUSAL, BROKEN, ANSWER], max_possibly_billed=3)[:2] == (ANSWER, 5)
    assert played([BROKEN] * 4 + [ANSWER])[1] == 5


billed_failures = st.builds(
    attempt,
    st.sampled_from([ErrorKind.TIMEOUT, ErrorKind.BAD_RESPONSE, ErrorKind.RATE_LIMIT]),
    st.sampled_from(list(Scope)),
    billed=st.sampled_from([Billed.MAYBE, Billed.YES]),
)


@given(
    st.lists(billed_failures | st.just(REFUSAL) | st.just(attempt()), max_size=30),
    st.integers(1, 5),
    st.integers(1, 5),
    st.integers(0, 4),
    st.booleans(),
)
def test_no_attempt_that_may_have_been_billed_goes_beyond_either_limit(
    attempts: list[Attempt], max_attempts: int, max_possibly_billed: int, before: int, outage: bool
) -> None:
    """Whatever its scope, in an outage or not, and with those of earlier runs."""
    before %= min(max_attempts, max_possibly_billed)
    result, made, _ = played(
        [*attempts, ANSWER],
        max_attempts=max_attempts,
        max_possibly_billed=max_possibly_billed,
        billed_before={"timeout": before} if before else {},
        was_in_outage=lambda _: outage,
    )
    billed = sum(failure.may_be_billed for failure in attempts[:made])
    assert billed <= min(max_attempts, max_possibly_billed) - before
    if outage and result is not ANSWER:
        assert billed


def test_an_attempt_that_costs_counts_though_it_is_said_to_be_free() -> None:
    """An error that reports a cost was billed."""
    paid = attempt(ErrorKind.RATE_LIMIT, Scope.ENDPOINT)._replace(cost=Cost(Decimal("0.01"), "reported"))
    assert played([paid], max_possibly_billed=3)[1] == 3


def test_what_an_outage_broke_off_at_no_cost_fails_no_row() -> None:
    """Failures that the endpoint's going down caused count to the outage, not against the row."""
    assert played([attempt()] * 9 + [ANSWER], was_in_outage=lambda _: True)[0] is ANSWER


@pytest.mark.parametrize(
    ("billed", "why"),
    [
        ({}, None),
        ({"timeout": 1, "empty_reply": 1}, None),
        ({"timeout": 1, "cut": 2}, "3 attempts may have been billed (`retry.max_possibly_billed`)"),
        ({"timeout": 4}, "4 attempts may have been billed (`retry.max_possibly_billed`)"),
    ],
)
def test_the_limit_that_earlier_runs_have_reached_is_named(billed: dict[str, int], why: str | None) -> None:
    """Three possibly billed attempts in all, of whatever kind."""
    limit = limit_reached(billed, 6, 3)
    assert (None if limit is None else limit.words) == why


def test_the_lowest_limit_is_the_one_that_holds() -> None:
    """`max_attempts` where it is the lower one; and three empty replies however much is allowed."""
    assert limit_reached({"timeout": 1}, 1, 3) == Limit("1 attempt may have been billed (`retry.max_attempts`)")
    assert limit_reached({"empty_reply": 3}, 9, 3) == Limit("3 attempts ended so, and each was billed")


def test_the_row_itself_may_be_the_cause_of_its_refusals() -> None:
    """It is given up for them as soon as that is known, and in those words."""
    refusals = iter([None, None, "refused for itself"])
    stop = RowStop(6, 1e9, cause_of_refusals=lambda key: next(refusals) if key == REQUEST.key else None)

    async def sleep(seconds: float) -> None:
        return None

    async def send() -> Attempt:
        return REFUSAL

    last: Attempt = asyncio.run(retrying(stop, RowWait(1, Random(1)), sleep)(send))
    assert last.verdict.action is Action.FAIL_ROW
    assert last.failure == Failure(ErrorKind.RATE_LIMIT, "no; refused for itself")
    assert next(refusals, "all were asked") == "all were asked"


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
