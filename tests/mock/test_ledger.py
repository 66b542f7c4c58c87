from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from batchchat.mock.ledger import BillingLedger

BILLS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 10**8)), max_size=50)


@given(BILLS)
def test_the_books_balance(bills: list[tuple[int, int]]) -> None:
    """Bodies are counted once, further billings of the same as twice, and the sum is exact."""
    ledger = BillingLedger()
    for body, nano_usd in bills:
        ledger.bill(body.to_bytes(16, "big")[::-1], nano_usd)
    figures = ledger.figures()
    assert figures["billed_rows"] == len({body for body, _ in bills})
    assert figures["billed_rows"] + figures["billed_twice"] == len(bills)
    assert Decimal(figures["cost_usd"]) == sum((Decimal(nano) for _, nano in bills), Decimal(0)) / 10**9


def test_reported_and_answered_are_told_apart() -> None:
    """An answer without text was reported, but is no answer."""
    ledger = BillingLedger()
    ledger.report(26_800, has_text=True)
    ledger.report(200, has_text=False)
    figures = ledger.figures()
    assert (figures["answered"], figures["answered_cost_usd"]) == (1, "0.0000268")
    assert figures["reported_cost_usd"] == "0.000027"


def test_arrivals_are_numbered_from_zero() -> None:
    """Each request has its number, and ends once."""
    ledger = BillingLedger()
    assert [ledger.arrive() for _ in range(3)] == [0, 1, 2]
    for outcome in ("200", "dropped", "200"):
        ledger.end(outcome)
    figures = ledger.figures()
    assert figures["requests"] == 3
    assert figures["statuses"] == {"200": 2, "dropped": 1}
