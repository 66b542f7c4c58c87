"""The ceiling's table."""

from __future__ import annotations

from batchchat.policy.ceiling_state import CUT, FIXED, STARTING, STEADY, TRANSITIONS, CeilingEvent

CHANGES = {(before, after) for (before, _), after in TRANSITIONS.items()}


def test_the_start_is_over_once() -> None:
    """No move leads back to it."""
    assert STARTING not in {after for _, after in CHANGES}


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
