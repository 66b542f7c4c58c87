"""What the endpoint says is left."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchchat.core.attempt import Action, Attempt, MaxUsage, Quota, Request, Usage, Verdict
from batchchat.core.conversation import Key
from batchchat.policy.decision import ADMIT, Delay
from batchchat.policy.rate_limit_headers import RateLimitHeaders

REQUEST = Request(Key("1"), 0, "m", [], b"{}", 1)
MAX_USAGE = MaxUsage()


def says(quota: Quota | None, tokens: int | None = None, latency_s: float = 0.1) -> Attempt:
    usage = None if tokens is None else Usage(total_tokens=tokens)
    return Attempt(REQUEST, Verdict(Action.ACCEPT), 0, 0, latency_s, 200, usage=usage, quota=quota)


def with_in_flight(number: int) -> RateLimitHeaders:
    policy = RateLimitHeaders()
    for _ in range(number):
        policy.acquire(0.0, MAX_USAGE)
    return policy


def test_little_left_waits_for_the_reset() -> None:
    """No more left than in flight: nothing is admitted until the reset; with more left, or no figure, all is."""
    policy = with_in_flight(21)
    policy.release(5.0, MAX_USAGE, says(Quota(requests=20, requests_reset_s=6.0)))
    assert policy.check(5.0, MAX_USAGE) == Delay(6.0)
    assert policy.held_s(6.0) == 5.0
    assert policy.check(11.0, MAX_USAGE) == ADMIT
    policy = with_in_flight(21)
    for quota in (None, Quota(), Quota(requests=21, requests_reset_s=6.0), Quota(requests=0), Quota(0, 0.0)):
        policy.release(5.0, MAX_USAGE, says(quota))
        assert policy.check(5.0, MAX_USAGE) == ADMIT
        policy.acquire(5.0, MAX_USAGE)


def test_tokens_count_as_requests_use_them() -> None:
    """Left for nine more of a hundred tokens each, with ten in flight, is little."""
    policy = with_in_flight(11)
    policy.release(5.0, MAX_USAGE, says(Quota(tokens=900, tokens_reset_s=0.5), tokens=100))
    assert policy.check(5.0, MAX_USAGE) == Delay(0.5)


def test_headers_that_prove_untrue_are_ignored() -> None:
    """A server that says `0 left` after each reset is waited for three times, and no more."""
    policy, now = with_in_flight(1), 0.0
    waits = 0
    for _ in range(50):
        policy.release(now, MAX_USAGE, says(Quota(0, 60.0), latency_s=0.0))
        if isinstance(decision := policy.check(now, MAX_USAGE), Delay):
            assert decision.seconds is not None
            now += decision.seconds
            waits += 1
        policy.acquire(now, MAX_USAGE)
        now += 0.01
    assert waits == 3


@given(
    st.lists(
        st.tuples(
            st.floats(0, 100),
            st.builds(
                Quota,
                st.none() | st.integers(0, 10**12),
                st.none() | st.floats(0, 1e12),
                st.none() | st.integers(0, 10**12),
                st.none() | st.floats(0, 1e12),
            ),
            st.none() | st.integers(0, 1 << 62),
        ),
        max_size=40,
    )
)
def test_it_never_waits_longer_than_two_minutes(steps: list[tuple[float, Quota, int | None]]) -> None:
    """Whatever a server says."""
    policy, now = with_in_flight(50), 0.0
    for gap_s, quota, tokens in steps:
        now += gap_s
        policy.release(now, MAX_USAGE, says(quota, tokens, latency_s=gap_s / 2))
        decision = policy.check(now, MAX_USAGE)
        assert decision == ADMIT or (
            isinstance(decision, Delay) and decision.seconds and 0 < decision.seconds <= 120.001
        )
        policy.acquire(now, MAX_USAGE)
