"""Sums over rows, and back."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.core.record import RowRecord
from batchchat.core.totals import Example, Totals
from tests.store.given import answered, failed, invalid

_costs = st.none() | st.integers(0, 10**12).map(lambda n: n / 10**12)
_usage = st.none() | st.fixed_dictionaries({}, optional={"prompt_tokens": st.integers(0, 9)})
_rows: st.SearchStrategy[RowRecord] = st.one_of(
    st.builds(
        answered,
        cost_usd=_costs,
        cost_source=st.sampled_from([None, "reported", "job"]),
        usage=_usage,
        latency_s=st.floats(0, 1000),
        attempts=st.integers(1, 5),
        possibly_billed=st.integers(0, 2),
        possibly_billed_usd=_costs,
        unreported_usd=_costs,
        retries=st.none() | st.just({"timeout": 2}),
    ),
    st.builds(failed, cost_usd=_costs, error_kind=st.sampled_from(["timeout", "other"])),
    st.just(invalid()),
)


def figures(totals: Totals) -> dict[str, Any]:
    """All but the examples."""
    return {name: getattr(totals, name) for name in Totals.__slots__ if name != "examples"}


def total(rows: list[RowRecord]) -> Totals:
    totals = Totals()
    for row in rows:
        totals.add(row)
    return totals


@given(st.lists(_rows, max_size=8), st.lists(_rows, max_size=8))
def test_what_is_taken_back_leaves_no_trace(kept: list[RowRecord], taken: list[RowRecord]) -> None:
    """Rows added and removed again leave every figure as if they had never been."""
    totals = total([*taken, *kept])
    for row in taken:
        totals.remove(row)
    assert figures(totals) == figures(total(kept))
    assert totals.known_cost_usd == total(kept).known_cost_usd


@given(st.lists(_rows, max_size=12))
def test_the_order_of_rows_plays_no_part(rows: list[RowRecord]) -> None:
    """Sums of money are exact: forwards and backwards they are the same to the last digit."""
    assert figures(total(rows)) == figures(total(rows[::-1]))
    known = [Decimal(repr(row["cost_usd"])) for row in rows if "cost_usd" in row]
    assert total(rows).known_cost_usd == (sum(known) if known else None)


def test_each_figure_counts_what_it_says() -> None:
    """Rows, tokens, money and attempts of a small run, by hand."""
    rows = [
        answered("a", cost_usd=0.1, retries={"rate_limit": 2}, attempts=3),
        answered("b", cost_usd=0.2, cost_source="job", possibly_billed=1, possibly_billed_usd=0.5),
        answered("c", cost_usd=None, usage=None, unreported_usd=0.7),
        failed("d", cost_usd=0.3, attempts=6, possibly_billed=2),
        invalid("e"),
    ]
    totals = total(rows)
    assert (totals.answered, totals.failed, totals.invalid, totals.finished) == (3, 1, 1, 5)
    assert totals.cost_usd == {"reported": Decimal("0.4"), "job": Decimal("0.2")}
    assert totals.known_cost_usd == Decimal("0.6")
    assert (totals.unknown_cost_rows, totals.without_usage) == (1, 1)
    assert totals.tokens == {"prompt_tokens": 10, "completion_tokens": 14, "cached_tokens": 4}
    assert (totals.attempts, totals.possibly_billed, totals.retries) == (11, 3, {"rate_limit": 2})
    assert (totals.possibly_billed_usd, totals.unbounded) == (Decimal("0.5"), 2)
    assert totals.unreported_usd == Decimal("0.7")
    assert totals.failures == {"timeout": 1, "invalid_input": 1}


def test_nothing_known_is_not_nothing() -> None:
    """A cost that no row told is unknown; one that was told as 0 is 0."""
    assert Totals().known_cost_usd is None
    assert total([answered(cost_usd=None)]).known_cost_usd is None
    assert total([answered(cost_usd=0.0)]).known_cost_usd == 0


def test_each_kind_of_failure_has_an_example() -> None:
    """The first of a kind is shown; when it is answered after all, the next that comes."""
    totals = total([failed("a", error="one"), failed("b", error="two"), invalid("c")])
    assert totals.examples["timeout"] == Example("a", "a", "in.jsonl:1", "one")
    assert totals.examples["invalid_input"].id == "c"
    totals.remove(failed("b", error="two"))
    assert totals.examples["timeout"].id == "a"
    totals.remove(failed("a", error="one"))
    assert "timeout" not in totals.examples
    totals.add(failed("d"))
    assert totals.examples["timeout"].id == "d"


@given(st.lists(st.floats(1e-6, 10_000), min_size=1), st.sampled_from([0.0, 0.5, 0.95, 1.0]))
def test_latencies_are_told_within_a_thousandth(latencies: list[float], share: float) -> None:
    """A quantile is pandas' own of the latencies, within the width of a bucket."""
    totals = total([answered(latency_s=latency) for latency in latencies])
    assert totals.latency_s(share) == pytest.approx(pd.Series(latencies).quantile(share), rel=0.00101)


def test_no_answer_has_no_latency() -> None:
    """Failed rows say nothing of how long answers take."""
    assert total([failed()]).latency_s(0.5) is None
