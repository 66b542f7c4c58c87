"""The money of a drive: its policies for the gate, what the journal notes of it, and what is told of its surprises."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from batchchat.core.events import PriceRatioRaised, Subscriber
from batchchat.policy.budget import Budget
from batchchat.policy.decision import Policy
from batchchat.policy.spend_holds import HoldLevel, SpendHolds

__all__ = ["Money"]

_WORTH_TELLING = Decimal("1.05")


class Money:
    """What a job at `price` spends, under a `budget` where it has one.

    `hold` appends a hold of what it is given; `appended` counts the journal's records so far.
    """

    def __init__(
        self,
        price: str,
        budget: Budget | None,
        hold: Callable[[dict[str, Any]], None],
        appended: Callable[[], int],
        tell: Subscriber,
    ) -> None:
        self.budget = budget
        self._price = price
        self._tell = tell
        self._told = Decimal(1) if budget is None else max(budget.learned.max_ratio, Decimal(1))
        self._overruns_told = 0
        self._known = self._knowledge()
        self._holds = SpendHolds(lambda level: hold(self.noted(level)), appended)

    @property
    def policies(self) -> list[Policy]:
        """What the gate asks."""
        return [self._holds] if self.budget is None else [self.budget, self._holds]

    def synced(self, records: int) -> None:
        """The first `records` of the journal are on disk."""
        self._holds.synced(records)
        if self._knowledge() != self._known:
            self._holds.note()

    def noted(self, level: HoldLevel) -> dict[str, Any]:
        """What a hold of `level` says: it, and what is known of the price by now."""
        found = {"requests": level.requests, "usd": str(level.usd) if level.bounded else None, "price": self._price}
        if self.budget is not None:
            learned, self._known = self.budget.learned, self._knowledge()
            found |= {"answers": learned.answers, "dearest": str(learned.max_ratio)}
        return found

    def _knowledge(self) -> object:
        """What a resume must know of the price at once: how dear it is, and whether enough answers have shown it."""
        return None if self.budget is None else (self.budget.learned.max_ratio, self.budget.is_learning)

    def tell_dearer(self, *, at_last: bool = False) -> None:
        """Say, each time it gets worse, that answers cost more than the price says; `at_last` all that is left to say.

        What they cost beyond their worst case is told with the first such answer, and in full at last.
        """
        if (budget := self.budget) is None:
            return
        dearest = budget.learned.max_ratio
        overrun = budget.overruns > self._overruns_told and (at_last or not self._overruns_told)
        if dearest >= self._told * _WORTH_TELLING or overrun:
            self._told, self._overruns_told = max(dearest, self._told), budget.overruns
            self._tell(PriceRatioRaised(max(dearest, Decimal(1)), budget.overrun_usd))
