"""The cost of an attempt, to the digit, and its source."""

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


def cost_of(usage: Usage, price: Price | None) -> Cost | None:
    by_rates: Pricing = pricing(Rates("", job_model="m", job_price=price))
    return by_rates(usage, "m", None)


def test_the_example_of_deepinfras_page() -> None:
    """The first answer there reports $0.0000268; at the listed price its tokens would cost $0.00001488."""
    usage = Usage(15, 16, 31, cost_usd=0.0000268)
    assert cost_of(usage, PRICE) == Cost(Decimal("0.0000268"), "reported")
    assert cost_of(Usage(15, 16, 31), PRICE) == Cost(Decimal("0.00001488"), "job")
    assert cost_of(usage, None) == Cost(Decimal("0.0000268"), "reported")
    assert cost_of(Usage(15, 16, 31), None) is None


@given(st.floats(0, 1e6))
def test_a_reported_cost_is_kept_to_the_last_digit(reported: float) -> None:
    """The reported number is the cost, in as many digits as it was written with."""
    cost = cost_of(Usage(cost_usd=reported), None)
    assert cost is not None
    assert float(cost.usd) == reported
    assert cost.usd == Decimal(repr(reported))


@given(
    prompt=tokens, completion=tokens, cached=st.none() | tokens, input_usd=prices, out=prices, hit=st.none() | prices
)
def test_a_computed_cost_is_exact(
    *, prompt: int, completion: int, cached: int | None, input_usd: Decimal, out: Decimal, hit: Decimal | None
) -> None:
    """Compared with fractions: cached tokens, at most those of the prompt, have their own price where there is one."""
    cost = cost_usd(Usage(prompt, completion, None, cached), Price(input_usd, out, hit))
    assert cost is not None
    cached_tokens = min(cached or 0, prompt)
    expected = (
        Fraction(input_usd) * (prompt - cached_tokens) + Fraction(input_usd if hit is None else hit) * cached_tokens
    )
    assert Fraction(cost) == (expected + Fraction(out) * completion) / 10**6


@pytest.mark.parametrize("usage", [Usage(), Usage(prompt_tokens=5), Usage(completion_tokens=5), Usage(total_tokens=5)])
def test_without_both_counts_the_cost_is_unknown(usage: Usage) -> None:
    """One count is not enough, and an unknown cost is not 0."""
    assert cost_usd(usage, PRICE) is None
    assert cost_of(usage, PRICE) is None


def test_a_free_answer_costs_nothing() -> None:
    """A reported cost of 0 wins over the job's price."""
    assert cost_of(Usage(5, 5, cost_usd=0.0), PRICE) == Cost(Decimal(0), "reported")
