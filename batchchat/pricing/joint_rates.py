"""The rates of a job that goes to several endpoints, each of which has rates of its own; pure.

What a request costs depends on which endpoint answers, and that is not known when it is made. So a reservation is made
at the highest of their prices, and a row is checked against the longest of their contexts: whether it fits the others
is found out by sending it.
"""

from __future__ import annotations

from collections.abc import Sequence

from batchchat.core.price import Price
from batchchat.pricing.rates import Rate, Rates

__all__ = ["JointRates"]


class JointRates(Rates):
    """The rates that hold whichever of the endpoints answers; `parts` are theirs, in their order."""

    def __init__(self, parts: Sequence[Rates]) -> None:
        super().__init__("")
        self._parts = tuple(parts)

    @property
    def parts(self) -> tuple[Rates, ...]:
        """Those of each endpoint."""
        return self._parts

    @property
    def has_list(self) -> bool:
        """True if the lists of models of all endpoints are known."""
        return all(part.has_list for part in self.parts)

    def rate(self, model: str) -> Rate | None:
        """The rate of `model` where its reply costs most; None where that of one endpoint is unknown."""
        rates = [rate for part in self.parts if (rate := part.rate(model)) is not None]
        if len(rates) < len(self.parts):
            return None
        highest = max(rates, key=lambda rate: (rate.price.output, rate.price.input))
        if all(_covers(highest.price, rate.price) for rate in rates):
            return highest
        return Rate(_highest([rate.price for rate in rates]), highest.source, "the highest of each", highest.as_of)

    def highest_price(self, model: str, tier: str | None = None) -> Price | None:
        """The highest price that a request for `model` at `tier` may be billed at; used for reservations."""
        prices = [price for part in self.parts if (price := part.highest_price(model, tier)) is not None]
        return _highest(prices) if len(prices) == len(self.parts) else None

    def context_length(self, model: str) -> int | None:
        """The longest context of `model`; None where that of one endpoint is unknown."""
        lengths = [length for part in self.parts if (length := part.context_length(model)) is not None]
        return max(lengths) if len(lengths) == len(self.parts) else None


def _covers(price: Price, lower: Price) -> bool:
    return price.input >= lower.input and price.output >= lower.output


def _highest(prices: Sequence[Price]) -> Price:
    cached = [price.input if price.cached_input is None else price.cached_input for price in prices]
    return Price(max(price.input for price in prices), max(price.output for price in prices), max(cached))
