"""The price and context length of a model at the endpoint of a job; pure.

Several sources may have one; the first in this order wins:

price            the job's own `price` -> the endpoint's list of models -> the dated price table
context length   the job's own `endpoint.context_length` -> the endpoint's list of models -> the table

The job's price applies to its own model at every tier, whatever name that is served by; a row's own model has the price
that the list or the table has of it. A listed price is that of the model that served the request, where the
list has its name, since that model is billed; else that of the requested model. DeepInfra bills the tier that served.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from batchchat.core.price import Price
from batchchat.pricing.price_table import PriceTable

__all__ = ["DEEPINFRA_TIERS", "ListedModel", "Rate", "Rates", "tiered"]

DEEPINFRA_TIERS = {"flex": Decimal("0.8"), "priority": Decimal("1.5")}
"""The factor on the price of each service tier."""
_DEEPINFRA = "api.deepinfra.com"
_MAX_CACHED = 10_000


class ListedModel(NamedTuple):
    """A model's entry in the endpoint's list of models; None is not stated."""

    price: Price | None
    context_length: int | None


class Rate(NamedTuple):
    """A price and its source.

    `source` is job, endpoint or table, `source_name` its name for users, `as_of` the day the price was looked up.
    """

    price: Price
    source: str
    source_name: str
    as_of: date | None = None

    @property
    def description(self) -> str:
        """The price and its source for users: `$0.48 in / $0.48 out per million (deepinfra.com, 2026-11-22)`."""
        day = "" if self.as_of is None else f", {self.as_of.isoformat()}"
        return f"${self.price.input} in / ${self.price.output} out per million ({self.source_name}{day})"


class Rates:
    """The rates of one job at `host`.

    `job_price`, which is of `job_model`, and `job_context_length` are the job's own. `listed` is the endpoint's list of
    models by their exact names, None while it is unknown; `table` is the price table. `served_as` is
    what the endpoint calls the job's model (None: the same).
    """

    def __init__(
        self,
        host: str,
        *,
        job_model: str = "",
        job_price: Price | None = None,
        job_context_length: int | None = None,
        listed: Mapping[str, ListedModel] | None = None,
        table: PriceTable | None = None,
        served_as: str | None = None,
    ) -> None:
        self._host = host
        self._job_model = job_model
        self._job_rate = None if job_price is None else Rate(job_price, "job", "the job's `price`")
        self._job_context_length = job_context_length
        self._listed = listed
        self._table = table
        self._served_as = {} if served_as is None else {job_model: served_as}
        self._rates: dict[str, Rate | None] = {}
        self._lengths: dict[str, int | None] = {}

    @property
    def has_list(self) -> bool:
        """True if the endpoint's list of models is known."""
        return self._listed is not None

    @property
    def listed(self) -> Mapping[str, ListedModel] | None:
        """The endpoint's list of models; None while it is unknown."""
        return self._listed

    @property
    def parts(self) -> tuple[Rates, ...]:
        """The rates of each endpoint of the job: of one, these."""
        return (self,)

    def learn(self, listed: Mapping[str, ListedModel]) -> None:
        """Use `listed`, the endpoint's list of models, from now on."""
        self._listed = listed
        self._rates.clear()
        self._lengths.clear()

    def rate(self, model: str) -> Rate | None:
        """The rate of `model`; None where it is unknown."""
        if self._job_rate is not None and model == self._job_model:
            return self._job_rate
        if model not in self._rates:
            if len(self._rates) > _MAX_CACHED:
                self._rates.clear()
            self._rates[model] = self._look_up(model)
        return self._rates[model]

    def billed_rate(
        self, requested_model: str, served_model: str | None, served_tier: str | None = None
    ) -> Rate | None:
        """The rate that an answer is billed at, by the model and the tier that served it; None where it is unknown."""
        if self._job_rate is not None and requested_model == self._job_model:
            return self._job_rate
        rate = self.rate(served_model) if served_model and served_model != requested_model else None
        rate = rate or self.rate(requested_model)
        return rate if rate is None or served_tier is None else self._at_tier(rate, served_tier)

    def highest_price(self, model: str, tier: str | None = None) -> Price | None:
        """The highest price that a request for `model` at `tier` may be billed at; used for reservations."""
        rate = self.rate(model)
        if rate is None:
            return None
        # A tier that is not available is served and billed as the default one, so flex may cost the full price.
        return self._at_tier(rate, tier).price if tier == "priority" else rate.price

    def context_length(self, model: str) -> int | None:
        """The tokens that prompt and reply of `model` may have together; None where that is unknown."""
        if self._job_context_length is not None:
            return self._job_context_length
        if model not in self._lengths:
            if len(self._lengths) > _MAX_CACHED:
                self._lengths.clear()
            self._lengths[model] = self._look_up_length(model)
        return self._lengths[model]

    def _look_up(self, model: str) -> Rate | None:
        model = self._served_as.get(model, model)
        listed = (self._listed or {}).get(model)
        if listed is not None and listed.price is not None:
            return Rate(listed.price, "endpoint", f"{self._host}'s list of models")
        entry = None if self._table is None else self._table.find(model, self._host)
        return None if entry is None else Rate(entry.price, "table", entry.source, entry.as_of)

    def _look_up_length(self, model: str) -> int | None:
        model = self._served_as.get(model, model)
        listed = (self._listed or {}).get(model)
        if listed is not None and listed.context_length is not None:
            return listed.context_length
        entry = None if self._table is None else self._table.find(model, self._host)
        return None if entry is None else entry.context_length

    def _at_tier(self, rate: Rate, tier: str) -> Rate:
        factor = DEEPINFRA_TIERS.get(tier)
        if rate.source == "job" or factor is None or self._host != _DEEPINFRA:
            return rate
        return Rate(tiered(rate.price, factor), rate.source, rate.source_name, rate.as_of)


def tiered(price: Price, factor: Decimal) -> Price:
    """`price` times `factor`, the cached input price included."""
    cached_input = None if price.cached_input is None else price.cached_input * factor
    return Price(price.input * factor, price.output * factor, cached_input)
