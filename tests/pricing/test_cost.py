"""What an attempt cost, to the digit, and who says so."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.core.attempt import Cost, Usage
from batchchat.core.price import Price
from batchchat.pricing.cost import Pricing, cost_usd, pricing
from batchchat.pricing.rates import Rates

PRICE = Price(Decimal("0.48"), Decimal("0.48"))
prices = st.decimals(0, 1000, places=4)
tokens = st.integers(0, 10**9)


def told(usage: Usage, price: Price | None) -> Cost | None:
    tell: Pricing = pricing(Rates("", job_price=price))
    return tell(usage, "m", None)


def test_the_founding_page() -> None:
    """Its first answer reports $0.0000268; at the page's price its tokens would cost $0.00001488."""
    usage = Usage(15, 16, 31, cost_usd=0.0000268)
    assert told(usage, PRICE) == Cost(Decimal("0.0000268"), "reported")
    assert told(Usage(15, 16, 31), PRICE) == Cost(Decimal("0.00001488"), "job")
    assert told(usage, None) == Cost(Decimal("0.0000268"), "reported")
    assert told(Usage(15, 16, 31), None) is None


@given(st.floats(0, 1e6))
def test_a_reported_cost_is_kept_to_the_last_digit(reported: float) -> None:
    """What the response says comes back as the same number, in as many digits as it was written."""
    cost = told(Usage(cost_usd=reported), None)
    assert cost is not None
    assert float(cost.usd) == reported
    assert cost.usd == Decimal(repr(reported))


@given(prompt=tokens, completion=tokens, cached=st.none() | tokens, given_in=prices, out=prices, hit=st.none() | prices)
def test_a_computed_cost_is_exact(
    *, prompt: int, completion: int, cached: int | None, given_in: Decimal, out: Decimal, hit: Decimal | None
) -> None:
    """Against fractions: cached tokens at their own price where there is one, and never more than the prompt has."""
    cost = cost_usd(Usage(prompt, completion, None, cached), Price(given_in, out, hit))
    assert cost is not None
    held = min(cached or 0, prompt)
    expected = Fraction(given_in) * (prompt - held) + Fraction(given_in if hit is None else hit) * held
    assert Fraction(cost) == (expected + Fraction(out) * completion) / 10**6


@pytest.mark.parametrize("usage", [Usage(), Usage(prompt_tokens=5), Usage(completion_tokens=5), Usage(total_tokens=5)])
def test_without_both_counts_the_cost_is_unknown(usage: Usage) -> None:
    """Half a count is no cost, and unknown is never 0."""
    assert cost_usd(usage, PRICE) is None
    assert told(usage, PRICE) is None


def test_a_free_answer_costs_nothing() -> None:
    """A reported 0 is a cost, and wins over the job's price."""
    assert told(Usage(5, 5, cost_usd=0.0), PRICE) == Cost(Decimal(0), "reported")
