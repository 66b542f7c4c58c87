"""The states of the adaptive ceiling, and every move between them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto

__all__ = ["CUT", "FIXED", "STARTING", "STEADY", "TRANSITIONS", "CeilingEvent", "CeilingState"]


class CeilingState(Enum):
    """Constant; climbing to the maximum; at the maximum or growing back; lowered, with nothing accepted since."""

    FIXED = auto()
    STARTING = auto()
    STEADY = auto()
    CUT = auto()


class CeilingEvent(Enum):
    """What moves the state.

    LIMIT_MET: refusals near each other, or one with a Retry-After. LIMIT_MOVED: most requests sent since the last cut
    were refused. ACCEPTED: a request sent since the last cut was answered.
    """

    MAX_REACHED = auto()
    LIMIT_MET = auto()
    LIMIT_MOVED = auto()
    ACCEPTED = auto()


FIXED, STARTING, STEADY, CUT = CeilingState

TRANSITIONS: Mapping[tuple[CeilingState, CeilingEvent], CeilingState] = {
    (STARTING, CeilingEvent.MAX_REACHED): STEADY,
    (STARTING, CeilingEvent.LIMIT_MET): CUT,
    (STEADY, CeilingEvent.LIMIT_MET): CUT,
    (CUT, CeilingEvent.LIMIT_MOVED): CUT,
    (CUT, CeilingEvent.ACCEPTED): STEADY,
}
"""All moves there are; an event that is missing for a state can't happen in it, and raises KeyError."""
