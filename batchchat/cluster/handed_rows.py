"""The rows of a worker, which the run hands it as it asks for them."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from batchchat.cluster.assignment import RowsHanded, RowsWanted
from batchchat.cluster.handed_row import unpacked
from batchchat.dispatch.work import Work
from batchchat.execution.tasks import Scripts

__all__ = ["HandedRows"]

_MAX_AHEAD = 256
_MAX_BYTES_AHEAD = 1 << 20
_AHEAD_S = 2.0
"""A worker that is much slower than the others keeps the run waiting at its end by about so long."""
_MIN_ELAPSED_S = 0.001


class _Pace:
    """How fast rows are taken: `ahead` is how many of them from one ask to the next, in as long as `_AHEAD_S`."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._asked_at: float | None = None
        self._taken = 0
        self.ahead = 0

    def measure(self, taken: int) -> None:
        """Rows are asked for now that so many were `taken`."""
        now = self._clock()
        if self._asked_at is not None:
            elapsed_s = max(now - self._asked_at, _MIN_ELAPSED_S)
            self.ahead = int((taken - self._taken) / elapsed_s * _AHEAD_S)
        self._asked_at, self._taken = now, taken


class HandedRows:
    """Gives the rows that the run hands over, with scripts of `scripts`; `ask` asks it for more.

    Rows that `refused` has ended are not given: they have had all their attempts, at workers that are gone.

    It has rows ahead, which nobody waits for, as many as it takes in two seconds: answers often come together, and the
    next requests must not wait for the run; and one message of many rows costs both less than many. Near the end of the
    input the run allows fewer.
    """

    def __init__(
        self,
        scripts: Scripts,
        ask: Callable[[RowsWanted], None],
        refused: Callable[[Work], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._scripts = scripts
        self._refused = refused
        self._ask = ask
        self._rows: deque[bytes] = deque()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._pace = _Pace(clock)
        self._max_ahead = _MAX_AHEAD
        self._bytes = 0
        """Of the rows that are here."""
        self._is_asked = self._is_due = False
        self._is_last = False
        """Whether the run has no more for this worker."""
        self._is_ended = False
        self.taken = self.kept = 0

    async def take(self, stopped: Callable[[], bool]) -> Work | None:
        while not stopped():
            if not self._rows:
                if self._is_last or self._is_ended:
                    return None
                await self._next()
                continue
            data = self._rows.popleft()
            work = unpacked(data, self._scripts)
            self._bytes -= len(data)
            self.taken += 1
            self._ask_soon()
            if not self._refused(work):
                return work
            self.kept += 1
        return None

    async def at_end(self) -> bool:
        while not self._rows and not self._is_last:
            if self._is_ended:
                return False
            await self._next()
        return not self._rows

    def total(self) -> tuple[int | None, bool]:
        """The run knows it."""
        return None, True

    def hear(self, handed: RowsHanded) -> None:
        """Take in what the run has handed over."""
        self._is_asked = False
        self._max_ahead = _MAX_AHEAD if handed.max_ahead is None else min(handed.max_ahead, _MAX_AHEAD)
        self._rows += handed.rows
        self._bytes += sum(map(len, handed.rows))
        self._is_last = handed.is_last
        self._wake(len(self._waiting) if self._is_last else len(handed.rows))
        self._ask_soon()

    def end(self) -> None:
        """The run hands nothing over any more."""
        self._is_ended = True
        self.wake()

    def wake(self) -> None:
        self._wake(len(self._waiting))

    async def _next(self) -> None:
        """Wait for a row, or that there is none."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._ask_soon()
        await waiter

    def _wake(self, count: int) -> None:
        while count and self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                count -= 1

    def _ask_soon(self) -> None:
        """Ask once all who wait by now are counted, if there is need to."""
        if not self._is_due and self._lacks():
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._ask_now)

    def _ask_now(self) -> None:
        self._is_due = False
        if self._lacks():
            self._is_asked = True
            self._pace.measure(self.taken)
            present, waiting = len(self._rows), len(self._waiting)
            needed, spare = max(waiting - present, 0), max(present - waiting, 0)
            self._ask(RowsWanted(needed, max(self._ahead - spare, 0), spare))

    @property
    def _ahead(self) -> int:
        """How many rows may be here that nobody waits for."""
        return min(self._pace.ahead, self._max_ahead) if self._bytes < _MAX_BYTES_AHEAD else 0

    def _lacks(self) -> bool:
        """Whether to ask now: not before half of the rows ahead are taken."""
        if self._is_asked or self._is_last or self._is_ended:
            return False
        return len(self._rows) < max(len(self._waiting), (self._ahead + 1) // 2)
