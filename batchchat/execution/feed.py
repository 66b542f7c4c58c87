"""Supplies the dispatcher with the rows to send, one after the other.

Bad rows, rows that can't fit their model's context, and rows whose attempts in earlier runs have reached a limit are
recorded on the way. The event loop gets its turn every few milliseconds: a million kept rows must not hold up the
replies that are on their way, nor a signal.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from batchchat.core.attempt import NO_SPEND, Attempt, Spend
from batchchat.core.conversation import BadRow, Key
from batchchat.core.record import RowRecord
from batchchat.core.row_history import AcceptedReply, RowHistory
from batchchat.dispatch.work import Work
from batchchat.execution.disposition import Disposition
from batchchat.execution.input_total import InputTotal
from batchchat.execution.tasks import RowTask, new_record_of_bad_row
from batchchat.execution.unsendable import UnsendableRows
from batchchat.store.ledger import Ledger

if TYPE_CHECKING:
    from batchchat.core.unanswered_rows import UnansweredRows

__all__ = ["Feed"]

_TURN_S = 0.02
"""How long rows are passed over before the event loop runs again."""
_STORE_POLL_S = 0.02
"""How often it is looked whether a store has sent the next rows."""


def _never() -> bool:
    return False


class _Turns:
    """When the event loop is to run again, and the pause in which it does."""

    def __init__(self) -> None:
        self._end = 0.0
        self._pausing = asyncio.Lock()

    @property
    def is_pausing(self) -> bool:
        """Whether another worker waits for the loop."""
        return self._pausing.locked()

    @property
    def is_over(self) -> bool:
        """Whether this turn has lasted long enough."""
        return time.monotonic() >= self._end

    async def pause(self, stopped: Callable[[], bool] = _never) -> bool:
        """Let the event loop run; whether to go on. Of several workers one at a time does, with a turn between each."""
        async with self._pausing:
            await asyncio.sleep(0)
        self._end = time.monotonic() + _TURN_S
        return not stopped()


class _RowsRead:
    """How many rows of the input were read, and how many of them are good, those that `unanswered` passes over too."""

    def __init__(self, unanswered: UnansweredRows | None) -> None:
        self._unanswered = unanswered
        self.taken = self.good_taken = 0

    @property
    def rows(self) -> int:
        """All of them."""
        return self.taken + self._passed_over

    @property
    def good_rows(self) -> int:
        """Those that are not invalid."""
        return self.good_taken + self._passed_over

    @property
    def _passed_over(self) -> int:
        return 0 if self._unanswered is None else self._unanswered.passed_over


class Feed:
    """Takes rows from `tasks`, at most `limit` (None: all); `keep` is given the records of those that are not sent.

    `kept` counts the rows that were finished without being sent; `unshared` those that share an answer which there was
    not yet when they were read. Where only `unanswered` rows are in tasks, those that these pass over count as read.
    """

    def __init__(
        self,
        tasks: Iterator[RowTask | BadRow],
        ledger: Ledger,
        keep: Callable[[RowRecord], object],
        total: InputTotal,
        *,
        limit: int | None = None,
        unsendable: UnsendableRows | None,
        unanswered: UnansweredRows | None = None,
    ) -> None:
        self._tasks = tasks
        self._ledger = ledger
        self._keep = keep
        self._limit = limit
        self._total = total
        self._unsendable = unsendable
        self._broken = False
        self._turns = _Turns()
        self._read = _RowsRead(unanswered)
        self.taken = 0
        self.kept = 0
        self.exhausted = False
        self.unshared = 0
        self.first_bad: str | None = None

    @property
    def rows_read(self) -> int:
        """How many rows of the input were read."""
        return self._read.rows

    @property
    def good_rows(self) -> int:
        """How many of these are not invalid."""
        return self._read.good_rows

    @property
    def is_waiting(self) -> bool:
        """Whether the next row is still on its way from a store."""
        return self._total.is_waiting

    @property
    def is_at_end(self) -> bool:
        """Whether no row is left to take, by the input or by the limit."""
        return self.exhausted or self._limit == 0

    def left_to_take(self) -> int | None:
        """About how many rows are left, at most; None where that is not known."""
        total, _ = self.total()
        left = None if total is None else max(0, total - self.rows_read)
        return min((bound for bound in (left, self._limit) if bound is not None), default=None)

    def extent(self) -> tuple[Callable[[], int], int]:
        """How much of the input was read, and all of it: in rows where their number is known by now, else in bytes."""
        rows, is_estimate = self.total()
        if rows is not None and not is_estimate:
            return lambda: self.rows_read, rows
        return lambda: self._total.bytes_read, self._total.bytes_total

    async def take(self, stopped: Callable[[], bool] = _never) -> Work | None:
        """The next row to send, or None at the input's end, at the limit, or where the search for one is `stopped`."""
        if self._turns.is_pausing and not await self._turns.pause(stopped):
            return None
        while self._limit != 0:
            if self._total.is_waiting:  # a read would hold up the answers that come in meanwhile
                if stopped():
                    return None
                await asyncio.sleep(_STORE_POLL_S)
                continue
            # No await between reading a row and returning it: several workers call this at once.
            try:
                task = next(self._tasks, None)
            except BaseException:
                self._broken = True  # the next `take` returns None, although the input is not at its end
                raise
            if task is None:
                if not self._broken:
                    self.exhausted, self._total.counted = True, self.rows_read
                return None
            self._read.taken += 1
            if (work := self._work_of(task)) is not None:
                return work
            if self._turns.is_over and not await self._turns.pause(stopped):
                return None
        return None

    def _work_of(self, task: RowTask | BadRow) -> Work | None:
        """What is to be sent for `task`; None where nothing is, which is recorded."""
        if isinstance(task, BadRow):
            self._keep_bad(task)
            return None
        self._read.good_taken += 1
        if self._shared(task) or (task.shared is None and not task.disposition.sends):
            return None
        work = self._prepared(task)
        self.taken += 1
        if self._refused(work):
            return None
        if self._limit is not None:
            self._limit -= 1
        return work

    def again(self, work: Work) -> Work:
        """The row of `work` once more, after what its sender, which is gone, has recorded of it.

        That may leave it no attempt. Who is to send it ends it then: in the journal that must be behind its attempts.
        """
        script = work.script
        disposition = Disposition.SEND_FAILED if work.history.failed else Disposition.SEND_AGAIN
        return self._prepared(RowTask(script.row, script, disposition, None))

    def writer_ended(self, writer: int) -> None:
        """One of the journal's writers is gone: what it was sending may have been billed."""
        self._ledger.unfinished.end_writer(writer)

    def accepted(self, work: Work) -> list[AcceptedReply]:
        """The replies to those requests of `work` that earlier runs, or senders which are gone, had accepted."""
        if not work.attempts:
            return []
        return self._ledger.accepted_replies(work.script.row.key, work.script.identity, work.history)

    def _prepared(self, task: RowTask) -> Work:
        """The work of `task`, with what earlier attempts at it have come to."""
        ledger = self._ledger
        history = ledger.unfinished.history(task.row.key, task.script.identity)
        answered = self._answered(task, history)
        sent_before = ledger.pending_spend or task.disposition is not Disposition.SEND_NEW
        spend = self._spend(task.row.key, answered) if sent_before else NO_SPEND
        if task.disposition is Disposition.SEND_FAILED:
            history = replace(history, failed=True)
        return Work(task.script, time.monotonic(), spend, history, attempts=answered)

    def _keep_bad(self, row: BadRow) -> None:
        self.first_bad = self.first_bad or f"{row.location}: {row.error}"
        if (record := new_record_of_bad_row(row, self._ledger.index)) is not None:
            self._put(record)

    def _put(self, record: RowRecord) -> None:
        self.kept += 1
        self._keep(record)

    def _answered(self, task: RowTask, history: RowHistory) -> list[Attempt]:
        """The requests of the row that were accepted in earlier runs: it goes on with the one after them."""
        if not history.accepted and task.disposition is not Disposition.SEND_FAILED:
            return []
        from batchchat.script.replay import replayed

        script = task.script
        return replayed(script, self._ledger.accepted_replies(task.row.key, script.identity, history))

    def _spend(self, key: Key, answered: list[Attempt]) -> Spend:
        """What earlier runs used up for the row of `key`; of its usage that of the requests `answered`, if any."""
        spend = self._ledger.spend_before(key)
        if answered:
            spend = spend._replace(usage=None)
        for attempt in answered:
            spend = spend.with_next_request(attempt.usage)
        return spend

    def _shared(self, task: RowTask) -> bool:
        """True if the row has the answer of another row, or waits for it; where that is gone the row is sent."""
        if task.shared is None:
            return False
        from batchchat.execution.sharing import shared_record

        if (record := shared_record(task, self._ledger)) is not None:
            self._put(record)
            self.taken += 1
            return True
        self.unshared += task.shared.sends
        return task.shared.sends

    def _refused(self, work: Work) -> bool:
        """True if the row can't be sent; it is then recorded as failed."""
        record = None if self._unsendable is None else self._unsendable.record_of(work)
        if record is None:
            return False
        self._put(record)
        return True

    def wake(self) -> None:
        """Nobody waits for long without a look at whether it is stopped."""

    async def at_end(self) -> bool:
        """True if no row is left to take. It takes the next row to find out, so nothing may be taken afterwards."""
        return self._limit == 0 or await self.take() is None

    async def count_rest(self, within_s: float) -> None:
        """Count the rows that were not taken, so that it is known how many are left. Gives up after `within_s`."""
        if self.exhausted or self._broken or self._total.is_counted:
            return
        deadline, more = time.monotonic() + within_s, 0
        for more, _task in enumerate(self._tasks, 1):
            if self._turns.is_over:
                await self._turns.pause()
                if time.monotonic() > deadline:
                    self._total.at_least = self.rows_read + more
                    return
        self._total.counted = self.rows_read + more

    def total(self) -> tuple[int | None, bool]:
        """Rows of the input, and whether that is an estimate from the bytes read so far."""
        return self._total.rows(self.rows_read)
