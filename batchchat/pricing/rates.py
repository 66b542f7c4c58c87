"""What a model costs where this job sends it, and how long its context is: the first that knows, in one order. Pure.

price            the job's own `price` -> the endpoint's list of models -> the dated table
context length   the job's own `endpoint.context_length` -> the endpoint's list -> the table

The job's price holds for every model and tier. A list's is of the model that served, where the list has that name,
since it is the one that is billed; else of the model that was asked. DeepInfra bills the tier that it served.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from batchchat.core.price import Price
from batchchat.pricing.price_table import PriceTable

__all__ = ["DEEPINFRA_TIERS", "ListedModel", "Rate", "Rates", "tiered"]

DEEPINFRA_TIERS = {"flex": Decimal("0.8"), "priority": Decimal("1.5")}
_DEEPINFRA = "api.deepinfra.com"


class ListedModel(NamedTuple):
    """What an endpoint's list of models says of one; None is not said."""

    price: Price | None
    context_length: int | None


@dataclass(frozen=True, slots=True)
class Rate:
    """A price and who says so. `source` is job, endpoint or table; `said_by` names it for people; `as_of` its day."""

    price: Price
    source: str
    said_by: str
    as_of: date | None = None

    @property
    def words(self) -> str:
        """For people: `$0.48 in / $0.48 out per million (deepinfra.com, 2026-11-22)`."""
        day = "" if self.as_of is None else f", {self.as_of.isoformat()}"
        return f"${self.price.input} in / ${self.price.output} out per million ({self.said_by}{day})"


class Rates:
    """The rates of one job at `host`. `listed` is the endpoint's own list, by the exact name of a model."""

    def __init__(
        self,
        host: str,
        *,
        own: Price | None = None,
        own_context_length: int | None = None,
        listed: Mapping[str, ListedModel] | None = None,
        table: PriceTable | None = None,
    ) -> None:
        self._host = host
        self._own = None if own is None else Rate(own, "job", "the job's `price`")
        self._own_context_length = own_context_length
        self._listed = listed
        self._table = table
        self._found: dict[str, Rate | None] = {}
        self._lengths: dict[str, int | None] = {}

    @property
    def has_list(self) -> bool:
        """Whether the endpoint's list is known."""
        return self._listed is not None

    def learn(self, listed: Mapping[str, ListedModel]) -> None:
        """The endpoint's list has come; what follows is reckoned with it."""
        self._listed = listed
        self._found.clear()
        self._lengths.clear()

    def rate(self, model: str) -> Rate | None:
        """What a request for `model` costs; None where nobody knows."""
        if self._own is not None:
            return self._own
        if model not in self._found:
            if len(self._found) > _MOST_KEPT:
                self._found.clear()
            self._found[model] = self._look_up(model)
        return self._found[model]

    def billed(self, asked: str, served: str | None, tier: str | None = None) -> Rate | None:
        """What an answer is billed by, given the model and the tier that served it."""
        rate = (self.rate(served) if served and served != asked else None) or self.rate(asked)
        return rate if rate is None or tier is None else self._at_tier(rate, tier)

    def most(self, asked: str, tier: str | None = None) -> Price | None:
        """The dearest that a request for `asked` at `tier` is reckoned with."""
        rate = self.rate(asked)
        if rate is None:
            return None
        # A tier that is not to be had is served and billed as the usual one.
        return self._at_tier(rate, tier).price if tier == "priority" else rate.price

    def context_length(self, model: str) -> int | None:
        """Tokens of prompt and reply together; None where nobody knows."""
        if self._own_context_length is not None:
            return self._own_context_length
        if model not in self._lengths:
            if len(self._lengths) > _MOST_KEPT:
                self._lengths.clear()
            self._lengths[model] = self._look_up_length(model)
        return self._lengths[model]

    def _look_up(self, model: str) -> Rate | None:
        listed = (self._listed or {}).get(model)
        if listed is not None and listed.price is not None:
            return Rate(listed.price, "endpoint", f"{self._host}'s list of models")
        entry = None if self._table is None else self._table.find(model, self._host)
        return None if entry is None else Rate(entry.price, "table", entry.source, entry.as_of)

    def _look_up_length(self, model: str) -> int | None:
        listed = (self._listed or {}).get(model)
        if listed is not None and listed.context_length is not None:
            return listed.context_length
        entry = None if self._table is None else self._table.find(model, self._host)
        return None if entry is None else entry.context_length

    def _at_tier(self, rate: Rate, tier: str) -> Rate:
        factor = DEEPINFRA_TIERS.get(tier)
        if rate.source == "job" or factor is None or self._host != _DEEPINFRA:
            return rate
        return Rate(tiered(rate.price, factor), rate.source, rate.said_by, rate.as_of)


def tiered(price: Price, factor: Decimal) -> Price:
    """`price` times `factor`."""
    hit = None if price.cached_input is None else price.cached_input * factor
    return Price(price.input * factor, price.output * factor, hit)


_MOST_KEPT = 10_000
