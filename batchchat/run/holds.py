"""What is sent and not yet in the journal never passes what the journal's last `hold` says, in USD.

That is what makes a budget hold over `kill -9`: whoever reads the journal next counts its records and, for what they
do not know of, the last hold. So a hold must be synced before what it covers is sent, and a request is covered until
the record that tells of it is synced.

A hold is a level, not a sum: it stands until the next one, whatever comes and goes under it. It is raised to an eighth
more than is needed (two requests more at the least), before it is needed, so that few requests wait for a sync; and
lowered when for a while no more than two thirds of it were used. What a kill costs the budget is therefore about what
was in flight, not more, and a line is written when that has changed, not for each request. All is at the job's price;
the ratio to what is really billed is noted beside it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from decimal import Decimal

from batchchat.exchange import Ask, Billed, Exchange
from batchchat.policy.decision import GO, Decision, Wait

__all__ = ["Holds"]

_NO_USD = Decimal(0)
_ROOM = Decimal("1.125")
_NEARLY = Decimal("0.95")
_IDLE = Decimal("0.7")
_FEW = 2
_A_WHILE = 32  # requests settled
_NOT_SYNCED = Wait()


class Holds:
    """A policy of the gate. `write` appends a hold of so many USD; `appended` counts the journal's records so far.

    Whoever syncs the journal calls `synced` with the number of its records, and then has the gate ask again.
    """

    def __init__(self, write: Callable[[Decimal], None], appended: Callable[[], int]) -> None:
        self._write = write
        self._appended = appended
        self._outstanding = _NO_USD
        self._peak = _NO_USD
        self._settled = 0
        self._level = _NO_USD
        self._raising: tuple[int, Decimal] | None = None
        self._unsynced: deque[tuple[int, Decimal]] = deque()

    def admit(self, now: float, ask: Ask) -> Decision:  # noqa: ARG002
        most = ask.cost_usd or _NO_USD
        if self._outstanding + most <= self._level:
            return GO
        self._raise_for(most)
        return _NOT_SYNCED

    def hold(self, now: float, ask: Ask) -> None:  # noqa: ARG002
        most = ask.cost_usd or _NO_USD
        self._outstanding += most
        self._peak = max(self._peak, self._outstanding)
        if self._outstanding > self._level * _NEARLY:
            self._raise_for(most)

    def settle(self, now: float, ask: Ask, exchange: Exchange | None) -> None:  # noqa: ARG002
        most = ask.cost_usd or _NO_USD
        if exchange is not None and exchange.verdict.billed is Billed.NO and exchange.cost is None:
            self._outstanding -= most
            self._settled += 1
            return
        # The record that tells of it is appended next, before anything else is; for one that was cut off it just was.
        self._unsynced.append((self._appended() + 1, most))

    def synced(self, records: int) -> None:
        """The first `records` of the journal are on disk."""
        if self._raising is not None and self._raising[0] <= records:
            self._level, self._raising = self._raising[1], None
        while self._unsynced and self._unsynced[0][0] <= records:
            self._outstanding -= self._unsynced.popleft()[1]
            self._settled += 1
        if self._settled >= _A_WHILE and self._raising is None:
            self._settled = 0
            if self._peak < self._level * _IDLE:
                # It holds from here on, before it is synced: once it is, it is what a reader goes by.
                self._level = self._peak * _ROOM
                self._write(self._level)
            self._peak = self._outstanding

    def _raise_for(self, most: Decimal) -> None:
        if self._raising is None:
            need = self._outstanding + most
            level = max(need * _ROOM, need + most * _FEW)
            self._write(level)
            self._raising = (self._appended(), level)
