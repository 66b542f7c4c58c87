"""Who is believed about a price and a context, in which order."""

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


def rates(**given: Any) -> Rates:
    return Rates(given.pop("host", HOST), **{"job_price": OWN, "listed": LIST, "table": TABLE, **given})


def told(found: Rates, asked: str = "m", served: str | None = None, tier: str | None = None) -> Cost | None:
    return pricing(found)(USAGE, asked, Reply("Hi", model=served, service_tier=tier))


@pytest.mark.parametrize(
    ("given", "expected"),
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
def test_the_order_of_prices(given: dict[str, Any], expected: tuple[int, str] | None) -> None:
    """The job's, then the endpoint's list, then the table at this host; what nobody knows is unknown, never 0."""
    cost = told(rates(**given))
    assert cost == (None if expected is None else Cost(Decimal(expected[0]), expected[1]))


def test_what_is_reported_comes_first() -> None:
    """Whatever any list says."""
    cost = pricing(rates())(Usage(1_000_000, 0, cost_usd=0.5), "m", None)
    assert cost == Cost(Decimal("0.5"), "reported")


def test_the_model_that_served_is_billed() -> None:
    """By its own price where a list has it; under a name nobody lists by the one asked for. The job's price stays."""
    listless = rates(job_price=None, listed=None)
    assert told(listless, served="dear") == Cost(Decimal(9), "table")
    assert told(listless, served="m-0613") == Cost(Decimal(3), "table")
    assert told(rates(), served="dear") == Cost(Decimal(1), "job")
    assert told(listless, asked="unknown", served="m") == Cost(Decimal(3), "table")


@pytest.mark.parametrize(("tier", "usd"), [("flex", "2.4"), ("priority", "4.5"), ("default", "3"), (None, "3")])
def test_deepinfra_bills_the_tier_that_served(tier: str | None, usd: str) -> None:
    """Flex a fifth less, priority half as much again; the job's price holds for any tier, and so do other hosts'."""
    listless = rates(job_price=None, listed=None)
    assert told(listless, tier=tier) == Cost(Decimal(usd), "table")
    assert told(rates(), tier=tier) == Cost(Decimal(1), "job")
    elsewhere = PriceTable([PriceEntry("m", "h", TABLED, None, "a page", DAY)])
    assert told(rates(job_price=None, listed=None, table=elsewhere, host="h"), tier=tier) == Cost(Decimal(3), "table")


def test_a_request_is_reckoned_with_its_dearest() -> None:
    """A priority request at its price; a flex one at the full price, since flex may not be had."""
    listless = rates(job_price=None, listed=None)
    assert [
        found and found.input for found in (listless.highest_price("m", tier) for tier in ("priority", "flex", None))
    ] == [
        Decimal("4.5"),
        3,
        3,
    ]
    assert listless.highest_price("unknown") is None


def test_the_order_of_contexts() -> None:
    """The job's own, then the endpoint's list, then the table."""
    assert rates(job_context_length=1_000).context_length("anything") == 1_000
    assert rates().context_length("m") == 2_000
    assert rates(listed={"m": ListedModel(LISTED, None)}).context_length("m") == 3_000
    assert rates().context_length("dear") is None


def test_a_list_is_learned() -> None:
    """What comes after it is reckoned with it."""
    found = rates(job_price=None, listed=None)
    assert (found.has_list, told(found)) == (False, Cost(Decimal(3), "table"))
    found.learn(LIST)
    assert (found.has_list, told(found)) == (True, Cost(Decimal(2), "endpoint"))


def test_a_rate_in_words() -> None:
    """It says who says so, and since when."""
    found = rates(job_price=None, listed=None).rate("m")
    assert found is not None
    assert found.description == "$3 in / $3 out per million (a page, 2026-11-01)"
