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

    LIMIT_MET: refusals above the background. LIMIT_MOVED: most requests sent since the last cut were refused. ACCEPTED:
    a request sent since the last cut was answered. OVERLOADED: a request was cut off while it stood in line. CAME_UP:
    the first answer, after all was refused.
    """

    MAX_REACHED = auto()
    LIMIT_MET = auto()
    LIMIT_MOVED = auto()
    ACCEPTED = auto()
    OVERLOADED = auto()
    CAME_UP = auto()


FIXED, STARTING, STEADY, CUT = CeilingState

TRANSITIONS: Mapping[tuple[CeilingState, CeilingEvent], CeilingState] = {
    (STARTING, CeilingEvent.MAX_REACHED): STEADY,
    (STARTING, CeilingEvent.LIMIT_MET): CUT,
    (STEADY, CeilingEvent.LIMIT_MET): CUT,
    (CUT, CeilingEvent.LIMIT_MOVED): CUT,
    (CUT, CeilingEvent.ACCEPTED): STEADY,
    (STARTING, CeilingEvent.OVERLOADED): CUT,
    (STEADY, CeilingEvent.OVERLOADED): CUT,
    (CUT, CeilingEvent.OVERLOADED): CUT,
    (STARTING, CeilingEvent.CAME_UP): STARTING,
    (STEADY, CeilingEvent.CAME_UP): STARTING,
    (CUT, CeilingEvent.CAME_UP): STARTING,
}
"""All moves there are; an event that is missing for a state can't happen in it, and raises KeyError."""
