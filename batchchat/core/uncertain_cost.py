"""Money that may have been paid on top of what is known: an upper bound, at the prices its holds were computed at.

Pure. The totals, the messages and the budget all use this one rule: each amount is multiplied by the highest ratio of
reported to computed cost that was seen at its price, and by 1 at least.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

__all__ = ["UncertainCost"]

_NO_USD = Decimal(0)
_ONE = Decimal(1)


@dataclass(frozen=True, slots=True)
class UncertainCost:
    """`at_risk_usd` was in flight when runs were killed, by the price it was computed at.

    `mixed_price_usd` is for attempts that broke off or reported no usage, at any of the prices: it counts at the
    highest ratio of all. `max_price_ratios` has, by price, the highest ratio of reported to computed cost seen.
    """

    at_risk_usd: Mapping[str, Decimal] = field(default_factory=dict)
    mixed_price_usd: Decimal = _NO_USD
    max_price_ratios: Mapping[str, Decimal] = field(default_factory=dict)

    @property
    def max_price_ratio(self) -> Decimal:
        """The highest ratio of reported to computed cost at any price; at least 1."""
        return max(self.max_price_ratios.values(), default=_ONE).max(_ONE)

    @property
    def at_risk_upper_bound_usd(self) -> Decimal:
        """Upper bound of what was in flight; where its price was not recorded, at the highest ratio of all."""
        return sum((usd * self._ratio(price) for price, usd in self.at_risk_usd.items()), _NO_USD)

    @property
    def upper_bound_usd(self) -> Decimal:
        """Upper bound in USD: at-risk amounts times their price's ratio, plus the others at the highest ratio."""
        return self.at_risk_upper_bound_usd + self.mixed_price_usd * self.max_price_ratio

    def with_ratio(self, price: str, max_ratio: Decimal) -> UncertainCost:
        """A copy in which `max_ratio` is the highest ratio seen at `price`."""
        return UncertainCost(self.at_risk_usd, self.mixed_price_usd, {**self.max_price_ratios, price: max_ratio})

    def _ratio(self, price: str) -> Decimal:
        return self.max_price_ratios.get(price, _ONE).max(_ONE) if price else self.max_price_ratio
