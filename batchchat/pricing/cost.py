"""What an attempt cost: what the response reports; else by the rate of the model that served it; else unknown.

Pure, and in Decimal. Prices are USD per million tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from batchchat.core.attempt import Cost, Reply, Usage
from batchchat.core.price import Price
from batchchat.pricing.rates import Rates

__all__ = ["Pricing", "cost_usd", "pricing"]

_MILLION = Decimal(1_000_000)

Pricing = Callable[[Usage, str, Reply | None], Cost | None]
"""(usage, the model that was asked, the reply if there is one) -> what it cost."""


def cost_usd(usage: Usage, price: Price) -> Decimal | None:
    """The cost of `usage` in USD; None where it lacks the tokens to tell."""
    if usage.prompt_tokens is None or usage.completion_tokens is None:
        return None
    cached = min(usage.cached_tokens or 0, usage.prompt_tokens)
    cached_price = price.input if price.cached_input is None else price.cached_input
    fresh = usage.prompt_tokens - cached
    return (fresh * price.input + cached * cached_price + usage.completion_tokens * price.output) / _MILLION


def pricing(rates: Rates) -> Pricing:
    """How a job tells the cost of a usage."""

    def tell(usage: Usage, asked: str, reply: Reply | None) -> Cost | None:
        if usage.cost_usd is not None:
            return Cost(Decimal(repr(usage.cost_usd)), "reported")
        served, tier = (None, None) if reply is None else (reply.model, reply.service_tier)
        rate = rates.billed(asked, served, tier)
        computed = None if rate is None else cost_usd(usage, rate.price)
        return None if rate is None or computed is None else Cost(computed, rate.source)

    return tell
