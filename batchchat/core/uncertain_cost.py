"""Money that may have been paid beside what is known: the most it can be, at the prices it was reckoned at. Pure.

What it is worth is told and counted against a cap by this one rule: each sum is taken as often as the endpoint was seen
to charge its price, at the dearest and never less than once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

__all__ = ["UncertainCost"]

_NO_USD = Decimal(0)
_ONCE = Decimal(1)


@dataclass(frozen=True, slots=True)
class UncertainCost:
    """`at_risk_usd` was in flight when runs were killed, by the price it was reckoned at.

    `rest_usd` is of attempts that broke off or told no usage, at any of the prices: it counts at the dearest of all.
    `dearest` is, by price, the dearest ratio of reported to computed cost that was seen.
    """

    at_risk_usd: Mapping[str, Decimal] = field(default_factory=dict)
    rest_usd: Decimal = _NO_USD
    dearest: Mapping[str, Decimal] = field(default_factory=dict)

    @property
    def most_dear(self) -> Decimal:
        """How many times a price was charged at most; at least 1."""
        return max(self.dearest.values(), default=_ONCE).max(_ONCE)

    @property
    def at_risk_worth_usd(self) -> Decimal:
        """What was in flight; where nobody noted the price it was reckoned at, at the dearest of all."""
        return sum((usd * self._ratio(price) for price, usd in self.at_risk_usd.items()), _NO_USD)

    @property
    def worth_usd(self) -> Decimal:
        """All of it."""
        return self.at_risk_worth_usd + self.rest_usd * self.most_dear

    def knowing(self, price: str, dearest: Decimal) -> UncertainCost:
        """The same, once `price` was seen to be charged `dearest` times."""
        return UncertainCost(self.at_risk_usd, self.rest_usd, {**self.dearest, price: dearest})

    def _ratio(self, price: str) -> Decimal:
        return self.dearest.get(price, _ONCE).max(_ONCE) if price else self.most_dear
