"""When the endpoint's own failures end a run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.conversation import ErrorKind, Key
from batchchat.exchange import Action, Ask, Exchange, Request, Scope, Verdict
from batchchat.policy.decision import GO, Stop
from batchchat.policy.outage import NEVER_REACHED, OUTAGE, Outage

ASK = Ask()
REQUEST = Request(Key("1"), 0, "m", [], b"{}", 1)


def ended(action: Action, scope: Scope, status: int | None) -> Exchange:
    return Exchange(REQUEST, Verdict(action, scope, kind=ErrorKind.CONNECTION), 0, 0, 0, status)


UNREACHED = ended(Action.RETRY, Scope.ENDPOINT, None)
REFUSED = ended(Action.RETRY, Scope.ENDPOINT, 429)
FAILED = ended(Action.RETRY, Scope.ROW, 500)
ANSWERED = ended(Action.ACCEPT, Scope.ROW, 200)


def after(*events: tuple[float, Exchange | None], max_outage_s: float = 100) -> Outage:
    policy = Outage(max_outage_s)
    for now, exchange in events:
        policy.hold(now, ASK)
        policy.settle(now, ASK, exchange)
    return policy


def test_an_endpoint_never_reached_is_told_after_five_seconds() -> None:
    """Not at the first refused connection, and not after an hour; with the exchange that shows it."""
    assert after((10.0, UNREACHED), (14.9, UNREACHED)).admit(14.9, ASK) == GO
    stop = after((10.0, UNREACHED), (15.0, UNREACHED)).admit(15.0, ASK)
    assert stop == Stop(NEVER_REACHED, UNREACHED)


def test_an_endpoint_that_was_reached_gets_max_outage() -> None:
    """Any status is contact; then only max_outage bounds refusals and refused connections."""
    policy = after((0.0, REFUSED), (50.0, UNREACHED), (99.9, UNREACHED))
    assert policy.admit(99.9, ASK) == GO
    policy.hold(100.0, ASK)
    policy.settle(100.0, ASK, UNREACHED)
    assert policy.admit(100.0, ASK) == Stop(OUTAGE, UNREACHED)


@pytest.mark.parametrize("between", [ANSWERED, FAILED, ended(Action.FAIL_ROW, Scope.ROW, 400)])
def test_any_answer_ends_an_outage(between: Exchange) -> None:
    """An answer or a failure that is the row's own begins the count anew; what we cut off says nothing."""
    policy = after((0.0, REFUSED), (99.0, between), (101.0, REFUSED), (200.0, None), (200.9, REFUSED))
    assert policy.admit(201, ASK) == GO
    policy.hold(201.0, ASK)
    policy.settle(201.0, ASK, REFUSED)
    assert isinstance(policy.admit(201, ASK), Stop)


@given(
    gaps=st.lists(st.floats(0, 60), max_size=30), kinds=st.lists(st.sampled_from([REFUSED, UNREACHED, ANSWERED, None]))
)
def test_a_run_stops_only_when_nothing_came_for_so_long(gaps: list[float], kinds: list[Exchange | None]) -> None:
    """Against a plain reading of the rule, event by event."""
    policy, now, since, reached, stops = Outage(100), 0.0, None, False, False
    for gap, exchange in zip(gaps, kinds, strict=False):
        now += gap
        policy.hold(now, ASK)
        policy.settle(now, ASK, exchange)
        reached = reached or (exchange is not None and exchange.http_status is not None)
        if exchange is ANSWERED:
            since = None
        elif exchange is not None:
            since = now if since is None else since
            stops = stops or now - since >= (100 if reached else 5)
        assert isinstance(policy.admit(now, ASK), Stop) == stops


def test_a_slow_model_is_not_an_absent_one() -> None:
    """Refused connections beside a request that is still in flight do not mean that the endpoint is not there."""
    policy = Outage(3600.0)
    policy.hold(0.0, ASK)
    for now in (1.0, 9.0):
        policy.hold(now, ASK)
        policy.settle(now, ASK, UNREACHED)
    assert not isinstance(policy.admit(9.0, ASK), Stop)
    policy.settle(10.0, ASK, UNREACHED)
    assert isinstance(policy.admit(10.0, ASK), Stop)
