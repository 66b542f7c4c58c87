"""What the policies on an endpoint's behalf did, as events."""

from __future__ import annotations

from random import Random

import pytest

from batchchat.core.attempt import Attempt, Failure, MaxUsage, Scope
from batchchat.core.conversation import ErrorKind
from batchchat.core.events import CeilingLowered, EndpointDown, EndpointUp
from batchchat.execution.endpoint_limits import EndpointLimits, describe_outage
from batchchat.policy.circuit_breaker import CircuitBreaker
from tests.dispatch.made import accepted, failed, refused, request

USAGE = MaxUsage()


def limits(max_in_flight: int = 40) -> EndpointLimits:
    return EndpointLimits(max_in_flight, CircuitBreaker(3600, Random(1), reached=True))


def play(policies: EndpointLimits, now: float, *attempts: Attempt) -> None:
    """As many requests as `attempts` are sent at once, and end so."""
    for _ in attempts:
        for policy in policies.policies:
            policy.check(now, USAGE)
            policy.acquire(now, USAGE)
    for attempt in attempts:
        for policy in policies.policies:
            policy.release(now + 0.1, USAGE, attempt)


def test_a_ceiling_that_moved_is_an_event() -> None:
    """With how many refusals it took; the same is told once."""
    endpoint = limits()
    assert endpoint.max_ceiling == 32, "the slow start is under way"
    play(endpoint, 0.0, *(refused(request(str(number))) for number in range(30)))
    (event,) = endpoint.events(2.0, 100)
    assert isinstance(event, CeilingLowered)
    assert event.after < event.before <= 40
    assert event.refusals == 30
    assert endpoint.max_ceiling == 40
    assert list(endpoint.events(2.0, 100)) == []


def test_an_outage_and_its_end_are_events() -> None:
    """What is left is told with it, and how long it lasted."""
    endpoint = limits()
    play(endpoint, 99.0, accepted(request("first")))
    for number in range(8):
        lost = failed(request(str(number)), ErrorKind.CONNECTION, status=None, scope=Scope.ENDPOINT)
        play(endpoint, 100.0, lost._replace(started_at=100.0, finished_at=100.1))
    (event, *_) = endpoint.events(101.0, 7)
    assert isinstance(event, EndpointDown)
    assert (event.why, event.left) == ("no", 7)
    play(endpoint, 130.0, accepted(request("probe"))._replace(started_at=130.0, finished_at=130.1))
    assert any(isinstance(event, EndpointUp) for event in endpoint.events(131.0, 7))


@pytest.mark.parametrize(
    ("attempt", "text"),
    [
        (failed(request(), status=503), "HTTP 503: no"),
        (
            failed(request(), ErrorKind.CONNECTION, status=None, scope=Scope.ENDPOINT)._replace(
                failure=Failure(ErrorKind.CONNECTION, "connection refused")
            ),
            "connection refused",
        ),
        (failed(request(), ErrorKind.BAD_RESPONSE, status=None), "no"),
    ],
)
def test_an_outage_is_described_by_what_the_endpoint_answered(attempt: Attempt, text: str) -> None:
    """Its status, where there was one, and its words."""
    assert describe_outage(attempt) == text
