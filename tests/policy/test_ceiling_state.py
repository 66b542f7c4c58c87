"""The ceiling's table."""

from __future__ import annotations

from batchchat.policy.ceiling_state import CUT, FIXED, STARTING, STEADY, TRANSITIONS, CeilingEvent

CHANGES = {(before, after) for (before, _), after in TRANSITIONS.items()}


def test_only_an_endpoint_that_comes_up_starts_again() -> None:
    """What was refused before it was up said nothing of its limit."""
    assert {event for (_, event), after in TRANSITIONS.items() if after is STARTING} == {CeilingEvent.CAME_UP}


def test_a_fixed_ceiling_has_no_moves() -> None:
    """No move leads from or to it."""
    assert FIXED not in {state for change in CHANGES for state in change}


def test_only_an_answer_ends_a_cut() -> None:
    """After it the ceiling may grow again."""
    ends = {event for (before, event), after in TRANSITIONS.items() if before is CUT and after is STEADY}
    assert ends == {CeilingEvent.ACCEPTED}


def test_every_event_moves_something() -> None:
    """None is left over."""
    assert {event for _, event in TRANSITIONS} == set(CeilingEvent)
