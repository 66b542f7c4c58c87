"""Amends finished rows before a resume sends anything: answers taken over under a new id, and new passthrough columns.

Nothing is paid for it. After a kill in the middle the next resume amends the others: an answer that must give way to
another before it is taken is first recorded under a key that no input row has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from batchchat.core.conversation import BadRow, Key, Status
from batchchat.execution.recorder import Recorder
from batchchat.execution.reuse import FreeAnswers, wants_answer
from batchchat.execution.tasks import RowTask
from batchchat.store.amendments import amendment
from batchchat.store.ledger import Ledger

__all__ = ["Amended", "amend"]

_ROWS_A_TURN = 200
_KEPT = {Status.ANSWERED.value, Status.FAILED.value}


@dataclass(frozen=True, slots=True)
class Amended:
    """How many rows took over an answer, and how many others have new values in their passthrough columns."""

    taken_over: int = 0
    refreshed: int = 0


async def amend(
    tasks: Iterator[RowTask | BadRow],
    ledger: Ledger,
    free: FreeAnswers,
    recorder: Recorder,
    stopped: Callable[[], bool] = lambda: False,
) -> Amended:
    """Record the amendments of all rows of the input, or of those before it is `stopped`."""
    amender, index = _Amender(ledger, free, recorder), ledger.index
    for number, task in enumerate(tasks, 1):
        if number % _ROWS_A_TURN == 0:
            await recorder.room()
            await asyncio.sleep(0)
            if stopped():
                break
        if isinstance(task, BadRow) or (entry := task.entry) is None:
            continue
        status = index.status(entry)
        if wants_answer(index, entry, task.script.identity):
            source = free.take(task.script.identity)
            if source is not None:
                amender.give(task, entry, source)
                continue
        if status in _KEPT and index.has_other_passthrough(entry, task.row.passthrough):
            amender.renew(task, entry)
    await recorder.settled()
    return Amended(amender.taken_over, amender.refreshed)


class _Amender:
    """Records the amendments of single rows."""

    def __init__(self, ledger: Ledger, free: FreeAnswers, recorder: Recorder) -> None:
        self._ledger = ledger
        self._free = free
        self._recorder = recorder
        self._set_aside: dict[int, tuple[Key, int]] = {}
        """Of entries whose answer was set aside: under which key, and where its `row` record is."""
        self.taken_over = self.refreshed = 0

    def give(self, task: RowTask, entry: int, source: int) -> None:
        """Give the answer of the entry `source` to the row of `task`, which has `entry`."""
        if self._free.is_free(entry):
            self._set_answer_aside(entry)
        set_aside = source in self._set_aside
        key, offset = self._set_aside.pop(source) if set_aside else self._ledger.locate(source)
        self._record(task, task.script.identity, key, offset)
        self.taken_over += 1

    def renew(self, task: RowTask, entry: int) -> None:
        """Give the finished row of `task` the passthrough columns that the input has now."""
        key, offset = self._ledger.locate(entry)
        self._record(task, self._ledger.index.fingerprint(entry), key, offset)
        self.refreshed += 1

    def _set_answer_aside(self, entry: int) -> None:
        """Keep the answer of `entry`, which another row wants, from being replaced by the one that it takes over."""
        key, offset = self._ledger.locate(entry)
        aside = Key(key.id, f"set aside {offset}", key.sample)
        row = self._ledger.read(entry)
        self._recorder.keep(
            amendment(
                aside,
                self._ledger.index.fingerprint(entry),
                of=key,
                row=offset,
                place=row["place"],
                ordinal=row["ordinal"],
                passthrough=row.get("carried", {}),
            )
        )
        self._set_aside[entry] = aside, offset

    def _record(self, task: RowTask, fingerprint: int, of: Key, offset: int) -> None:
        row = task.row
        self._recorder.keep(
            amendment(
                row.key,
                fingerprint,
                of=of,
                row=offset,
                place=row.location,
                ordinal=row.ordinal,
                passthrough=row.passthrough,
            )
        )
