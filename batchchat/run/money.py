"""A budget under way: its policies for the gate, what the journal notes of it, and what is told of its surprises."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from batchchat.events import Dearer, Subscriber
from batchchat.policy.budget import Budget
from batchchat.policy.decision import Policy
from batchchat.run.holds import Holds

__all__ = ["Money"]

_WORTH_TELLING = Decimal("1.05")


class Money:
    """`hold` appends a hold with what it is given to note; `appended` counts the journal's records so far."""

    def __init__(
        self, budget: Budget, hold: Callable[[dict[str, Any]], None], appended: Callable[[], int], tell: Subscriber
    ) -> None:
        self.budget = budget
        self._tell = tell
        self._told = max(budget.learned.dearest, Decimal(1))
        self._overruns_told = 0
        self._holds = Holds(lambda usd: hold(self.noted(usd)), appended)

    @property
    def policies(self) -> list[Policy]:
        """What the gate asks."""
        return [self.budget, self._holds]

    def synced(self, records: int) -> None:
        """The first `records` of the journal are on disk."""
        self._holds.synced(records)

    def noted(self, usd: Decimal) -> dict[str, Any]:
        """What a hold of `usd` says: it, and what is known of the price by now."""
        learned = self.budget.learned
        return {
            "usd": str(usd),
            "price": learned.price,
            "answers": learned.answers,
            "dearest": str(learned.dearest),
        }

    def tell_dearer(self, *, at_last: bool = False) -> None:
        """Say, each time it gets worse, that answers cost more than the price says; `at_last` all that is left to say.

        What they cost beyond their worst case is told with the first such answer, and in full at last.
        """
        budget, dearest = self.budget, self.budget.learned.dearest
        overrun = budget.overruns > self._overruns_told and (at_last or not self._overruns_told)
        if dearest >= self._told * _WORTH_TELLING or overrun:
            self._told, self._overruns_told = max(dearest, self._told), budget.overruns
            self._tell(Dearer(max(dearest, Decimal(1)), budget.overrun_usd))
