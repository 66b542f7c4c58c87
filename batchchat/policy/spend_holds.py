"""What is sent and not yet in the journal never passes what the journal's last `hold` says, in requests and in USD.

That is what makes a budget hold over `kill -9`: the next reader of the journal counts its records and, for requests
without a record, the last hold. So a hold must be synced before what it covers is sent, and a request is covered until
the record that tells what it cost is synced: `release` names that record. Holds are kept without a budget as well,
since one may be set after the kill.

A hold is a level, not a sum: it applies until the next one, whichever requests start and end under it. It is raised
to an eighth more than is needed (at least two requests more), before it is needed, so that few requests wait for a
sync; and lowered when for a while at most 70 % of it were used. What a kill costs the budget is therefore about what
was in flight, and a line is written when that has changed, not for each request. All is at the job's price; the ratio
to what is really billed is noted with it. Once a request without a bound is sent, a hold has none either.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

from batchchat.core.attempt import Attempt, MaxUsage
from batchchat.policy.decision import ADMIT, Decision, Delay

__all__ = ["NOTHING_HELD", "HoldLevel", "SpendHolds"]

_NO_USD = Decimal(0)
_ROOM = Decimal("1.125")
_NEARLY = Decimal("0.95")
_IDLE = Decimal("0.7")
_FEW = 2
_REVIEW_AFTER = 32  # requests
_NOT_SYNCED = Delay()


class HoldLevel(NamedTuple):
    """What a hold covers; `bounded` says whether all requests under it have a bound, so that `usd` is one."""

    requests: int
    usd: Decimal
    bounded: bool = True


NOTHING_HELD = HoldLevel(0, _NO_USD)


class SpendHolds:
    """A policy of the gate. `write` records a hold of a level, and gives the record's number.

    Records are numbered from 1 in the order of the journal. The recorder calls `synced` with the number of the last
    record on disk, and then has the gate check again.
    """

    def __init__(self, write: Callable[[HoldLevel], int]) -> None:
        self._write = write
        self._requests = self._max_requests = 0
        self._usd = self._max_usd = _NO_USD
        self._bounded = True
        self._released = 0
        self._hold(NOTHING_HELD)
        self._raising: tuple[int, HoldLevel] | None = None
        self._unsynced: deque[tuple[int, Decimal]] = deque()

    def check(self, now: float, max_usage: MaxUsage) -> Decision:  # noqa: ARG002
        usd, level = max_usage.cost_usd, self._level
        if usd is None:
            if self._requests < level.requests and not level.bounded:
                return ADMIT
            self._bounded = False
        elif self._requests < level.requests and self._usd + usd <= level.usd:
            return ADMIT
        self._raise_for(usd or _NO_USD)
        return _NOT_SYNCED

    def acquire(self, now: float, max_usage: MaxUsage) -> None:  # noqa: ARG002
        usd = max_usage.cost_usd or _NO_USD
        self._requests += 1
        self._usd += usd
        # Once a request, and `max` takes three times as long.
        if self._requests > self._max_requests:  # noqa: PLR1730
            self._max_requests = self._requests
        if self._usd > self._max_usd:  # noqa: PLR1730
            self._max_usd = self._usd
        if self._requests > self._nearly_requests or self._usd > self._nearly_usd:
            self._raise_for(usd)

    def release(self, now: float, max_usage: MaxUsage, attempt: Attempt | None, record: int | None = None) -> None:  # noqa: ARG002
        usd = max_usage.cost_usd or _NO_USD
        if record is None:
            self._release(usd)
        else:
            self._unsynced.append((record, usd))

    def synced(self, record: int) -> None:
        """All records up to the one of this number are on disk."""
        if self._raising is not None and self._raising[0] <= record:
            self._hold(self._raising[1])
            self._raising = None
        while self._unsynced and self._unsynced[0][0] <= record:
            self._release(self._unsynced.popleft()[1])
        if self._released >= _REVIEW_AFTER and self._raising is None:
            self._released = 0
            level = self._level
            if self._max_usd < level.usd * _IDLE or self._max_requests < level.requests * _IDLE:
                # It holds from here on, before it is synced: once it is, it is what a reader goes by. So no part of it
                # may be higher than before, though only the other was idle.
                lowered = HoldLevel(
                    min(level.requests, _with_room(self._max_requests)),
                    min(level.usd, self._max_usd * _ROOM),
                    level.bounded,
                )
                if lowered != level:
                    self._hold(lowered)
                    self._write(lowered)
            self._max_requests, self._max_usd = self._requests, self._usd

    def repeat(self) -> None:
        """Write the current hold again, to record what is noted with it."""
        self._write(self._level if self._raising is None else self._raising[1])

    def _hold(self, level: HoldLevel) -> None:
        """`level` holds from here on; it is to be raised where a little less is used."""
        self._level = level
        self._nearly_requests, self._nearly_usd = int(level.requests * _NEARLY), level.usd * _NEARLY

    def _release(self, usd: Decimal) -> None:
        self._requests -= 1
        self._usd -= usd
        self._released += 1

    def _raise_for(self, usd: Decimal) -> None:
        if self._raising is None:
            requests, total_usd, before = self._requests + 1, self._usd + usd, self._level
            # Neither is lowered: until this is synced requests go by the level before.
            level = HoldLevel(
                max(_with_room(requests), requests + _FEW, before.requests),
                max(total_usd * _ROOM, total_usd + usd * _FEW, before.usd),
                self._bounded,
            )
            self._raising = (self._write(level), level)


def _with_room(requests: int) -> int:
    return int(requests * _ROOM) + 1
