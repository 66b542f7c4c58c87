"""What the journal adds up to: the index of finished rows and the sums over them. Replay and a live run fold alike.

A row's later record replaces the earlier one. What was paid for an answer so replaced, or for a row that the input no
longer has, stays in `superseded` and `not_in_input`; what a failed row had cost is carried into its next record.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pyarrow as pa

from batchchat.arrow import cells
from batchchat.core.attempt import NO_SPEND, Spend
from batchchat.core.conversation import Key, Status
from batchchat.core.record import RowRecord, key_of, possibly_billed_usd_of, spend_of, unreported_usd_of
from batchchat.core.totals import OffRowCosts, Totals
from batchchat.core.uncertain_cost import UncertainCost
from batchchat.store.index import Index
from batchchat.store.parquet import CarriedColumn
from batchchat.store.retyped_columns import RetypedColumns
from batchchat.store.segments import LineReader

__all__ = ["Ledger", "PaidElsewhere", "schema_of", "schema_text"]

_NO_USD = Decimal(0)
_NO_HOLD: dict[str, Any] = {"requests": 0}
_NULL, _TEXT = cells.Kind.NULL, cells.Kind.TEXT
_ANSWERED, _FAILED, _INVALID = Status.ANSWERED.value, Status.FAILED.value, Status.INVALID.value


def schema_text(types: Mapping[str, pa.DataType]) -> str | None:
    """Arrow types of columns as text for a `run` record; None where there are none."""
    return base64.b64encode(pa.schema(list(types.items())).serialize()).decode() if types else None


def schema_of(text: str | None) -> pa.Schema:
    """The inverse of `schema_text`."""
    return pa.schema([]) if text is None else pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text)))


@dataclass(slots=True)
class PaidElsewhere:
    """Money and rows that are in no row of the output any more; `unsure_usd` may have been paid beside `cost_usd`."""

    rows: int = 0
    cost_usd: Decimal = field(default_factory=Decimal)
    unsure_usd: Decimal = field(default_factory=Decimal)

    def take(self, row: RowRecord) -> None:
        """Add what `row` cost."""
        self.rows += 1
        if (cost := row.get("cost_usd")) is not None:
            self.cost_usd += Decimal(repr(cost))
        self.unsure_usd += possibly_billed_usd_of(row) + unreported_usd_of(row)


class Ledger:
    """The fold of a journal. `pending_spend` holds what unfinished rows have used up, by key."""

    def __init__(self, folder: Path) -> None:
        self._lines = LineReader(folder)
        self.index = Index()
        self.totals = Totals()
        self.superseded = PaidElsewhere()
        self.not_in_input = PaidElsewhere()
        self.pending_spend: dict[Key, Spend] = {}
        self.runs: list[dict[str, Any]] = []
        self.answered_models: dict[str, set[str]] = {}
        """By endpoint, the models that have answered there."""
        self._models: set[str] = set()
        self.at_risk = 0
        """Requests that were, or may have been, in flight when earlier runs were killed."""
        self.at_risk_usd: dict[str, Decimal] = {}
        """The most they may have cost, by the price it was reckoned at."""
        self.at_risk_unbounded = 0
        """How many of them nobody had noted a bound for, since the job had no price or a row no bound."""
        self.price_ratios: dict[str, tuple[int, Decimal]] = {}
        """By price: how many answers a budget has seen, and the dearest ratio of their reported to computed cost."""
        self._hold: dict[str, Any] = _NO_HOLD
        self._kinds: dict[str, cells.Kind] = {}
        self._declared: frozenset[str] = frozenset()
        self._declarations: list[tuple[int, dict[str, pa.DataType]]] = []
        self._undeclared: set[str] = set()
        self._first_seen: dict[str, tuple[int, int]] = {}
        self._all_seen_by = 0

    def apply(self, at: int, record: dict[str, Any]) -> None:
        """Take in one record, in the journal's order."""
        kind = record["kind"]
        if kind == "row":
            self._apply_row(at, cast("RowRecord", record))
        elif kind == "step":
            key = key_of(cast("RowRecord", record))
            self.pending_spend[key] = self.pending_spend.get(key, NO_SPEND) + spend_of(cast("RowRecord", record))
        elif kind == "hold":
            self._hold = record
            if "dearest" in record:
                self.price_ratios[record["price"]] = (record["answers"], Decimal(record["dearest"]))
        else:
            self.runs.append(record)
            self._models = self.answered_models.setdefault(record.get("endpoint", ""), set())
            self._declarations.append((at, {one.name: one.type for one in schema_of(record.get("columns"))}))
            self._declared = frozenset(self._declarations[-1][1])
            self.end_session()

    @property
    def off_row_costs(self) -> OffRowCosts:
        """What was paid that is in no row of the totals."""
        spend = self.pending_spend.values()
        return OffRowCosts(
            superseded_usd=self.superseded.cost_usd + self.not_in_input.cost_usd,
            pending_usd=sum((each.cost_usd for each in spend if each.cost_usd is not None), Decimal(0)),
            pending_possibly_billed=sum(each.possibly_billed for each in spend),
            at_risk=self.at_risk,
            gone_rows=self.not_in_input.rows,
            broke_off_usd=self.max_price_ratio
            * sum((each.possibly_billed_usd for each in spend), self.totals.possibly_billed_usd),
            unbounded=self.totals.unbounded + sum(each.unbounded for each in spend),
            unreported_usd=self.totals.unreported_usd * self.max_price_ratio,
            at_risk_usd=_NO_USD if self.at_risk_unbounded else self.uncertain_cost.at_risk_worth_usd,
            unsure_usd=self.uncertain_cost.worth_usd,
            retries=dict(+self.totals.retries),
        )

    def end_session(self) -> None:
        """A session's journal ends here: what its last hold had not settled may have been billed."""
        hold, self._hold = self._hold, _NO_HOLD
        self.at_risk += hold["requests"]
        if (usd := hold.get("usd")) is None:
            self.at_risk_unbounded += hold["requests"]
        else:
            self._add_at_risk(hold.get("price", ""), Decimal(usd))

    def set_bound_for_unpriced(self, price: str, most_usd: Decimal) -> None:
        """Reckon those nobody had noted a bound for at `most_usd` of `price`: a cap that is set now must count them."""
        if self.at_risk_unbounded:
            self._add_at_risk(price, self.at_risk_unbounded * most_usd)
            self.at_risk_unbounded = 0

    def _add_at_risk(self, price: str, usd: Decimal) -> None:
        if usd:
            self.at_risk_usd[price] = self.at_risk_usd.get(price, _NO_USD) + usd

    @property
    def paid_usd(self) -> Decimal:
        """All that is known to be paid: for the rows, for replaced and gone ones, for attempts at what is left."""
        elsewhere = self.superseded.cost_usd + self.not_in_input.cost_usd
        pending = sum((spend.cost_usd for spend in self.pending_spend.values() if spend.cost_usd), _NO_USD)
        return (self.totals.known_cost_usd or _NO_USD) + elsewhere + pending

    @property
    def max_price_ratio(self) -> Decimal:
        """How many times a job's price was charged at most, as far as a budget has seen; at least 1."""
        return self.uncertain_cost.most_dear

    @property
    def uncertain_cost(self) -> UncertainCost:
        """What may have been paid beside that, at most, as far as it had a bound."""
        totals = self.totals
        elsewhere = self.superseded.unsure_usd + self.not_in_input.unsure_usd
        pending = sum(
            (spend.possibly_billed_usd + spend.unreported_usd for spend in self.pending_spend.values()), _NO_USD
        )
        rest = totals.possibly_billed_usd + totals.unreported_usd + elsewhere + pending
        return UncertainCost(
            dict(self.at_risk_usd), rest, {price: dearest for price, (_, dearest) in self.price_ratios.items()}
        )

    def spend_before(self, key: Key) -> Spend:
        """What earlier attempts at an unanswered row used up: by its steps, or by its failed record."""
        spend = self.pending_spend.get(key, NO_SPEND)
        entry = self.index.find(key)
        if entry is not None and self.index.status(entry) == _FAILED:
            spend = spend_of(self.read(entry)) + spend
        return spend

    def read(self, entry: int) -> RowRecord:
        """The record of a finished entry."""
        return cast("RowRecord", self._lines.read(self.index.journal_offset(entry))[0])

    def drop_rows_not_in_input(self) -> None:
        """The input was read to its end: rows that it no longer has leave the totals."""
        for entry in self.index.finished():
            if not self.index.is_in_input(entry):
                row = self.read(entry)
                self.totals.remove(row)
                if row["status"] != _INVALID:
                    self.not_in_input.take(row)

    def retyped_columns(self) -> RetypedColumns:
        """How the carried cells of earlier runs are written whose column has no type any more."""
        return RetypedColumns(self._declarations, frozenset(self._typed()))

    def _typed(self) -> dict[str, pa.DataType]:
        """The columns that every run declared which had them, all as the same type."""
        types: dict[str, list[pa.DataType]] = {}
        for _, declared in self._declarations:
            for name, kind in declared.items():
                types.setdefault(name, []).append(kind)
        return {
            name: kinds[0]
            for name, kinds in types.items()
            if name not in self._undeclared and all(kind == kinds[0] for kind in kinds)
        }

    def passthrough_columns(self) -> dict[str, CarriedColumn]:
        """How the carried columns are typed: as the runs declared them, else widened over the rows' values.

        Declared columns come first, in their order, whether or not a finished row has them; then the others in the
        order of the input's rows.
        """
        typed, written = self._typed(), self.retyped_columns().names
        columns: dict[str, CarriedColumn] = {}
        declared = (name for _, types in self._declarations for name in types)
        for name in (*declared, *sorted(self._kinds, key=self._first_seen.__getitem__)):
            if name in typed:
                columns[name] = typed[name]
            elif name in self._kinds:
                columns[name] = _TEXT if name in written else self._kinds[name]
        return columns

    def close(self) -> None:
        """Close the segments that were read."""
        self._lines.close()

    def _apply_row(self, at: int, row: RowRecord) -> None:
        index, status = self.index, row["status"]
        key = key_of(row)
        entry = index.add(key)
        if before := index.status(entry):
            self._replace(entry, before, status)
        self.totals.add(row)
        if carried := row.get("carried"):
            self._note_columns(carried, row["ordinal"])
        if status == _ANSWERED:
            self._models.add(row["model"])
        index.finish(entry, status, int(row["fp"], 16), at)
        # What an invalid row had used up while it was good waits for the day it is good again.
        if self.pending_spend and status != _INVALID:
            self.pending_spend.pop(key, None)

    def _note_columns(self, carried: dict[str, Any], ordinal: int) -> None:
        kinds, declared = self._kinds, self._declared
        for name, value in carried.items():
            if (kind := kinds.get(name, _NULL)) is not _TEXT:
                kinds[name] = cells.widen(kind, value)
            if name not in declared:
                self._undeclared.add(name)
        # Rows end in any order; after the first few of an input none changes where a column was first seen.
        first = self._first_seen
        if ordinal < self._all_seen_by or len(kinds) > len(first):
            for position, name in enumerate(carried):
                first[name] = min(first.get(name, (ordinal, position)), (ordinal, position))
            self._all_seen_by = max(seen for seen, _ in first.values())

    def _replace(self, entry: int, before: str, now: str) -> None:
        old = self.read(entry)
        self.totals.remove(old)
        # A failed row's next record carries its cost, but an invalid one was never sent and carries none.
        if before == _ANSWERED or (before != _INVALID and now == _INVALID):
            self.superseded.take(old)
