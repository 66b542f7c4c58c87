"""Counts what a run will do before it sends anything: a fold over the rows and their dispositions."""

from __future__ import annotations

import asyncio
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from batchchat.core.attempt import Script
from batchchat.core.conversation import BadRow, Status
from batchchat.core.events import ChangedRowsLeft, Planned
from batchchat.core.record import RowRecord
from batchchat.execution.disposition import Disposition, OnChanged
from batchchat.execution.tasks import RowTask, new_record_of_bad_row
from batchchat.store.ledger import Ledger

if TYPE_CHECKING:
    from batchchat.execution.amending import Amended

__all__ = ["ROWS_A_TURN", "CostBound", "PlanCounts", "plan"]

ROWS_A_TURN = 200
"""The number of rows that are read before the event loop runs again."""
_FIRST_INVALID = 5
_NEW = Disposition.SEND_NEW  # a member of an enum takes 0.1 µs to look up in Python 3.11


@dataclass(slots=True)
class CostBound:
    """The upper bound of what rows can cost at the job's price; `unbounded` rows have none, `first` is one of them."""

    usd: Decimal = field(default_factory=Decimal)
    unbounded: int = 0
    first: Script | None = None

    def add(self, script: Script, usd: Decimal | None) -> None:
        """Count the row of `script`, all whose requests cost at most `usd`; None is no bound."""
        if usd is not None:
            self.usd += usd
            return
        self.add_unbounded(script)

    def add_unbounded(self, script: Script) -> None:
        """Count the row of `script`, which has no bound."""
        self.unbounded += 1
        self.first = self.first or script

    def merge(self, later: CostBound) -> None:
        """Add the counts of `later`, whose rows come after these."""
        self.usd += later.usd
        self.unbounded += later.unbounded
        self.first = self.first or later.first


@dataclass(slots=True)
class PlanCounts:
    """The dispositions of all rows of an input.

    `invalid_new` are bad rows not recorded yet; `replaced` those sent that have a record already; `changed_cost_usd` is
    what the undecided or changed answers had cost, and `changed_parts` how many of them changed in which part of their
    request. `used_up` rows are to be sent and have no attempt left: they end as failed, and are in no count of `rows`.
    `recorded` rows were sent before; the record of `stale_passthrough` ones has other passthrough columns.
    `wanted` are the fingerprints of requests that no record of their row answers, and `changed_entries` the rows whose
    answer is to another request. `max_cost` is what the rows that are sent can cost, and
    `max_cost_undecided` what the undecided can; `max_row_cost_usd` is the most that any one row can, sent or kept.
    """

    rows: dict[Disposition, int] = field(default_factory=lambda: dict.fromkeys(Disposition, 0))
    used_up: int = 0
    invalid: int = 0
    invalid_new: int = 0
    replaced: int = 0
    first_invalid: list[str] = field(default_factory=list)
    changed_cost_usd: Decimal = field(default_factory=Decimal)
    changed_unknown_cost: int = 0
    changed_parts: Counter[str] = field(default_factory=Counter)
    recorded: int = 0
    stale_passthrough: int = 0
    wanted: array[int] = field(default_factory=lambda: array("Q"))
    changed_entries: array[int] = field(default_factory=lambda: array("Q"))
    max_cost: CostBound = field(default_factory=CostBound)
    max_cost_undecided: CostBound = field(default_factory=CostBound)
    max_row_cost_usd: Decimal = field(default_factory=Decimal)

    @property
    def to_send(self) -> int:
        """Rows that will be sent."""
        return sum(count for disposition, count in self.rows.items() if disposition.sends)

    @property
    def total(self) -> int:
        """Rows of the input."""
        return self.good + self.invalid

    @property
    def nothing_new(self) -> bool:
        """True if there is nothing to send and nothing to record."""
        return not self.to_send and not self.rows[Disposition.SHARE] and not self.used_up and not self.invalid_new

    @property
    def good(self) -> int:
        """Rows that could be sent."""
        return sum(self.rows.values()) + self.used_up

    def add_used_up(self, *, has_record: bool) -> None:
        """Count a good row that is to be sent and has no attempt left."""
        self.used_up += 1
        self.replaced += has_record

    def add(self, task: RowTask, *, has_record: bool) -> None:
        """Count a good row."""
        disposition = task.disposition
        self.rows[disposition] += 1
        usd = task.bound.cost_usd
        if usd is not None and usd > self.max_row_cost_usd:
            self.max_row_cost_usd = usd
        if disposition.sends:
            self.max_cost.add(task.script, usd)
            self.replaced += has_record
        elif disposition is Disposition.SHARE:
            self.replaced += has_record
        elif disposition is Disposition.UNDECIDED:
            self.max_cost_undecided.add(task.script, usd)

    def add_new(self, usd: Decimal | None) -> None:
        """Count a good row without a record, which costs at most `usd`; None is left to `max_cost.add_unbounded`."""
        self.rows[_NEW] += 1
        if usd is not None:
            self.max_cost.usd += usd
            if usd > self.max_row_cost_usd:  # noqa: PLR1730 (once a row, and `max` takes three times as long)
                self.max_row_cost_usd = usd

    def add_changed(self, record: RowRecord, script: Script) -> None:
        """Count an answer whose request has changed to the one of `script`: its cost, and what changed."""
        if record["status"] != Status.ANSWERED:
            return
        from batchchat.execution.changed_parts import changed_parts

        self.changed_parts.update(changed_parts(record, script))
        if (cost := record.get("cost_usd")) is None:
            self.changed_unknown_cost += 1
        else:
            self.changed_cost_usd += Decimal(repr(cost))

    def add_bad(self, row: BadRow, *, is_new: bool) -> None:
        """Count a row that can't be sent."""
        self.invalid += 1
        self.invalid_new += is_new
        if len(self.first_invalid) < _FIRST_INVALID:
            self.first_invalid.append(f"{row.location}: {row.error}")

    def decide(self, changed: OnChanged) -> None:
        """Apply the user's decision to the undecided rows."""
        decided = Disposition.SEND_CHANGED if changed is OnChanged.RESEND else Disposition.KEEP_CHANGED
        if decided.sends:
            self.replaced += self.rows[Disposition.UNDECIDED]
            self.max_cost.merge(self.max_cost_undecided)
        self.rows[decided] += self.rows[Disposition.UNDECIDED]
        self.rows[Disposition.UNDECIDED] = 0

    def changed_rows(self) -> ChangedRowsLeft:
        """The undecided rows as an event."""
        from batchchat.execution.changed_parts import PARTS

        parts = {part: self.changed_parts[part] for part in PARTS}
        undecided = self.rows[Disposition.UNDECIDED]
        return ChangedRowsLeft(undecided, self.changed_cost_usd, self.changed_unknown_cost, parts)

    def planned(self, gone: int, amended: Amended | None = None) -> Planned:
        """The counts as an event; `gone` rows are no longer in the input, `amended` what was changed before."""
        rows = self.rows
        return Planned(
            total=self.total,
            kept=rows[Disposition.KEEP] + rows[Disposition.KEEP_CHANGED] + rows[Disposition.UNDECIDED],
            kept_changed=rows[Disposition.KEEP_CHANGED],
            resend_changed=rows[Disposition.SEND_CHANGED],
            retry_failed=rows[Disposition.SEND_FAILED],
            resend_answered=rows[Disposition.SEND_AGAIN],
            undecided=rows[Disposition.UNDECIDED],
            taken_over=0 if amended is None else amended.taken_over,
            refreshed=0 if amended is None else amended.refreshed,
            new=rows[Disposition.SEND_NEW],
            used_up=self.used_up,
            invalid=self.invalid,
            gone=gone,
            later=rows[Disposition.LATER],
            shared=rows[Disposition.SHARE],
        )


_CHANGED = {Disposition.UNDECIDED, Disposition.SEND_CHANGED, Disposition.KEEP_CHANGED}


async def plan(
    tasks: Iterator[RowTask | BadRow],
    ledger: Ledger,
    stopped: Callable[[], bool] = lambda: False,
    limit_reached: Callable[[Mapping[str, int]], str | None] = lambda _: None,
) -> PlanCounts:
    """Read the whole input, or until it is `stopped`, and count; nothing is sent or written.

    `limit_reached` says why a row may not be sent again after the attempts of earlier runs, counted by kind.
    """
    counts, index = PlanCounts(), ledger.index
    for number, task in enumerate(tasks, 1):
        if number % ROWS_A_TURN == 0:
            await asyncio.sleep(0)
            if stopped():
                break
        if isinstance(task, BadRow):
            counts.add_bad(task, is_new=new_record_of_bad_row(task, index) is not None)
            continue
        entry = task.entry
        status, identity = "" if entry is None else index.status(entry), task.script.identity
        billed = ledger.unfinished.history(task.row.key, identity).billed if task.disposition.sends else None
        if billed and limit_reached(billed) is not None:
            counts.add_used_up(has_record=bool(status))
        else:
            counts.add(task, has_record=bool(status))
        if entry is None or not status or status == Status.INVALID:
            counts.wanted.append(identity)
            continue
        counts.recorded += 1
        counts.stale_passthrough += index.has_other_passthrough(entry, task.row.passthrough)
        if status == Status.ANSWERED and index.fingerprint(entry) != identity:
            counts.wanted.append(identity)
            counts.changed_entries.append(entry)
        if task.disposition in _CHANGED:
            counts.add_changed(ledger.read(entry), task.script)
    return counts
