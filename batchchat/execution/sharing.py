"""Gives rows the answer of an earlier row with an equal request, for nothing; a failure is shared too.

Where the earlier row is finished the answer is shared as soon as the row is read; else the row waits for the end of the
run, which reads the input once more. That costs less than to keep the rows that wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from batchchat.core.attempt import NO_SPEND
from batchchat.core.conversation import BadRow
from batchchat.core.record import RowRecord, add_spend, record_head
from batchchat.core.totals import SHARED
from batchchat.execution.recorder import Recorder
from batchchat.execution.tasks import RowTask
from batchchat.store.ledger import Ledger

__all__ = ["share_answers", "shared_record"]

_ROWS_A_TURN = 200
_COPIED = ("endpoint", "reply", "http_status", "error_kind", "error", "raw", "parse_repaired", "mock")


async def share_answers(
    tasks: Iterator[RowTask | BadRow], ledger: Ledger, recorder: Recorder, stopped: Callable[[], bool]
) -> None:
    """Record the rows that share an answer which there is by now, until that is `stopped`."""
    for number, task in enumerate(tasks, 1):
        if number % _ROWS_A_TURN == 0:
            await recorder.room()
            await asyncio.sleep(0)
            if stopped():
                break
        if not isinstance(task, BadRow) and (record := shared_record(task, ledger)) is not None:
            recorder.keep(record)
    await recorder.settled()


def shared_record(task: RowTask, ledger: Ledger) -> RowRecord | None:
    """The record of the row of `task` with the answer that it shares; None while there is none.

    Where the row that is shared from is sent in this run, only an answer of this run counts.
    """
    if (shared := task.shared) is None:
        return None
    index, source, since = ledger.index, shared.entry, ledger.runs[-1][0]
    if task.entry is not None and index.was_finished_since(task.entry, since):
        return None  # shared already
    if not index.status(source) or index.fingerprint(source) != task.script.identity:
        return None
    if shared.sends and not index.was_finished_since(source, since):
        return None
    record = _copy(ledger.read(source), task)
    spend = ledger.spend_before(task.row.key)
    if spend != NO_SPEND:  # the row was sent before it shared
        add_spend(record, spend)
    return record


def _copy(answer: RowRecord, task: RowTask) -> RowRecord:
    row = task.row
    record: RowRecord = {
        **record_head("row", row.key, task.script.identity),
        "place": row.location,
        "ordinal": row.ordinal,
        "status": answer["status"],
        "model": answer["model"],
        "messages": answer["messages"],
        "attempts": 0,
        "possibly_billed": 0,
        "cost_usd": 0.0,
        "cost_source": SHARED,
    }
    for name in _COPIED:
        if name in answer:
            record[name] = answer[name]  # type: ignore[literal-required]
    if row.passthrough:
        record["carried"] = row.passthrough
    return record
