"""The only writer of a run's journal: what was paid is recorded before anything that depends on it is released.

Records are numbered from 1 in the order they were appended. A record counts when the journal has synced it.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from batchchat.core.attempt import NO_SPEND, Action, Attempt, Outcome, Request
from batchchat.core.record import RowRecord, record_of_outcome, record_of_step
from batchchat.core.row_history import ACCEPTED, CANCELLED, SENT
from batchchat.dispatch.work import Work
from batchchat.errors import BatchchatError

__all__ = ["Apply", "JournalWriter", "OpenJournal", "Recorder"]

_ONLY_WRITER: Mapping[str, int] = {}


class JournalWriter(Protocol):
    """What the recorder needs of a journal; `store.journal.Journal` has it."""

    @property
    def unsynced(self) -> int:
        """How many records are not on disk yet."""

    @property
    def unsynced_bytes(self) -> int:
        """How many bytes they have."""

    @property
    def failed(self) -> BaseException | None:
        """The error of a failed write, after which nothing is recorded; else None."""

    @property
    def intrusion(self) -> BatchchatError | None:
        """The error that another process writes the same journal; None while that was not noticed."""

    @property
    def end(self) -> int:
        """The journal offset behind the last record that is synced and was told."""

    def append(self, record: Any) -> None:
        """Queue a record."""

    async def room(self, most: int) -> None:
        """Wait until at most `most` records are unsynced. Raises the `MachineError` of a failed write."""

    async def settled(self) -> None:
        """Wait until every record is synced."""

    def close(self) -> None:
        """Write what is queued. Raises the `MachineError` of a write that fails."""


Apply = Callable[[int, Any], None]
"""Called with the location of a synced record, and the record."""
OpenJournal = Callable[[Callable[[Sequence[tuple[int, Any]]], None], Callable[[], None]], JournalWriter]
"""(called with the (location, record) pairs of each synced group, called when a write failed) -> the open journal."""


class Recorder:
    """The journal of one run. `apply` is given each record as it is synced, with its location.

    At most `max_unsynced` records wait to be synced when another row is started. `mock` marks the rows of the embedded
    endpoint. Where several processes write the journal, `writer` has the members by which this one is known in its
    records of what is outstanding. `lost` gives the error that another machine goes on with the run.
    """

    def __init__(
        self,
        open_journal: OpenJournal,
        apply: Apply,
        *,
        max_unsynced: int,
        mock: bool = False,
        writer: Mapping[str, int] = _ONLY_WRITER,
        lost: Callable[[], BatchchatError | None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._apply = apply
        self._max_unsynced = max_unsynced
        self._mock = mock
        self._writer = writer
        self._lost = lost
        self._clock = clock
        self._appended = self._synced = 0
        self._awaited: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._on_synced: list[Callable[[int], None]] = []
        self._on_failed: list[Callable[[], None]] = []
        self.retries: Counter[str] = Counter()
        """The retried attempts of this run, by the kind of their failure."""
        self.cancelled_count = 0
        self._journal = open_journal(self._committed, self._failed)

    @property
    def unsynced_bytes(self) -> int:
        """The bytes of the records that wait to be synced."""
        return self._journal.unsynced_bytes

    @property
    def end(self) -> int | None:
        """The journal offset behind the last record applied; None where the journal has others, too, or is broken."""
        journal = self._journal
        return journal.end if journal.failed is None and journal.intrusion is None else None

    def redirect(self, apply: Apply, max_unsynced: int) -> None:
        """Give the records that are synced from here on to `apply`; nothing may be unsynced."""
        self._apply, self._max_unsynced = apply, max_unsynced

    def subscribe(self, on_synced: Callable[[int], None], on_failed: Callable[[], None]) -> None:
        """Call `on_synced` with the last number of each synced group, `on_failed` when nothing more can be kept."""
        self._on_synced.append(on_synced)
        self._on_failed.append(on_failed)

    def attempt(self, work: Work, attempt: Attempt) -> int | None:
        """An attempt that did not end its row; None, and no record, where it was not billed and not noted.

        Of several endpoints the reason is kept for which one may not serve the row.
        """
        kind, reply, failure = attempt.verdict.kind, None, attempt.failure
        if attempt.verdict.action is Action.ACCEPT:
            why, reply = ACCEPTED, attempt.reply
        else:
            why = "" if kind is None else kind.value
        if attempt.verdict.action is Action.RETRY:
            self.retries[why] += 1
        is_refusal = attempt.verdict.elsewhere or (attempt.verdict.unjudged and work.endpoint is not None)
        if not attempt.may_be_billed and not work.noted and not is_refusal:
            return None
        work.noted = False
        spend = NO_SPEND.with_attempt(attempt) if attempt.may_be_billed else NO_SPEND
        script = work.script
        record = record_of_step(
            script.row.key, script.identity, attempt.request, spend, why, at=time.time(), reply=reply
        )
        if failure is not None:
            record["error"] = failure.text
        _add_endpoint(record, work)
        if attempt.raw is not None and attempt.may_be_billed:
            record["raw"] = attempt.raw  # it was paid for, and the row's own record has that of its last attempt alone
        return self.keep(record)

    def cancelled(self, work: Work, request: Request, raw: str | None = None) -> int:
        """A request in flight that we cancelled: it may have been billed. `raw`: what had come of its stream."""
        self.cancelled_count += 1
        work.noted = False
        spend = NO_SPEND.with_cancelled(request)
        script = work.script
        record = record_of_step(script.row.key, script.identity, request, spend, CANCELLED, at=time.time())
        _add_endpoint(record, work)
        return self.keep(record if raw is None else {**record, "raw": raw})

    async def sending(self, work: Work, request: Request) -> None:
        """Note that a row is sent again, so that it counts if we are killed; returns once that is synced."""
        script = work.script
        note = record_of_step(script.row.key, script.identity, request, NO_SPEND, SENT, at=time.time())
        note |= self._writer
        _add_endpoint(note, work)
        synced = asyncio.get_running_loop().create_future()
        self._awaited.append((self.keep(note), synced))
        work.noted = True
        try:
            await synced
        except asyncio.CancelledError:
            self.keep({**note, "why": ""})
            raise

    def row(self, work: Work, outcome: Outcome) -> int:
        """Record the complete row, which has ended."""
        in_flight_s = outcome.attempt.latency_s
        if len(work.attempts) > 1:
            in_flight_s = sum(attempt.latency_s for attempt in work.attempts)
        wait_s = self._clock() - work.queued_at - in_flight_s
        record = record_of_outcome(outcome, work.script.identity, work.spend, wait_s)
        if self._mock:
            record["mock"] = True
        self._journal.append(record)
        self._appended += 1
        return self._appended

    def imported(self, work: Work, outcome: Outcome) -> int:
        """Record a row whose response another program got: when it was sent is not known, and perhaps not its end."""
        record = record_of_outcome(outcome, work.script.identity, work.spend, 0.0)
        del record["started_at"], record["latency_s"], record["wait_s"]
        if not record["finished_at"]:
            del record["finished_at"]
        if self._mock:
            record["mock"] = True
        return self.keep(record)

    def hold(self, fields: Mapping[str, Any]) -> int:
        """What may be billed and not be recorded if the process dies from here on."""
        return self.keep({"kind": "hold", **fields, "at": time.time(), **self._writer})

    def keep(self, record: Mapping[str, Any] | RowRecord) -> int:
        """Append a finished record; its number."""
        self._journal.append(record)
        self._appended += 1
        return self._appended

    async def room(self) -> None:
        """Returns when few enough records wait to be synced. Raises the `MachineError` of a failed write."""
        if self._journal.unsynced > self._max_unsynced or self._journal.failed is not None:
            await self._journal.room(self._max_unsynced)

    @property
    def intrusion(self) -> BatchchatError | None:
        """The error that another process goes on with the same run; `close` returns it too."""
        return self._journal.intrusion or self._lost()

    async def settled(self) -> None:
        """Returns when every record is synced. Raises the `MachineError` of a failed write."""
        await self._journal.settled()

    def close(self) -> BatchchatError | None:
        """Write what is queued, and close the journal; the error where that failed."""
        try:
            self._journal.close()
        except BatchchatError as error:
            return error
        return self._lost()

    def _committed(self, placed: Sequence[tuple[int, Any]]) -> None:
        for location, record in placed:
            self._apply(location, record)
        self._synced += len(placed)
        while self._awaited and self._awaited[0][0] <= self._synced:
            _, synced = self._awaited.popleft()
            if not synced.done():
                synced.set_result(None)
        for tell in self._on_synced:
            tell(self._synced)

    def _failed(self) -> None:
        for tell in self._on_failed:
            tell()


def _add_endpoint(record: dict[str, Any], work: Work) -> None:
    """Note which endpoint a step was made at, where there are several."""
    if (endpoint := work.endpoint) is not None:
        record["endpoint"] = endpoint
