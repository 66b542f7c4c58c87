"""What is sent and not yet in the journal never passes what the journal's last `acquire` says, in requests and in USD.

That is what makes a budget hold over `kill -9`: whoever reads the journal next counts its records and, for what they
do not know of, the last hold. So a hold must be synced before what it covers is sent, and a request is covered until
the record that tells of it is synced. It is kept without a budget as well, since one may be set after the kill.

A hold is a level, not a sum: it stands until the next one, whatever comes and goes under it. It is raised to an eighth
more than is needed (two requests more at the least), before it is needed, so that few requests wait for a sync; and
lowered when for a while no more than two thirds of it were used. What a kill costs the budget is therefore about what
was in flight, not more, and a line is written when that has changed, not for each request. All is at the job's price;
the ratio to what is really billed is noted beside it. Once a request without a bound is sent, a hold has none either.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

from batchchat.core.attempt import Attempt, Billed, MaxUsage
from batchchat.policy.decision import ADMIT, Decision, Delay

__all__ = ["NOTHING_HELD", "HoldLevel", "SpendHolds"]

_NO_USD = Decimal(0)
_ROOM = Decimal("1.125")
_NEARLY = Decimal("0.95")
_IDLE = Decimal("0.7")
_FEW = 2
_A_WHILE = 32  # requests settled
_NOT_SYNCED = Delay()


class HoldLevel(NamedTuple):
    """What a hold covers; `bounded` says whether all requests under it have a bound, so that `usd` is one."""

    requests: int
    usd: Decimal
    bounded: bool = True


NOTHING_HELD = HoldLevel(0, _NO_USD)


class SpendHolds:
    """A policy of the gate. `write` appends a hold of a level; `appended` counts the journal's records so far.

    Whoever syncs the journal calls `synced` with the number of its records, and then has the gate ask again.
    """

    def __init__(self, write: Callable[[HoldLevel], None], appended: Callable[[], int]) -> None:
        self._write = write
        self._appended = appended
        self._requests = self._most_requests = 0
        self._usd = self._most_usd = _NO_USD
        self._bounded = True
        self._settled = 0
        self._level = NOTHING_HELD
        self._raising: tuple[int, HoldLevel] | None = None
        self._unsynced: deque[tuple[int, Decimal]] = deque()

    def check(self, now: float, max_usage: MaxUsage) -> Decision:  # noqa: ARG002
        most, level = max_usage.cost_usd, self._level
        if most is None:
            if self._requests < level.requests and not level.bounded:
                return ADMIT
            self._bounded = False
        elif self._requests < level.requests and self._usd + most <= level.usd:
            return ADMIT
        self._raise_for(most or _NO_USD)
        return _NOT_SYNCED

    def acquire(self, now: float, max_usage: MaxUsage) -> None:  # noqa: ARG002
        most = max_usage.cost_usd or _NO_USD
        self._requests += 1
        self._usd += most
        self._most_requests = max(self._most_requests, self._requests)
        self._most_usd = max(self._most_usd, self._usd)
        if self._requests > self._level.requests * _NEARLY or self._usd > self._level.usd * _NEARLY:
            self._raise_for(most)

    def release(self, now: float, max_usage: MaxUsage, attempt: Attempt | None) -> None:  # noqa: ARG002
        most = max_usage.cost_usd or _NO_USD
        if attempt is not None and attempt.verdict.billed is Billed.NO and attempt.cost is None:
            self._release(most)
            return
        # The record that tells of it is appended next, before anything else is; for one that was cut off it just was.
        self._unsynced.append((self._appended() + 1, most))

    def synced(self, records: int) -> None:
        """The first `records` of the journal are on disk."""
        if self._raising is not None and self._raising[0] <= records:
            self._level, self._raising = self._raising[1], None
        while self._unsynced and self._unsynced[0][0] <= records:
            self._release(self._unsynced.popleft()[1])
        if self._settled >= _A_WHILE and self._raising is None:
            self._settled = 0
            level = self._level
            if self._most_usd < level.usd * _IDLE or self._most_requests < level.requests * _IDLE:
                # It holds from here on, before it is synced: once it is, it is what a reader goes by.
                self._level = HoldLevel(_with_room(self._most_requests), self._most_usd * _ROOM, self._bounded)
                if self._level != level:
                    self._write(self._level)
            self._most_requests, self._most_usd = self._requests, self._usd

    def note(self) -> None:
        """Write the hold there is once more, for what is noted beside it."""
        self._write(self._level if self._raising is None else self._raising[1])

    def _release(self, most: Decimal) -> None:
        self._requests -= 1
        self._usd -= most
        self._settled += 1

    def _raise_for(self, most: Decimal) -> None:
        if self._raising is None:
            requests, usd, before = self._requests + 1, self._usd + most, self._level
            # Neither is lowered: until this is synced requests go by the level before.
            level = HoldLevel(
                max(_with_room(requests), requests + _FEW, before.requests),
                max(usd * _ROOM, usd + most * _FEW, before.usd),
                self._bounded,
            )
            self._write(level)
            self._raising = (self._appended(), level)


def _with_room(requests: int) -> int:
    return int(requests * _ROOM) + 1
