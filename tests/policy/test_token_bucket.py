"""Requests and tokens a minute."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.core.attempt import Action, Attempt, Billed, MaxUsage, Request, Scope, Usage, Verdict
from batchchat.core.conversation import ErrorKind, Key
from batchchat.policy.decision import ADMIT, Delay, Policy
from batchchat.policy.token_bucket import RequestRate, TokenRate

REQUEST = Request(Key("1"), 0, "m", [], b"{}", 1)
MAX_USAGE = MaxUsage()


def used(tokens: int | None) -> Attempt:
    usage = None if tokens is None else Usage(total_tokens=tokens)
    return Attempt(REQUEST, Verdict(Action.ACCEPT, billed=Billed.YES), 0, 0, 0, 200, usage=usage)


REFUSED = Attempt(REQUEST, Verdict(Action.RETRY, Scope.ENDPOINT, Billed.NO, ErrorKind.RATE_LIMIT), 0, 0, 0, 429)


def go(policy: Policy, now: float, max_usage: MaxUsage = MAX_USAGE) -> float:
    """Send as soon as it may be; when that was."""
    while (decision := policy.check(now, max_usage)) != ADMIT:
        assert isinstance(decision, Delay)
        assert decision.seconds is not None
        assert decision.seconds > 0
        now += decision.seconds
    policy.acquire(now, max_usage)
    return now


@given(per_minute=st.floats(0.5, 6000), start=st.floats(0, 1e6), pauses=st.lists(st.floats(0, 200), max_size=20))
def test_no_minute_has_more_than_its_requests(per_minute: float, start: float, pauses: list[float]) -> None:
    """However one comes and pauses, no 60 seconds hold more than the rate and one second's worth."""
    policy, now, sent = RequestRate(per_minute), start, []
    for pause in [*pauses, *[0.0] * 40]:
        now = go(policy, now + pause)
        sent.append(now)
    burst = max(1.0, per_minute / 60)
    for first in sent:
        assert sum(first <= at < first + 59.99 for at in sent) <= per_minute + burst + 1e-6


def test_it_is_smooth() -> None:
    """600 a minute are ten at once and then one each tenth of a second: nothing waits for a minute's end."""
    policy = RequestRate(600)
    sent = [go(policy, 0.0) for _ in range(10)]
    assert sent == [0.0] * 10
    now = 0.0
    for number in range(1, 50):
        now = go(policy, now)
        assert now == pytest.approx(number / 10, abs=0.01)


@given(
    per_minute=st.floats(1, 1e6),
    sizes=st.lists(st.tuples(st.integers(0, 100_000), st.integers(0, 20_000), st.integers(0, 120_000)), max_size=30),
)
def test_no_request_waits_for_ever(per_minute: float, sizes: list[tuple[int, int, int]]) -> None:
    """Larger than a minute's allowance or not, each is admitted in the end, and waits for no more than it used."""
    policy, now, total = TokenRate(per_minute), 0.0, 0.0
    for prompt, completion, tokens in sizes:
        max_usage = MaxUsage(prompt, completion)
        now = go(policy, now, max_usage)
        policy.release(now, max_usage, used(tokens))
        total += max(prompt + completion, tokens)
        assert now <= (total / per_minute + 1) * 60 + 1


def test_tokens_over_minutes_are_as_allowed() -> None:
    """What answers used is what counts: asked for ten times as much as they use, the rate is met, not a tenth of it."""
    policy, now, total = TokenRate(60_000), 0.0, 0
    max_usage = MaxUsage(3000, 2000)
    while now < 600:
        now = go(policy, now, max_usage)
        policy.release(now, max_usage, used(500))
        total += 500
    assert total / 600 == pytest.approx(1000, rel=0.02)


def test_what_was_not_used_is_given_back() -> None:
    """A refusal costs nothing, a cancelled request what was charged."""
    policy = TokenRate(60)
    max_usage = MaxUsage(20, 0)
    now = go(policy, 0.0, max_usage)
    policy.release(now, max_usage, REFUSED)
    assert policy.check(now, max_usage) == ADMIT
    policy.acquire(now, max_usage)
    policy.release(now, max_usage, None)
    assert isinstance(policy.check(now, max_usage), Delay)


def test_charges_and_returns_agree_though_the_estimate_moves() -> None:
    """With many in flight and answers of all sizes, the bucket ends where their sum puts it."""
    policy = TokenRate(6_000_000)
    max_usages = [MaxUsage(number * 10, number) for number in range(1, 101)]
    for max_usage in max_usages:
        policy.acquire(0.0, max_usage)
    for number, max_usage in enumerate(max_usages):
        policy.release(0.0, max_usage, used(number * 3))
    spend = 100_000 - policy._bucket.level(0.0)
    assert spend == pytest.approx(sum(number * 3 for number in range(100)), abs=1)
    assert policy._charged == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("tokens", [10**15, 10**400], ids=["quadrillion", "no float"])
def test_an_absurd_usage_does_not_stop_sending(tokens: int) -> None:
    """What no request of this size can have used is charged as ten times what was asked, not for a million years."""
    policy, max_usage = TokenRate(600), MaxUsage(100, 100)
    policy.acquire(0.0, max_usage)
    policy.release(1.0, max_usage, used(tokens))
    assert go(policy, 1.0, max_usage) <= 1.0 + 10 * 200 / 10 + 1
