"""Sums and differences of what was spent."""

from __future__ import annotations

from decimal import Decimal

from batchchat.cluster.spent import NOTHING_SPENT, Spent
from batchchat.core.uncertain_cost import UncertainCost

BEFORE = Spent(Decimal("1.5"), UncertainCost({"p": Decimal(2)}, Decimal("0.25"), {"p": Decimal("1.5")}))
MORE = Spent(Decimal("0.5"), UncertainCost({"p": Decimal(1), "q": Decimal(3)}, Decimal("0.75"), {"p": Decimal(2)}))


def test_what_was_spent_since() -> None:
    """A sum less its first part is the second; what was seen of a price is the newest."""
    total = MORE.plus(BEFORE)
    assert total.paid_usd == Decimal(2)
    assert total.uncertain.at_risk_usd == {"p": Decimal(3), "q": Decimal(3)}
    assert total.uncertain.max_price_ratios == {"p": Decimal(2)}
    since = total.since(BEFORE)
    assert (since.paid_usd, since.uncertain.mixed_price_usd) == (MORE.paid_usd, MORE.uncertain.mixed_price_usd)
    assert since.uncertain.at_risk_usd == MORE.uncertain.at_risk_usd


def test_nothing_changes_nothing() -> None:
    """Workers but one have nothing of what was spent before."""
    assert BEFORE.plus(NOTHING_SPENT) == BEFORE
