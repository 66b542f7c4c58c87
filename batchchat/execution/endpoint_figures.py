"""Where each of several endpoints stands: what it does now, and what of this run it has answered."""

from __future__ import annotations

import time
from collections.abc import Sequence

from batchchat.core.events import EndpointProgress
from batchchat.execution.endpoint_group import EndpointGroup, Limits, Member
from batchchat.execution.finished_rows import FinishedRows
from batchchat.execution.throughput import Throughput
from batchchat.text.times import iso_utc

__all__ = ["EndpointFigures"]

_HELD_S = 1.0


class EndpointFigures:
    """The endpoints of `limits`, where these are of several, with the rows that `finished` has counted."""

    def __init__(self, limits: Limits, finished: FinishedRows) -> None:
        self._members = limits.members if isinstance(limits, EndpointGroup) else ()
        self._finished = finished
        self._throughput = {member.lane.name: Throughput() for member in self._members}

    def progress(self, now: float, elapsed_s: float) -> Sequence[EndpointProgress]:
        """How they stand at `now` on the monotonic clock, `elapsed_s` after the run began to send; () for one."""
        return tuple(self._progress(member, now, elapsed_s) for member in self._members)

    def _progress(self, member: Member, now: float, elapsed_s: float) -> EndpointProgress:
        lane, limits = member.lane, member.limits
        rows, cost_usd = self._finished.answered_by(lane.name)
        throughput = self._throughput.setdefault(lane.name, Throughput())  # it may have joined just now
        throughput.add(elapsed_s, rows, 0)
        state, waiting_for = _state(member, now)
        return EndpointProgress(
            lane.name,
            state,
            lane.in_flight,
            0 if lane.halt is not None else limits.ceiling,
            rows,
            throughput.rows_per_s,
            cost_usd,
            waiting_for,
            None if lane.halt is not None else limits.down_since,
        )


def _state(member: Member, now: float) -> tuple[str, str | None]:
    """The state of an endpoint, and what it waits for or why it was given up."""
    limits = member.limits
    if member.lane.halt is not None:
        _, reason = member.words(member.lane.halt)
        return "retired", reason
    if limits.down_since is not None:
        return "down", f"it to answer again ({limits.down_why()})"
    if (held_s := limits.held_s(now)) >= _HELD_S:
        return "held", f"the time it asked for, until {iso_utc(time.time() + held_s)}"
    return "working", None
