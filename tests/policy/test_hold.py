"""A Retry-After that is meant for all, and one that is meant for one row."""

from __future__ import annotations

from batchchat.core.attempt import Attempt
from batchchat.policy.hold import Hold
from tests.dispatch.made import refused, request


def asks(latency_s: float, wait_s: float) -> Attempt:
    return refused(request(), latency_s=latency_s, wait_s=wait_s)


def test_a_second_refusal_confirms_it() -> None:
    """Of what was sent since the first nothing was answered; the longest wait that was asked for counts."""
    hold = Hold()
    hold.add_refusal(10.0, 5, asks(10.0 - 9.9, 7.0), is_limit=False)
    assert hold.left_s(10.0) == 0
    hold.add_refusal(11.0, 6, asks(11.0 - 10.5, 2.0), is_limit=False)
    assert hold.left_s(11.0) == 6.0
    assert hold.calm_until > 100


def test_one_of_a_burst_that_is_still_in_flight_confirms_nothing() -> None:
    """Another was sent since, and may yet be answered."""
    hold = Hold()
    hold.add_refusal(10.0, 5, asks(10.0 - 9.9, 7.0), is_limit=False)
    hold.add_refusal(11.0, 7, asks(11.0 - 10.5, 7.0), is_limit=False)
    assert hold.left_s(11.0) == 0
    hold.add_answer(10.6)
    hold.add_refusal(12.0, 8, asks(12.0 - 11.5, 3.0), is_limit=False)
    assert hold.left_s(12.0) == 0


def test_a_refusal_that_meets_a_limit_needs_no_other() -> None:
    """The ceiling knows better."""
    hold = Hold()
    hold.add_refusal(10.0, 5, asks(10.0 - 9.9, 1e9), is_limit=True)
    assert hold.left_s(10.0) == 60.0
