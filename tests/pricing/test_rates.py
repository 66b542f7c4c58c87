"""The sources of a price and a context length, in their order."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from batchchat.core.attempt import Cost, Reply, Usage
from batchchat.core.price import Price
from batchchat.pricing.cost import pricing
from batchchat.pricing.price_table import PriceEntry, PriceTable
from batchchat.pricing.rates import ListedModel, Rates

HOST = "api.deepinfra.com"


def price(usd: int) -> Price:
    return Price(Decimal(usd), Decimal(usd))


OWN, LISTED, TABLED = price(1), price(2), price(3)
DAY = date(2026, 11, 1)
TABLE = PriceTable(
    [PriceEntry("m", HOST, TABLED, 3_000, "a page", DAY), PriceEntry("dear", HOST, price(9), None, "a page", DAY)]
)
LIST = {"m": ListedModel(LISTED, 2_000)}
USAGE = Usage(1_000_000, 0)


def rates(**changes: Any) -> Rates:
    return Rates(
        changes.pop("host", HOST), **{"job_model": "m", "job_price": OWN, "listed": LIST, "table": TABLE, **changes}
    )


def cost_by(by: Rates, requested: str = "m", served: str | None = None, tier: str | None = None) -> Cost | None:
    return pricing(by)(USAGE, requested, Reply("Hi", model=served, service_tier=tier))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, (1, "job")),
        ({"job_price": None}, (2, "endpoint")),
        ({"job_price": None, "listed": None}, (3, "table")),
        ({"job_price": None, "listed": {"m": ListedModel(None, 5)}}, (3, "table")),
        ({"job_price": None, "listed": {"other": ListedModel(LISTED, 5)}}, (3, "table")),
        ({"job_price": None, "listed": None, "host": "api.openai.com"}, None),
        ({"job_price": None, "listed": None, "table": None}, None),
    ],
)
def test_the_order_of_prices(changes: dict[str, Any], expected: tuple[int, str] | None) -> None:
    """The job's, then the endpoint's list, then the table at this host; without any it is unknown, not 0."""
    cost = cost_by(rates(**changes))
    assert cost == (None if expected is None else Cost(Decimal(expected[0]), expected[1]))


def test_a_reported_cost_comes_first() -> None:
    """Whatever the lists have."""
    cost = pricing(rates())(Usage(1_000_000, 0, cost_usd=0.5), "m", None)
    assert cost == Cost(Decimal("0.5"), "reported")


def test_the_model_that_served_is_billed() -> None:
    """By its own price where a list has it, else by that of the requested model. The job's price applies to all."""
    listless = rates(job_price=None, listed=None)
    assert cost_by(listless, served="dear") == Cost(Decimal(9), "table")
    assert cost_by(listless, served="m-0613") == Cost(Decimal(3), "table")
    assert cost_by(rates(), served="dear") == Cost(Decimal(1), "job")
    assert cost_by(listless, requested="unknown", served="m") == Cost(Decimal(3), "table")


def test_the_price_of_the_job_is_of_its_model() -> None:
    """A row's own model has its own price, or none; the job's price is never that of another model."""
    assert cost_by(rates(), requested="dear") == Cost(Decimal(9), "table")
    assert cost_by(rates(), requested="dear", served="dear-0613") == Cost(Decimal(9), "table")
    assert cost_by(rates(), requested="unknown") is None
    assert rates().highest_price("unknown") is None
    assert rates().highest_price("m") == OWN


@pytest.mark.parametrize(("tier", "usd"), [("flex", "2.4"), ("priority", "4.5"), ("default", "3"), (None, "3")])
def test_deepinfra_bills_the_tier_that_served(tier: str | None, usd: str) -> None:
    """Flex costs 0.8 times the price, priority 1.5 times; the job's price and other hosts' apply to any tier."""
    listless = rates(job_price=None, listed=None)
    assert cost_by(listless, tier=tier) == Cost(Decimal(usd), "table")
    assert cost_by(rates(), tier=tier) == Cost(Decimal(1), "job")
    elsewhere = PriceTable([PriceEntry("m", "h", TABLED, None, "a page", DAY)])
    assert cost_by(rates(job_price=None, listed=None, table=elsewhere, host="h"), tier=tier) == Cost(
        Decimal(3), "table"
    )


def test_the_highest_price_of_a_request() -> None:
    """That of the tier for priority; the full price for flex, since flex may not be available."""
    listless = rates(job_price=None, listed=None)
    prices = [listless.highest_price("m", tier) for tier in ("priority", "flex", None)]
    assert [highest and highest.input for highest in prices] == [Decimal("4.5"), 3, 3]
    assert listless.highest_price("unknown") is None


def test_the_order_of_contexts() -> None:
    """The job's own, then the endpoint's list, then the table."""
    assert rates(job_context_length=1_000).context_length("anything") == 1_000
    assert rates().context_length("m") == 2_000
    assert rates(listed={"m": ListedModel(LISTED, None)}).context_length("m") == 3_000
    assert rates().context_length("dear") is None


def test_a_list_that_comes_later() -> None:
    """Costs computed afterwards use it."""
    learning = rates(job_price=None, listed=None)
    assert (learning.has_list, cost_by(learning)) == (False, Cost(Decimal(3), "table"))
    learning.learn(LIST)
    assert (learning.has_list, cost_by(learning)) == (True, Cost(Decimal(2), "endpoint"))


def test_the_description_of_a_rate() -> None:
    """It has the price, its source and its date."""
    rate = rates(job_price=None, listed=None).rate("m")
    assert rate is not None
    assert rate.description == "$3 in / $3 out per million (a page, 2026-11-01)"
