"""The breaker's table."""

from __future__ import annotations

from batchchat.policy.breaker_state import (
    CLOSED,
    HALF_OPEN,
    OPEN,
    RECOVERING,
    TRANSITIONS,
    BreakerEvent,
    BreakerState,
)

DOWN = {OPEN, HALF_OPEN}


def reachable(start: BreakerState) -> set[BreakerState]:
    states, added = {start}, {start}
    while added:
        added = {after for (before, _), after in TRANSITIONS.items() if before in added} - states
        states |= added
    return states


def test_every_state_leads_to_every_other() -> None:
    """None is a dead end: an endpoint that comes back is used in full again."""
    for state in BreakerState:
        assert reachable(state) == set(BreakerState)


def test_every_event_moves_something() -> None:
    """None is left over."""
    assert {event for _, event in TRANSITIONS} == set(BreakerEvent)


def test_only_an_answer_ends_an_outage() -> None:
    """No failure and no request of ours that was cancelled does."""
    ends = {event for (before, event), after in TRANSITIONS.items() if before in DOWN and after not in DOWN}
    assert ends == {BreakerEvent.ANSWERED}


def test_an_outage_is_recovered_from_before_all_requests_go_again() -> None:
    """No move leads from an outage to CLOSED without RECOVERING between."""
    assert {before for (before, _), after in TRANSITIONS.items() if after is CLOSED} == {RECOVERING}
