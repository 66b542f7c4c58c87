"""What an exchange cost: what the response reports; else the job's price; else unknown. Pure, and in Decimal.

Prices are USD per million tokens. A price holds under whatever name the server serves the model.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from batchchat.exchange import Cost, Usage
from batchchat.job.spec import Price

__all__ = ["Pricing", "cost_usd", "pricing"]

_MILLION = Decimal(1_000_000)

Pricing = Callable[[Usage], Cost | None]


def cost_usd(usage: Usage, price: Price) -> Decimal | None:
    """The cost of `usage` in USD; None where it lacks the tokens to tell."""
    if usage.prompt_tokens is None or usage.completion_tokens is None:
        return None
    cached = min(usage.cached_tokens or 0, usage.prompt_tokens)
    cached_price = price.input if price.cached_input is None else price.cached_input
    fresh = usage.prompt_tokens - cached
    return (fresh * price.input + cached * cached_price + usage.completion_tokens * price.output) / _MILLION


def pricing(price: Price | None) -> Pricing:
    """How a job tells the cost of a usage."""

    def tell(usage: Usage) -> Cost | None:
        if usage.cost_usd is not None:
            return Cost(Decimal(repr(usage.cost_usd)), "reported")
        computed = None if price is None else cost_usd(usage, price)
        return None if computed is None else Cost(computed, "job")

    return tell
