"""The states of the circuit breaker, and every move between them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto

__all__ = ["CLOSED", "HALF_OPEN", "OPEN", "RECOVERING", "TRANSITIONS", "BreakerEvent", "BreakerState"]


class BreakerState(Enum):
    """What is admitted: everything, nothing until the next probe, nothing but the probe, a few at a time."""

    CLOSED = auto()
    OPEN = auto()
    HALF_OPEN = auto()
    RECOVERING = auto()


class BreakerEvent(Enum):
    """What moves the breaker. CANCELLED: the last request in flight was ended by us, without a result."""

    TRIPPED = auto()
    PROBE_SENT = auto()
    PROBE_FAILED = auto()
    CANCELLED = auto()
    ANSWERED = auto()
    RECOVERED = auto()


CLOSED, OPEN, HALF_OPEN, RECOVERING = BreakerState

TRANSITIONS: Mapping[tuple[BreakerState, BreakerEvent], BreakerState] = {
    (CLOSED, BreakerEvent.TRIPPED): OPEN,
    (OPEN, BreakerEvent.PROBE_SENT): HALF_OPEN,
    (OPEN, BreakerEvent.CANCELLED): OPEN,
    (OPEN, BreakerEvent.ANSWERED): RECOVERING,
    (HALF_OPEN, BreakerEvent.PROBE_SENT): HALF_OPEN,
    (HALF_OPEN, BreakerEvent.PROBE_FAILED): OPEN,
    (HALF_OPEN, BreakerEvent.CANCELLED): OPEN,
    (HALF_OPEN, BreakerEvent.ANSWERED): RECOVERING,
    (RECOVERING, BreakerEvent.TRIPPED): OPEN,
    (RECOVERING, BreakerEvent.RECOVERED): CLOSED,
}
"""All moves there are; an event that is missing for a state can't happen in it, and raises KeyError."""
