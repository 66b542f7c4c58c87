"""The reading of the input against the journal: once to survey it before a resume, once to send.

Both passes decide a row's fate by the same rule, so that what was announced is what happens. The event loop gets its
turn every few hundred rows: a million kept rows must not hold up the replies that are on their way.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from decimal import Decimal

from batchchat.core.attempt import NO_SPEND, Request, Script
from batchchat.core.conversation import BadRow, Key, Row, Status
from batchchat.core.record import RowRecord, add_spend, record_of_bad_row
from batchchat.dispatch.dispatcher import Work
from batchchat.hash_table import hash64
from batchchat.run.context_check import ContextCheck
from batchchat.run.plan import Disposition, OnChanged, PlanCounts, disposition
from batchchat.sources import Source
from batchchat.store.ledger import Ledger

__all__ = ["Feed", "RowPlanner", "ScriptFor"]

ScriptFor = Callable[[Row], Script]

_ROWS_A_TURN = 200
_FIRST_INVALID = 5
_NO_USD = Decimal(0)


class RowPlanner:
    """Rows of the source with their fates; places them in the ledger's index on the way. `only` such keys are sent."""

    def __init__(
        self,
        source: Source,
        script_for: ScriptFor,
        ledger: Ledger,
        *,
        retry_failed: bool,
        only: Callable[[Key], bool] | None = None,
    ) -> None:
        self._only = only
        self._source = source
        self._script_for = script_for
        self._ledger = ledger
        self._retry_failed = retry_failed
        self.changed = OnChanged.ASK

    def rows(self) -> Iterator[tuple[Script, Disposition] | BadRow]:
        """Good rows as the script to play with its fate, and bad ones as they are."""
        index = self._ledger.index
        for row in self._source.read():
            entry = index.add(row.key)
            index.set_ordinal(entry, row.ordinal)
            if isinstance(row, BadRow):
                yield row
                continue
            script = self._script_for(row)
            status = index.status(entry)
            fate_ = self._fate(script, status, index.fingerprint(entry)) if status else Disposition.SEND_NEW
            later = fate_.sends and self._only is not None and not self._only(row.key)
            yield script, Disposition.LATER if later else fate_

    def _fate(self, script: Script, status: str, fingerprint: int) -> Disposition:
        request = script.next(())
        assert isinstance(request, Request)
        return disposition(
            status,
            same_request=fingerprint == request.fingerprint,
            retry_failed=self._retry_failed,
            changed=self.changed,
        )

    def note_of(self, row: BadRow) -> RowRecord | None:
        """What to keep of a bad row; None where it is noted already, or was answered when it still could be read."""
        index = self._ledger.index
        entry = index.add(row.key)
        fingerprint = hash64(f"{row.place}\x1f{row.error}".encode("utf-8", "surrogatepass"))
        status = index.status(entry)
        if status == Status.ANSWERED or (status == Status.INVALID and index.fingerprint(entry) == fingerprint):
            return None
        return record_of_bad_row(row, fingerprint)

    async def survey(self, stopped: Callable[[], bool] = lambda: False) -> PlanCounts:
        """Read the whole input, or until it is `stopped`, and count; nothing is sent or written."""
        tally = PlanCounts()
        for number, found in enumerate(self.rows(), 1):
            if number % _ROWS_A_TURN == 0:
                await asyncio.sleep(0)
                if stopped():
                    break
            if isinstance(found, BadRow):
                tally.invalid += 1
                tally.invalid_new += self.note_of(found) is not None
                if len(tally.first_invalid) < _FIRST_INVALID:
                    tally.first_invalid.append(f"{found.place}: {found.error}")
                continue
            script, fate_ = found
            tally.fates[fate_] += 1
            request = script.next(())
            assert isinstance(request, Request)
            tally.dearest_usd = max(tally.dearest_usd, request.max_usage.cost_usd or _NO_USD)
            if fate_.sends or fate_ is Disposition.UNDECIDED:
                (tally.most if fate_.sends else tally.most_undecided).count(request, script.row.place)
            if fate_.sends and self._ledger.index.status(self._ledger.index.add(script.row.key)):
                tally.replaced += 1
            if fate_ in {Disposition.UNDECIDED, Disposition.SEND_CHANGED, Disposition.KEEP_CHANGED}:
                self._add_changed_cost(tally, script)
        return tally

    def _add_changed_cost(self, tally: PlanCounts, script: Script) -> None:
        entry = self._ledger.index.find(script.row.key)
        assert entry is not None
        record = self._ledger.read(entry)
        if record["status"] != Status.ANSWERED:
            return
        if (cost := record.get("cost_usd")) is None:
            tally.changed_unknown_cost += 1
        else:
            tally.changed_cost_usd += Decimal(repr(cost))


class Feed:
    """What the dispatcher takes its work from: rows to send, one after the other; bad rows go to `keep` on the way."""

    def __init__(
        self,
        reading: RowPlanner,
        source: Source,
        ledger: Ledger,
        keep: Callable[[RowRecord], None],
        *,
        limit: int | None,
        total: int | None,
        fitting: ContextCheck,
    ) -> None:
        self._fitting = fitting
        self._total = total
        self._reading = reading
        self._rows = reading.rows()
        self._source = source
        self._ledger = ledger
        self._keep = keep
        self._left = limit
        self.rows_read = 0
        self.good_rows = 0
        self.taken = 0
        self.exhausted = False
        self._broken = False
        self.first_bad: str | None = None

    async def take(self) -> Work | None:
        """The next row to send, or None at the input's end or the limit."""
        while self._left != 0:
            # No await between a row's reading and its going: several workers take at once.
            try:
                found = next(self._rows, None)
            except BaseException:
                self._broken = True  # what asks next is told the end, which this is not
                raise
            if found is None:
                self.exhausted = not self._broken
                return None
            self.rows_read += 1
            if isinstance(found, BadRow):
                self.first_bad = self.first_bad or f"{found.place}: {found.error}"
                if (note := self._reading.note_of(found)) is not None:
                    self._keep(note)
            else:
                self.good_rows += 1
                script, fate_ = found
                if fate_.sends and not self._refused(script):
                    return self._work(script, fate_)
            if self.rows_read % _ROWS_A_TURN == 0:
                await asyncio.sleep(0)
        return None

    def _refused(self, script: Script) -> bool:
        """Whether the row can't fit its model's context; then it is kept as failed."""
        request = script.next(())
        assert isinstance(request, Request)
        record = self._fitting.refused(script.row, request)
        if record is None:
            return False
        spend = self._ledger.spend_before(script.row.key)
        if spend != NO_SPEND:
            add_spend(record, spend)
        self._keep(record)
        self.taken += 1
        return True

    async def at_end(self) -> bool:
        """Whether nothing more would be taken; it looks, so that nothing can be taken afterwards."""
        return self._left == 0 or await self.take() is None

    def _work(self, script: Script, fate_: Disposition) -> Work:
        self.taken += 1
        if self._left is not None:
            self._left -= 1
        ledger, key = self._ledger, script.row.key
        spend = ledger.spend_before(key) if ledger.pending_spend or fate_ is not Disposition.SEND_NEW else NO_SPEND
        return Work(script, time.monotonic(), spend)

    def total(self) -> tuple[int | None, bool]:
        """Rows of the input, and whether that is an estimate from the bytes read so far."""
        if self.exhausted:
            return self.rows_read, False
        if self._total is not None:
            return self._total, False
        if self._source.rows_total is not None:
            return self._source.rows_total, False
        if not self.rows_read or not self._source.bytes_read:
            return None, True
        return max(self.rows_read, round(self.rows_read * self._source.bytes_total / self._source.bytes_read)), True
