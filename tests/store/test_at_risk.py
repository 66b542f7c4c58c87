"""Requests in flight when sessions were killed."""

from __future__ import annotations

from decimal import Decimal

from batchchat.store.at_risk import AtRisk


def test_only_the_last_hold_of_a_session_counts() -> None:
    """A hold replaces the one before it; a session without one adds nothing, and money adds up by its price."""
    at_risk = AtRisk()
    at_risk.hold({"requests": 9, "usd": "0.9", "price": "p"})
    at_risk.hold({"requests": 2, "usd": "0.1", "price": "p"})
    at_risk.end_session()
    at_risk.end_session()
    at_risk.hold({"requests": 1, "usd": "0.2", "price": "p"})
    at_risk.end_session()
    assert (at_risk.requests, at_risk.usd, at_risk.unpriced) == (3, {"p": Decimal("0.3")}, 0)


def test_requests_without_a_bound_get_one_later() -> None:
    """They are counted apart until a price is known, and then once."""
    at_risk = AtRisk()
    at_risk.hold({"requests": 4, "usd": None})
    at_risk.end_session()
    assert (at_risk.requests, at_risk.usd, at_risk.unpriced) == (4, {}, 4)
    for _ in range(2):
        at_risk.set_bound_for_unpriced("p", Decimal("0.5"))
        assert (at_risk.requests, at_risk.usd, at_risk.unpriced) == (4, {"p": Decimal(2)}, 0)


def test_what_is_at_risk_is_the_sum_over_the_writers() -> None:
    """Of each writer the last hold counts; one that was released has nothing at risk."""
    at_risk = AtRisk()
    at_risk.hold({"requests": 9, "usd": "0.9", "price": "p", "writer": 1})
    at_risk.hold({"requests": 4, "usd": "0.4", "price": "p", "writer": 2})
    at_risk.hold({"requests": 7, "usd": "0.7", "price": "p", "writer": 3, "replaces": 1})
    at_risk.hold({"requests": 0, "usd": "0", "price": "p", "writer": 3, "replaces": 1})
    at_risk.end_session()
    assert (at_risk.requests, at_risk.usd, at_risk.unpriced) == (13, {"p": Decimal("1.3")}, 0)
