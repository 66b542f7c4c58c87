"""Several endpoints as one: the figures of all for the bar and the log, and what happens at each under its name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from batchchat.core.events import EndpointRetired, Event, OfEndpoint
from batchchat.dispatch.lane import EndpointLane
from batchchat.execution.endpoint_limits import EndpointLimits
from batchchat.policy.decision import Halt

__all__ = ["EndpointGroup", "Limits", "Member"]

RetiredWords = Callable[[Halt], tuple[str, str]]
"""Why an endpoint was given up: in full, and without what it said."""


class Limits(Protocol):
    """What the run asks of the limits of its endpoints, whether it has one or several."""

    @property
    def ceiling(self) -> int:
        """How many requests may be in flight."""

    @property
    def max_ceiling(self) -> int:
        """What that is at most; during the slow start the ceiling reached so far."""

    @property
    def down_since(self) -> float | None:
        """When the outage of all began, in seconds since the epoch; None where one is up."""

    def down_why(self) -> str | None:
        """What was answered last, where all are down."""

    def probe_in_s(self, now: float) -> float:
        """Seconds until the next probe of an outage."""

    def held_s(self, now: float) -> float:
        """Seconds for which all ask that nothing is sent."""

    def halts(self, now: float) -> Iterable[tuple[int, Halt]]:
        """The reasons to stop, though nothing is sent that would show them, behind the numbers of the endpoints."""

    def events(self, now: float, left: int | None) -> Iterator[Event]:
        """What they did since the last call; `left` rows are still to be finished (None: not known)."""


class Member(NamedTuple):
    """One endpoint of a group: its lane, its limits, and the words for why it is given up."""

    lane: EndpointLane
    limits: EndpointLimits
    words: RetiredWords


class EndpointGroup:
    """The limits of several endpoints, of which each may be given up while others are in use."""

    def __init__(self, members: Sequence[Member], max_in_flight: int) -> None:
        self._members = members
        self._max_in_flight = max_in_flight
        self._told: set[EndpointLane] = set()

    @property
    def members(self) -> Sequence[Member]:
        """The endpoints, in the order of the job."""
        return self._members

    @property
    def ceiling(self) -> int:
        """How many requests may be in flight at all endpoints in use together."""
        return min(self._max_in_flight, sum(member.limits.ceiling for member in self._in_use()))

    @property
    def max_ceiling(self) -> int:
        """What that is at most."""
        return min(self._max_in_flight, sum(member.limits.max_ceiling for member in self._in_use()))

    @property
    def down_since(self) -> float | None:
        """When the last of them went down, in seconds since the epoch, where all in use are down."""
        times = [member.limits.down_since for member in self._in_use()]
        down = [since for since in times if since is not None]
        return max(down) if down and len(down) == len(times) else None

    def down_why(self) -> str | None:
        """What each in use answered last, where all of them are down."""
        if self.down_since is None:
            return None
        return "; ".join(f"{member.lane.name}: {member.limits.down_why()}" for member in self._in_use())

    def probe_in_s(self, now: float) -> float:
        """Seconds until the first of their probes."""
        return min((member.limits.probe_in_s(now) for member in self._in_use()), default=0.0)

    def held_s(self, now: float) -> float:
        """Seconds for which all of them ask that nothing is sent."""
        return min((member.limits.held_s(now) for member in self._in_use()), default=0.0)

    def halts(self, now: float) -> Iterator[tuple[int, Halt]]:
        """The reasons to give up endpoints, though nothing is sent there that would show them."""
        for number, member in enumerate(self._members):
            if member.lane.halt is None and (halt := member.limits.breaker.halt(now)) is not None:
                yield number, halt

    def events(self, now: float, left: int | None) -> Iterator[Event]:
        """What happened at each since the last call."""
        in_use = len(self._in_use())
        for member in self._members:
            lane = member.lane
            for event in member.limits.events(now, left):
                if lane not in self._told:
                    yield OfEndpoint(lane.name, event)
            if lane.halt is not None and lane not in self._told:
                self._told.add(lane)
                if in_use:  # else that is why the run stops
                    yield OfEndpoint(lane.name, EndpointRetired(*member.words(lane.halt), in_use))

    def _in_use(self) -> list[Member]:
        return [member for member in self._members if member.lane.halt is None]
