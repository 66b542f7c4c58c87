"""The rows that this run finished, counted as their records are synced."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from batchchat.core.conversation import Status
from batchchat.core.events import FirstFailure, Subscriber
from batchchat.core.record import RowRecord
from batchchat.core.row_counts import RowCounts
from batchchat.core.totals import SHARED, Totals
from batchchat.store.ledger import Ledger

__all__ = ["READABLE_ROWS", "FinishedRows"]

READABLE_ROWS = 20
"""A run that finishes at most this many rows prints their replies."""

_MAX_CHARS = 4_000
_NO_USAGE: dict[str, Any] = {}
_MOST_ANSWERS = 0.95
_FAILED, _INVALID = Status.FAILED.value, Status.INVALID.value


class FinishedRows:
    """Applies synced records to the `ledger`, and counts those of this run.

    `outdated` rows have a record and are sent again: they are done when they are finished again. `undecided` answers
    are kept, though their request has changed. `rows` are the first that this run finished, at most one more than are
    printed.
    """

    def __init__(self, ledger: Ledger, outdated: int, tell: Subscriber, undecided: int = 0) -> None:
        self._ledger = ledger
        self._tell = tell
        self.outdated = outdated
        self._undecided = undecided
        self.done_before = self.done
        self.count = 0
        self.completion_tokens = 0
        self.rows: list[RowRecord] = []
        self._at_endpoints: dict[str, tuple[int, Decimal | None]] = {}
        """Of each of several endpoints how many rows it answered in this run, and what is known of their cost."""

    @property
    def done(self) -> int:
        """Rows that are finished, in this run or before, and stay so."""
        return self._ledger.totals.finished - self.outdated

    @property
    def totals(self) -> Totals:
        """The sums over all finished rows of the job."""
        return self._ledger.totals

    def counts(self, left: int | None) -> RowCounts:
        """How the rows of the job stand, with those `left`; None where that is not known."""
        return self._ledger.totals.counts(left, self._undecided)

    @property
    def paid_usd(self) -> Decimal | None:
        """All that is known to be paid for the job, replaced answers included; None where nothing is known."""
        return self._ledger.known_paid_usd

    @property
    def typical_latency_s(self) -> float | None:
        """The 95th percentile of the answers' latency; None before the first answer."""
        return self._ledger.totals.latency_s(_MOST_ANSWERS)

    def answered_by(self, endpoint: str) -> tuple[int, Decimal | None]:
        """How many rows the `endpoint` of this name answered in this run, and for how much; None where not known."""
        return self._at_endpoints.get(endpoint, (0, None))

    def apply(self, location: int, record: Any) -> None:
        """Apply the synced `record` at `location` in the journal."""
        if record["kind"] != "row" or record["status"] == _INVALID:
            self._ledger.apply(location, record)
            return
        # Most runs replace no record, and skip this.
        before = self._ledger.totals.finished if self.outdated else -1
        self._ledger.apply(location, record)
        if before == self._ledger.totals.finished:
            self.outdated -= 1
        self._count(record)

    def _count(self, row: RowRecord) -> None:
        self.count += 1
        endpoint = row.get("endpoint")
        if endpoint is not None and row["status"] != _FAILED and row.get("cost_source") != SHARED:
            self._count_at(endpoint, row)
        self.completion_tokens += row.get("usage", _NO_USAGE).get("completion_tokens", 0)
        if len(self.rows) <= READABLE_ROWS:
            self.rows.append(_readable(row))
        if row["status"] == _FAILED and self._ledger.totals.failures[row["error_kind"]] == 1:
            self._tell(FirstFailure(row["error_kind"], row["id"], row["error"]))

    def _count_at(self, endpoint: str, row: RowRecord) -> None:
        rows, usd = self.answered_by(endpoint)
        if (cost := row.get("cost_usd")) is not None:
            usd = (usd or Decimal(0)) + Decimal(repr(cost))
        self._at_endpoints[endpoint] = (rows + 1, usd)


def _readable(row: RowRecord) -> RowRecord:
    """`row` with as much of its texts as may be printed: a reply can have 64 MiB."""
    readable = row.copy()
    readable.pop("raw", None)
    readable["messages"] = [_begin(message) for message in row.get("messages", ())]
    if (reply := row.get("reply")) is not None:
        readable["reply"] = _begin(reply)
    return readable


def _begin(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value[:_MAX_CHARS] if isinstance(value, str) else value for name, value in fields.items()}
