"""The state that the journal adds up to: the index of finished rows and sums over them, in a replay and a live run.

A row's later record replaces the earlier one. What was paid for an answer so replaced, or for a row that the input no
longer has, stays in `superseded` and `not_in_input`; what a failed row had cost is carried into its next record.
An `amend` record changes no sum: its row counts under the new key as it counted under the one before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

from batchchat.core.attempt import NO_SPEND, Spend
from batchchat.core.conversation import Key, Status
from batchchat.core.price import Price
from batchchat.core.record import (
    RowRecord,
    accepted_replies_of,
    key_of,
    possibly_billed_usd_of,
    spend_of,
    unreported_usd_of,
)
from batchchat.core.row_history import AcceptedReply, RowHistory
from batchchat.core.totals import SHARED, OffRowCosts, Totals
from batchchat.core.uncertain_cost import UncertainCost
from batchchat.store.amendments import previous_key, read_row
from batchchat.store.at_risk import AtRisk
from batchchat.store.index import Index
from batchchat.store.line_reader import LineReader
from batchchat.store.passthrough_columns import PassthroughColumns
from batchchat.store.unfinished_rows import UnfinishedRows

__all__ = ["Ledger", "PaidElsewhere"]

_NO_USD = Decimal(0)
_NOTHING, _SESSION_ENDED, _ALTERED = 0, 1, 2
_NONE: dict[str, Any] = {}
_ANSWERED, _FAILED, _INVALID = Status.ANSWERED.value, Status.FAILED.value, Status.INVALID.value


@dataclass(slots=True)
class PaidElsewhere:
    """Money and rows that no row of the output includes; `uncertain_usd` may have been paid on top of `cost_usd`."""

    rows: int = 0
    cost_usd: Decimal = field(default_factory=Decimal)
    uncertain_usd: Decimal = field(default_factory=Decimal)

    def add(self, row: RowRecord) -> None:
        """Add what `row` cost."""
        self.rows += 1
        if (cost := row.get("cost_usd")) is not None:
            self.cost_usd += Decimal(repr(cost))
        self.uncertain_usd += possibly_billed_usd_of(row) + unreported_usd_of(row)


class Ledger:
    """The state that a journal's records add up to.

    `pending_spend` is what unfinished rows have used up, by key, and `unfinished` their attempts that count against
    their limits; `runs` are the `run` records with their journal offsets, and `sessions` when each began and had its
    last record, in seconds since the epoch; `answered_models` are, by endpoint, the models that have answered there;
    `price_ratios` are, by price, how many answers a budget has seen and their ratio of reported to computed cost.
    """

    def __init__(self, folder: Path) -> None:
        self._lines = LineReader(folder)
        self.index = Index()
        self.totals = Totals()
        self.superseded = PaidElsewhere()
        self.not_in_input = PaidElsewhere()
        self.pending_spend: dict[Key, Spend] = {}
        self.unfinished = UnfinishedRows()
        self.runs: list[tuple[int, dict[str, Any]]] = []
        self.sessions: list[tuple[float, float]] = []
        self.answered_models: dict[str, set[str]] = {}
        self.at_risk = AtRisk()
        self.price_ratios: dict[str, tuple[int, Decimal]] = {}
        self.passthrough = PassthroughColumns()
        self._ahead = _NOTHING
        """What was done to the state that no record says."""

    def apply(self, journal_offset: int, record: dict[str, Any]) -> None:
        """Apply the record at `journal_offset`. Records are applied in the journal's order."""
        kind = record["kind"]
        if kind == "row":
            self._apply_row(journal_offset, cast("RowRecord", record))
        elif kind == "step":
            key = key_of(cast("RowRecord", record))
            self.unfinished.step(key, record)
            if (spend := spend_of(cast("RowRecord", record))) != NO_SPEND:
                self.pending_spend[key] = self.pending_spend.get(key, NO_SPEND) + spend
            self._ran_until(record.get("at"))
        elif kind == "hold":
            self.at_risk.hold(record)
            if (replaced := record.get("replaces")) is not None:
                self.unfinished.end_writer(replaced)
            self._ran_until(record.get("at"))
            if "dearest" in record:
                self._learn(record["price"], record["answers"], Decimal(record["dearest"]))
        elif kind == "amend":
            self._apply_amendment(journal_offset, record)
        else:
            self.runs.append((journal_offset, record))
            if (at := record.get("at")) is not None:
                self.sessions.append((at, at))
            self.passthrough.declare(journal_offset, record.get("columns"))
            ahead = self._ahead
            self.end_session()
            self._ahead = ahead & _ALTERED

    def _learn(self, price: str, answers: int, ratio: Decimal) -> None:
        """What a hold says of a price. One writer's never falls; where there are several, the highest is used."""
        before = self.price_ratios.get(price, (0, _NO_USD))
        self.price_ratios[price] = (max(answers, before[0]), max(ratio, before[1]))

    def _ran_until(self, at: float | None) -> None:
        if at is not None and self.sessions and at > self.sessions[-1][1]:
            self.sessions[-1] = (self.sessions[-1][0], at)

    def note_rows(self, ended_at: float | None, sent: Iterable[Key] = ()) -> None:
        """Rows whose records are not applied ended up to the time `ended_at`; of `sent` it holds nothing pending."""
        self._ran_until(ended_at)
        for key in sent:
            self.pending_spend.pop(key, None)
            self.unfinished.finished(key)

    def end_session(self) -> None:
        """A session's journal ends here: requests that its last hold covers may have been billed."""
        if self.at_risk.is_open or self.unfinished.has_noted:
            self._ahead |= _SESSION_ENDED
        self.at_risk.end_session()
        self.unfinished.end_session()

    @property
    def is_of_journal(self) -> bool:
        """Whether the state is what the records add up to, and nothing else was done to it."""
        return not self._ahead

    @property
    def last_run(self) -> dict[str, Any]:
        """The latest `run` record; empty where there is none."""
        return self.runs[-1][1] if self.runs else {}

    @property
    def has_endpoints(self) -> bool:
        """Whether the latest run's job names several endpoints, so that rows say which of them answered."""
        return bool(self._addresses)

    @property
    def _addresses(self) -> dict[str, str]:
        """By name, where the several endpoints of the latest run are; empty where it has one."""
        return self.last_run.get("endpoints") or {}

    @property
    def off_row_costs(self) -> OffRowCosts:
        """What was paid, or may have been, that is in no row of the totals."""
        pending, uncertain = self.pending_spend.values(), self.uncertain_cost
        ratio = uncertain.max_price_ratio
        broke_off_usd = sum((spend.possibly_billed_usd for spend in pending), self.totals.possibly_billed_usd)
        return OffRowCosts(
            superseded_usd=self.superseded.cost_usd + self.not_in_input.cost_usd,
            pending_usd=self._pending_usd(),
            pending_possibly_billed=sum(spend.possibly_billed for spend in pending),
            at_risk=self.at_risk.requests,
            gone_rows=self.not_in_input.rows,
            broke_off_usd=ratio * broke_off_usd,
            unbounded=self.totals.unbounded + sum(spend.unbounded for spend in pending),
            unreported_usd=self.totals.unreported_usd * ratio,
            at_risk_usd=_NO_USD if self.at_risk.unpriced else uncertain.at_risk_upper_bound_usd,
            unsure_usd=uncertain.upper_bound_usd,
            retries=dict(+self.totals.retries),
            cache_saved_usd=self._cache_saved_usd(),
        )

    def _cache_saved_usd(self) -> Decimal | None:
        """None where the price is not of all rows: another model or another endpoint has answered, too."""
        run, cached_tokens = self.last_run, self.totals.tokens["cached_tokens"]
        answered = {address: models for address, models in self.answered_models.items() if models}
        addresses = {run.get("endpoint"), *self._addresses.values()}
        if (price := run.get("price")) is None or not cached_tokens or not answered.keys() <= addresses:
            return None
        if set().union(*answered.values()) != {price["model"]}:
            return None
        cached_tokens = min(cached_tokens, self.totals.tokens["prompt_tokens"])
        return Price(Decimal(price["input"]), _NO_USD, Decimal(price["cached_input"])).saved_usd(cached_tokens)

    @property
    def paid_usd(self) -> Decimal:
        """All that is known to be paid: for rows, for replaced and dropped ones, for attempts at unfinished ones."""
        elsewhere = self.superseded.cost_usd + self.not_in_input.cost_usd
        return (self.totals.known_cost_usd or _NO_USD) + elsewhere + self._pending_usd()

    @property
    def known_paid_usd(self) -> Decimal | None:
        """`paid_usd`, or None where the cost of no attempt is known."""
        paid_usd = self.paid_usd
        return paid_usd if paid_usd or self.totals.known_cost_usd is not None else None

    @property
    def max_price_ratio(self) -> Decimal:
        """The highest ratio of reported to computed cost that a budget has seen; at least 1."""
        return self.uncertain_cost.max_price_ratio

    @property
    def uncertain_cost(self) -> UncertainCost:
        """What may have been paid on top of `paid_usd`, as far as it has a bound."""
        totals = self.totals
        elsewhere = self.superseded.uncertain_usd + self.not_in_input.uncertain_usd
        pending = (spend.possibly_billed_usd + spend.unreported_usd for spend in self.pending_spend.values())
        attempts_usd = totals.possibly_billed_usd + totals.unreported_usd + elsewhere + sum(pending, _NO_USD)
        ratios = {price: ratio for price, (_, ratio) in self.price_ratios.items()}
        return UncertainCost(dict(self.at_risk.usd), attempts_usd, ratios)

    def spend_before(self, key: Key) -> Spend:
        """What earlier attempts at the unanswered row of `key` used up: by its steps, or by its failed record."""
        spend = self.pending_spend.get(key, NO_SPEND)
        entry = self.index.find(key)
        if entry is not None and self.index.status(entry) == _FAILED:
            spend = spend_of(self.read(entry)) + spend
        return spend

    def accepted_replies(self, key: Key, identity: int, history: RowHistory) -> list[AcceptedReply]:
        """The replies that the unanswered row of `key` has to its first requests: they need not be sent again.

        Those of its failed record, if that was of a script of this `identity`, and those of its `history` since.
        """
        replies = list[AcceptedReply]()
        entry = self.index.find(key)
        if entry is not None and self.index.status(entry) == _FAILED and self.index.fingerprint(entry) == identity:
            replies = accepted_replies_of(self.read(entry))
        for step in sorted(history.accepted):
            if step > len(replies):  # a record before it is damaged
                break
            replies[step:] = [history.accepted[step]]
        return replies

    def read(self, entry: int) -> RowRecord:
        """The record of a finished `entry`."""
        return read_row(self._lines, self.index.journal_offset(entry))[0]

    def locate(self, entry: int) -> tuple[Key, int]:
        """The key of a finished `entry` and the journal offset of its `row` record, which may have been amended."""
        journal_offset = self.index.journal_offset(entry)
        record, _ = self._lines.read(journal_offset)
        key = key_of(cast("RowRecord", record))
        return key, cast("int", record["row"]) if record["kind"] == "amend" else journal_offset

    def set_bound_for_unpriced(self, price: str, max_usd: Decimal) -> None:
        """Count each request at risk without a bound at `max_usd` of `price`: a cap set only now must include them."""
        if self.at_risk.unpriced:
            self._ahead |= _ALTERED
            self.at_risk.set_bound_for_unpriced(price, max_usd)

    def drop_rows_not_in_input(self) -> None:
        """The input was read to its end: take finished rows that it does not have out of the totals."""
        for entry in self.index.finished():
            if not self.index.is_in_input(entry):
                self._ahead |= _ALTERED
                row = self.read(entry)
                self.totals.remove(row)
                if row["status"] != _INVALID:
                    self.not_in_input.add(row)

    def recount_passthrough(self) -> None:
        """Where rows were amended, make `passthrough` that of the rows in the input as they are now."""
        if self.index.is_amended:
            offsets = self.index.offsets_in_order("completion")
            rows = ((offset, read_row(self._lines, offset)[0]) for offset in offsets)
            self.passthrough = self.passthrough.recounted(
                (journal_offset, row.get("carried", _NONE), row["ordinal"]) for journal_offset, row in rows
            )

    def read_from(self, folder: Path) -> None:
        """The journal is in `folder` now."""
        self._lines.close()
        self._lines = LineReader(folder)

    def close(self) -> None:
        """Close the segments that were read."""
        self._lines.close()

    def _pending_usd(self) -> Decimal:
        return sum((spend.cost_usd for spend in self.pending_spend.values() if spend.cost_usd), _NO_USD)

    def _apply_row(self, journal_offset: int, row: RowRecord) -> None:
        index, status = self.index, row["status"]
        key = key_of(row)
        entry = index.add(key)
        if status_before := index.status(entry):
            self._replace(entry, status_before, status)
        self.totals.add(row)
        self._ran_until(row.get("finished_at"))
        values = row.get("carried", _NONE)
        index.set_passthrough(entry, values)
        index.set_ordinal(entry, row["ordinal"])
        if values:
            self.passthrough.add(values, row["ordinal"])
        answered = status == _ANSWERED
        if answered and row.get("cost_source") != SHARED:
            self._add_model(row.get("endpoint"), row["model"])
        index.finish(
            entry,
            status,
            int(row["fp"], 16),
            journal_offset,
            cut_off=answered and row.get("reply", _NONE).get("finish_reason") == "length",
            error_kind="" if answered else row.get("error_kind", ""),
        )
        # What a row had used up before it became invalid is kept for when it is valid again.
        if status != _INVALID:
            if self.pending_spend:
                self.pending_spend.pop(key, None)
            self.unfinished.finished(key)

    def _add_model(self, endpoint: str | None, model: str) -> None:
        """`model` has answered at the endpoint of the latest run, or at the one of several that has this name."""
        address = self.last_run.get("endpoint", "") if endpoint is None else self._addresses.get(endpoint, endpoint)
        self.answered_models.setdefault(address, set()).add(model)

    def _apply_amendment(self, journal_offset: int, record: dict[str, Any]) -> None:
        index, key = self.index, key_of(cast("RowRecord", record))
        source = index.find(previous_key(record))
        if source is None or not index.status(source) or index.fingerprint(source) != int(record["fp"], 16):
            return  # the row's own record is damaged: there is nothing to amend
        target = index.add(key)
        if target != source:
            if status := index.status(target):
                self._replace(target, status, index.status(source))
            index.move(source, target)
        index.amend(target, journal_offset)
        index.set_passthrough(target, record["carried"])
        index.set_ordinal(target, record["ordinal"])
        self.passthrough.add(record["carried"], record["ordinal"])

    def _replace(self, entry: int, status_before: str, status: str) -> None:
        row = self.read(entry)
        self.totals.remove(row)
        # A failed row's next record includes its cost, but an invalid one was never sent and includes none.
        if status_before == _ANSWERED or (status_before != _INVALID and status == _INVALID):
            self.superseded.add(row)
