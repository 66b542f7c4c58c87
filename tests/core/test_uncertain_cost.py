"""Upper bounds of what may have been paid."""

from __future__ import annotations

from decimal import Decimal

from batchchat.core.uncertain_cost import UncertainCost

USD = Decimal


def test_nothing_may_have_been_paid() -> None:
    """Without amounts the bound is 0, and a price is charged once."""
    assert UncertainCost().upper_bound_usd == 0
    assert UncertainCost().max_price_ratio == 1


def test_each_amount_counts_at_the_ratio_of_its_price() -> None:
    """At-risk amounts at their own price's ratio, the others at the highest; a ratio below 1 counts as 1."""
    cost = UncertainCost({"a": USD(1), "b": USD(1)}, USD(10), {"a": USD("0.5"), "b": USD("1.5")})
    assert cost.at_risk_upper_bound_usd == USD("2.5")
    assert cost.upper_bound_usd == USD("17.5")


def test_an_amount_of_unknown_price_counts_at_the_highest_ratio() -> None:
    """Journals of older versions do not name the price."""
    assert UncertainCost({"": USD(2)}, max_price_ratios={"a": USD(3)}).upper_bound_usd == 6


def test_a_ratio_seen_later_replaces_the_earlier() -> None:
    """The cost before is unchanged."""
    before = UncertainCost({"a": USD(1)}, USD(1), {"a": USD(1)})
    assert before.with_ratio("a", USD(2)).upper_bound_usd == 4
    assert before.upper_bound_usd == 2
