"""Rows against a bill."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from batchchat.reporting.reconcile import reconcile_lines
from batchchat.results.reconciliation import Claim, Reconciliation
from batchchat.text.labelled import LabelledLine

NANO = st.integers(0, 10**10)


def claim(id_: str, cost: str | None, attempts: int = 1) -> Claim:
    return Claim(id_, 0, f"r-{id_}", None if cost is None else Decimal(cost), attempts)


def test_what_a_person_reads() -> None:
    """The sum first, the rows that differ by their difference, then what could not be compared, each apart."""
    found = Reconciliation(without_id_rows=1)
    found.add(claim("a", "0.001"), Decimal("0.001"))
    found.add(claim("b", "0.001"), Decimal("0.0010000001"))
    found.add(claim("c", "1250.5", attempts=2), Decimal("1250.25"))
    found.add(claim("d", None), Decimal("0.5"))
    found.add(claim("e", "0.001"), None)
    assert [(line.label, line.text) for line in reconcile_lines(found, "api.deepinfra.com")] == [
        (
            "billed",
            "$1,250.2520000001 by api.deepinfra.com for 3 rows: the rows say $1,250.5020 (−$0.2499999999)",  # noqa: RUF001
        ),
        ("", "2 rows differ, the largest first:"),
        ("", "  c  $1,250.2500 billed, $1,250.5000 in the row (−$0.2500) · 2 attempts"),  # noqa: RUF001
        ("", "  b  $0.0010000001 billed, $0.0010 in the row (+$0.0000000001)"),
        (
            "",
            "1 of them took several attempts, of which only the last can be asked for:"
            " what the others cost is in the row and not in the bill",
        ),
        ("", "$0.5000 was billed for 1 row of unknown cost"),
        ("", "api.deepinfra.com knows nothing of 1 row, such as e"),
        ("", "not asked for: 1 row without a response id"),
    ]


def test_many_rows_are_counted() -> None:
    """A terminal shows five; what else there is is counted, and where it is told is said."""
    found = Reconciliation()
    for number in range(1, 22):
        found.add(claim(f"r{number}", "0"), Decimal(number).scaleb(-9))
        lines = [line.text for line in reconcile_lines(found, "h")]
        assert len(lines) == 2 + min(number, 5) + (number > 5)
        if number == 20:
            assert lines[-1] == "  and 15 more; --json has all"
    assert lines[-1] == "  and 16 more; --json has the first 20"
    assert lines[2].startswith("  r21  $0.000000021 billed, $0.0000 in the row")


def test_nothing_to_ask() -> None:
    """Without a response id there is nothing to compare, and that is said."""
    assert reconcile_lines(Reconciliation(), "h") == [LabelledLine("billed", "no row has a response id to ask for")]


@given(st.lists(st.tuples(NANO, NANO), max_size=60))
def test_the_difference_is_exact(pairs: list[tuple[int, int]]) -> None:
    """The sums are to the last digit, and the rows told are those that differ most, the largest first."""
    found = Reconciliation()
    for number, (cost, billed) in enumerate(pairs):
        found.add(claim(f"r{number}", str(Decimal(cost).scaleb(-9))), Decimal(billed).scaleb(-9))
    assert found.billed_usd - found.cost_usd == Decimal(sum(b - c for c, b in pairs)).scaleb(-9)
    assert found.differing_rows == sum(b != c for c, b in pairs)
    told = [abs(billed - (each.cost_usd or 0)) for each, billed in found.largest]
    assert told == sorted((Decimal(abs(b - c)).scaleb(-9) for c, b in pairs if b != c), reverse=True)[:20]
    assert len(found.json()["largest"]) == len(told)
