"""The cost of an attempt: as the response reports it, else by the rate of the model that served it, else unknown.

Pure; sums are Decimal. Prices are in USD per million tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from batchchat.core.attempt import Cost, Reply, Usage
from batchchat.core.price import Price
from batchchat.pricing.rates import Rates

__all__ = ["Pricing", "batch_pricing", "cost_usd", "pricing"]

_MILLION = Decimal(1_000_000)

Pricing = Callable[[Usage, str, Reply | None], Cost | None]
"""(usage, requested model, reply or None) -> its cost and the source of it; None where the cost is unknown."""


def cost_usd(usage: Usage, price: Price) -> Decimal | None:
    """The cost of `usage` at `price` in USD; None where it lacks a token count."""
    prompt, completion = usage.billed_prompt_tokens, usage.billed_completion_tokens
    if prompt is None or completion is None:
        return None
    if price.cached_input is None:
        return (prompt * price.input + completion * price.output) / _MILLION
    cached = min(usage.cached_tokens or 0, prompt)
    return ((prompt - cached) * price.input + cached * price.cached_input + completion * price.output) / _MILLION


def pricing(rates: Rates) -> Pricing:
    """The function that computes the cost of an attempt by `rates`, where the response does not report it."""

    def cost_of(usage: Usage, requested_model: str, reply: Reply | None) -> Cost | None:
        if usage.cost_usd is not None:
            return Cost(Decimal(repr(usage.cost_usd)), "reported")
        served_model, tier = (None, None) if reply is None else (reply.model, reply.service_tier)
        rate = rates.billed_rate(requested_model, served_model, tier)
        computed = None if rate is None else cost_usd(usage, rate.price)
        return None if rate is None or computed is None else Cost(computed, rate.source)

    return cost_of


def batch_pricing(rates: Rates) -> Pricing:
    """The same for the responses of a batch: without a reported cost, by the job's own price or not at all.

    Lists and tables have the prices of live requests, and batches cost half of those at many providers.
    """
    cost_of = pricing(rates)

    def cost_in_batch(usage: Usage, requested_model: str, reply: Reply | None) -> Cost | None:
        cost = cost_of(usage, requested_model, reply)
        return cost if cost is None or cost.source in {"reported", "job"} else None

    return cost_in_batch
