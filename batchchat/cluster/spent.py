"""What was paid, or may have been, in one part of a job: before a session, or by one of its workers. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from batchchat.core.uncertain_cost import UncertainCost

__all__ = ["NOTHING_SPENT", "Spent"]

_NO_USD = Decimal(0)


class Spent(NamedTuple):
    """`paid_usd`, and on top of it what is `uncertain`."""

    paid_usd: Decimal = _NO_USD
    uncertain: UncertainCost = UncertainCost()

    def since(self, before: Spent) -> Spent:
        """What was spent since it was `before`."""
        return self._plus(before, -1)

    def plus(self, more: Spent) -> Spent:
        """Both; what was seen of prices is that of either."""
        return self._plus(more, 1)

    def _plus(self, more: Spent, sign: int) -> Spent:
        own, others = self.uncertain, more.uncertain
        prices = own.at_risk_usd.keys() | others.at_risk_usd.keys()
        at_risk = {
            price: own.at_risk_usd.get(price, _NO_USD) + sign * others.at_risk_usd.get(price, _NO_USD)
            for price in sorted(prices)
        }
        mixed_usd = own.mixed_price_usd + sign * others.mixed_price_usd
        uncertain = UncertainCost(at_risk, mixed_usd, {**others.max_price_ratios, **own.max_price_ratios})
        return Spent(self.paid_usd + sign * more.paid_usd, uncertain)


NOTHING_SPENT = Spent()
