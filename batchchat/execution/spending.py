"""The spending of a run: its policies for the gate, its records in the journal, and the warnings about its price."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from batchchat.core.events import CostOutlier, PriceRatioRaised, Subscriber
from batchchat.policy.budget import Budget
from batchchat.policy.decision import Policy
from batchchat.policy.spend_holds import NOTHING_HELD, HoldLevel, SpendHolds

__all__ = ["Spending"]

_WORTH_TELLING = Decimal("1.05")
_OUTLIER_WORTH_TELLING = Decimal(2)


class Spending:
    """What a job spends at `price`, the journal's name of it, under a `budget` where it has one.

    `record` appends a hold with the given fields to the journal, and gives the record's number. Without a price nothing
    bounds what is in flight: then the journal notes that up to `max_requests` may be billed.
    """

    def __init__(
        self,
        price: str | None,
        budget: Budget | None,
        max_requests: int,
        record: Callable[[Mapping[str, Any]], int],
        tell: Subscriber,
    ) -> None:
        self.budget = budget
        self._price = price
        self._max_requests = max_requests
        self._record = record
        self._tell = tell
        self._told_ratio = Decimal(1) if budget is None else max(budget.learned.max_ratio, Decimal(1))
        self._told_overruns = 0
        self._told_outlier = Decimal(0)
        self._noted = self._knowledge()
        self._holds = SpendHolds(lambda level: record(self._fields(level)))

    @property
    def max_cost_usd(self) -> Decimal | None:
        """The cap; None where the job has none."""
        return None if self.budget is None else self.budget.max_cost_usd

    @property
    def policies(self) -> list[Policy]:
        """The policies for the gate."""
        if self._price is None:
            return []
        return [self._holds] if self.budget is None else [self.budget, self._holds]

    def open(self) -> None:
        """Record the hold for the first request: after a kill the journal must show what may be billed."""
        if self._price is None:
            self._record({"requests": self._max_requests, "usd": None})
        else:
            self._record(self._fields(NOTHING_HELD))

    def close(self) -> None:
        """Record that nothing is in flight any more."""
        self._record({"requests": 0, "usd": None} if self._price is None else self._fields(NOTHING_HELD))

    def synced(self, record: int) -> None:
        """The journal's records up to this number are on disk."""
        if self._price is None:
            return
        self._holds.synced(record)
        if self._knowledge() != self._noted:
            self._holds.repeat()

    def _fields(self, level: HoldLevel) -> dict[str, Any]:
        """The fields of a hold of `level`, with what is known of the price so far."""
        fields = {"requests": level.requests, "usd": str(level.usd) if level.bounded else None, "price": self._price}
        if self.budget is not None:
            ratio, self._noted = self.budget.learned, self._knowledge()
            fields |= {"answers": ratio.answers, "dearest": str(ratio.max_ratio)}
        return fields

    def _knowledge(self) -> object:
        """The knowledge of the price that a resume must have: its ratio, and whether enough answers have shown it."""
        return None if self.budget is None else (self.budget.learned.max_ratio, self.budget.is_learning)

    def tell_ratio(self, *, at_last: bool = False) -> None:
        """Warn that answers cost more than the price, each time the ratio rises; with `at_last` for the last time.

        An answer that cost more than twice that, and stands alone, is reported by itself.

        What they cost above their reservations is reported with the first such answer, and in full at the end.
        """
        if (budget := self.budget) is None:
            return
        ratio = budget.learned.max_ratio
        overrun = budget.overruns > self._told_overruns and (at_last or not self._told_overruns)
        if budget.outlier > max(ratio, self._told_outlier, Decimal(1)) * _OUTLIER_WORTH_TELLING:
            self._told_outlier = budget.outlier
            self._tell(CostOutlier(budget.outlier))
        if ratio >= self._told_ratio * _WORTH_TELLING or overrun:
            self._told_ratio, self._told_overruns = max(ratio, self._told_ratio), budget.overruns
            self._tell(PriceRatioRaised(max(ratio, Decimal(1)), budget.overrun_usd))
