"""A worker: a process that sends the rows that the run hands it, and writes what comes of them in segments of its own.

    python -m batchchat.cluster.worker FD

FD is a socket that leads to the run, which says what to do. The worker ends when its rows are done, when it is told to,
or when the run is gone: then it sends nothing more, keeps what is in flight, and leaves. Signals are the run's to act
on: those of a terminal reach all of its processes, and a worker that obeyed them would not drain.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import traceback
from collections.abc import Iterable
from functools import partial
from typing import Any

from batchchat.cluster.assignment import (
    Assignment,
    EndReceived,
    ModelsListed,
    RowsHanded,
    Signalled,
    Stopped,
    Synced,
    WorkerDefect,
    WorkerEnd,
)
from batchchat.cluster.channel import Channel
from batchchat.cluster.handed_rows import HandedRows
from batchchat.cluster.leased import Leased, leased_by_worker
from batchchat.cluster.messages import Ask, Grant
from batchchat.cluster.spent import NOTHING_SPENT, Spent
from batchchat.core.conversation import Status
from batchchat.core.events import Event, Progress
from batchchat.dispatch.work import Work
from batchchat.errors import BatchchatError
from batchchat.execution import wiring
from batchchat.execution.context import RunContext, RunOptions
from batchchat.execution.event_loop import event_loop
from batchchat.execution.exit_reason import RunLoopResult
from batchchat.execution.recorder import Apply, Recorder
from batchchat.execution.row_sender import RowSender
from batchchat.execution.send_plan import SendTerms
from batchchat.execution.signals import HANDLED, Signals
from batchchat.execution.subscribers import Subscribers
from batchchat.execution.unsendable import UnsendableRows
from batchchat.policy.decision import Halt
from batchchat.store.journal import Journal
from batchchat.store.ledger import Ledger
from batchchat.store.segment_file import ResumePoint
from batchchat.store.segments import Scan

__all__ = ["main"]

_RECORDS_A_TURN = 2000
_FAILED = Status.FAILED.value
_WHERE = "the last by a worker that died"
_MAX_BACKLOG_BYTES = 1 << 20
"""A run that takes no messages, as while it is suspended, is told no more of the progress."""


class Worker:
    """Sends the rows of `assignment`; `run` is called once."""

    def __init__(self, channel: Channel, assignment: Assignment) -> None:
        self._channel = channel
        self._assignment = assignment
        self._signals = Signals(())
        self._environ = os.environ if assignment.environ is None else assignment.environ
        self._redactor = wiring.redactor_for(assignment.job, self._environ)
        self._leased: Leased | None = None
        self._halt: Halt | None = None
        self._rows: HandedRows | None = None
        self._has_list = assignment.rates.has_list
        self._location = self._reported_location = 0
        """Of the last record that is synced, and of the last one that the run was told of."""

    async def run(self) -> None:
        """Send the rows, and tell the run how that ended; return when it knows, or is gone."""
        listening = asyncio.create_task(self._listen())
        end = await self._ended()
        self._tell_synced()
        self._channel.send(end)
        await listening

    async def _ended(self) -> WorkerEnd | WorkerDefect:
        """Send the rows; how that ended."""
        try:
            return await self._send()
        except BatchchatError as error:
            return WorkerEnd(error=error)
        except Exception:  # noqa: BLE001 (the run says it, as a defect of its own)
            return WorkerDefect(self._redactor.redact(traceback.format_exc()))

    async def _listen(self) -> None:
        """Do what the run says, until it knows of the end, or is gone: that is a signal to end."""
        while (message := await self._channel.receive()) is not None:
            if isinstance(message, EndReceived):
                return
            if isinstance(message, Grant):
                if self._leased is not None:
                    self._leased.hear(message)
            elif isinstance(message, RowsHanded):
                if self._rows is not None:
                    self._rows.hear(message)
            elif isinstance(message, Signalled):
                self._signals.receive(message.number)
                self._end_rows()
            elif isinstance(message, Stopped):
                self._halt = message.halt
                if self._leased is not None:
                    self._leased.stop(message.halt)
                self._end_rows()
        self._signals.receive(signal.SIGTERM)
        self._end_rows()

    def _end_rows(self) -> None:
        """Take no more of the rows that were handed over."""
        if self._rows is not None:
            self._rows.end()

    async def _send(self) -> WorkerEnd:
        assignment = self._assignment
        job, rates, environ = assignment.job, assignment.rates, self._environ
        ledger = Ledger(assignment.folder)
        ledger.totals = assignment.totals
        ledger.answered_models.setdefault(job.host, set()).update(assignment.answered_models)
        self._leased = leased_by_worker(assignment, await self._spent(), self._ask)
        if self._halt is not None:
            self._leased.stop(self._halt)
        options = RunOptions(lambda _: None, None)
        context = RunContext(job, options, environ, environ, self._signals, self._redactor, Subscribers([self._tell]))
        terms = SendTerms(ledger, rates, stop_at=assignment.stop_at)
        recorders = list[Recorder]()

        def open_recorder(apply: Apply, max_unsynced: int) -> Recorder:
            point = ResumePoint(apart=True, shared=True)
            journal, members = partial(Journal, assignment.folder, point), assignment.mark.members
            recorder = Recorder(
                journal, self._noting(apply), max_unsynced=max_unsynced, mock=job.is_mock, writer=members
            )
            recorders.append(recorder)
            return recorder

        result = RunLoopResult()
        try:
            async with wiring.senders_for(job, rates, environ, self._redactor) as senders:
                try:
                    sender = RowSender(context, terms, senders, open_recorder, leased=self._leased)
                    self._rows = HandedRows(sender.scripts, self._channel.send, partial(self._refused, sender))
                    if self._signals.received is not None or self._halt is not None:
                        self._end_rows()
                    await sender.send(self._rows, result)
                finally:
                    unwritten = [recorder.close() for recorder in recorders]
                result.error = result.error or next((error for error in unwritten if error is not None), None)
        finally:
            self._leased.end()
            ledger.close()
        return WorkerEnd(result.stop, result.error, result.cancelled)

    def _refused(self, sender: RowSender, work: Work) -> bool:
        """Whether a row has no attempt left after what workers that are gone have recorded of it; it is ended then."""
        if not work.history.billed:
            return False
        limits = UnsendableRows(None, wiring.limit_reached_for(self._assignment.job), where=_WHERE)
        record = limits.record_of(work)
        if record is not None:
            sender.recorder.keep(record)
        return record is not None

    async def _spent(self) -> Spent:
        """What the workers of the partition that this one replaces have spent, where a cap is on that."""
        assignment = self._assignment
        if assignment.job.budget.max_cost is None or not assignment.own:
            return NOTHING_SPENT
        ledger = Ledger(assignment.folder)
        try:
            await self._replay(ledger, assignment.base)
            before = Spent(ledger.paid_usd, ledger.uncertain_cost)
            await self._replay(ledger, assignment.own)
            return Spent(ledger.paid_usd, ledger.uncertain_cost).since(before)
        finally:
            ledger.close()

    async def _replay(self, ledger: Ledger, numbers: Iterable[int]) -> None:
        """Apply the segments of `numbers`, of writers that are no more, to `ledger`."""
        journal = Scan(self._assignment.folder, numbers=[*numbers])
        for count, (location, record) in enumerate(journal, 1):
            ledger.apply(location, record)
            if count % _RECORDS_A_TURN == 0:
                await asyncio.sleep(0)
        ledger.end_session()

    def _noting(self, apply: Apply) -> Apply:
        """`apply`, and tell the run how far the journal is synced: at once of a failure, since it counts those.

        Of answers it is told with the next ask, four times a second or more: each message costs more than what it says.
        """

        def apply_and_note(location: int, record: Any) -> None:
            apply(location, record)
            self._location = location
            if record.get("status") == _FAILED:
                self._tell_synced()

        return apply_and_note

    def _tell_synced(self) -> None:
        if self._location > self._reported_location:
            self._reported_location = self._location
            self._channel.send(Synced(self._location))

    def _ask(self, ask: Ask) -> None:
        rates = self._assignment.rates
        if rates.listed is not None and not self._has_list:
            self._has_list = True
            self._channel.send(ModelsListed(rates.listed))
        self._tell_synced()
        self._channel.send(ask)

    def _tell(self, event: Event) -> None:
        """Pass on what happens: the run tells it, with what the other workers have to say."""
        if not isinstance(event, Progress) or self._channel.backlog_bytes < _MAX_BACKLOG_BYTES:
            self._channel.send(event)


async def _work(end: socket.socket) -> None:
    channel = await Channel.open(end)
    assignment = await channel.receive()
    if assignment is not None:
        await Worker(channel, assignment).run()
    await channel.close()


def main(descriptor: int) -> None:
    """Be a worker of the run that the socket `descriptor` leads to."""
    for number in HANDLED:
        signal.signal(number, signal.SIG_IGN)
    event_loop(_work(socket.socket(fileno=descriptor)))


if __name__ == "__main__":
    main(int(sys.argv[1]))
