"""Figures over rows."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.arrow.widening import Kind
from batchchat.core.totals import OffRowCosts
from batchchat.errors import UsageError
from batchchat.results.group_stats import GroupStats, tally_by
from tests.store.given import answered, failed, invalid


def test_the_json_form() -> None:
    """The keys of docs/output.md with their figures; costs outside the rows that a group can't know are null."""
    tally = GroupStats()
    tally.add(answered("a", latency_s=1.0, usage={"prompt_tokens": 5, "completion_tokens": 7}))
    tally.add(answered("b", latency_s=2.0, usage=None, cost_usd=None, cost_source=None, attempts=3, possibly_billed=1))
    tally.add(failed("c"))
    tally.add(invalid("d", error="`messages` is empty"))
    told = tally.json(OffRowCosts(superseded_usd=Decimal("1.25"), pending_usd=Decimal("0.5")))
    assert told == {
        "rows": {"total": 4, "answered": 2, "failed": 1, "invalid": 1, "left": 0, "cut_off": 0, "undecided": 0},
        "prompt_tokens": 5,
        "completion_tokens": 7,
        "cached_tokens": None,
        "cost_usd": {
            "known": 0.000123, "unknown_rows": 1, "superseded": 1.25, "pending": 0.5,
            "by_source": {"reported": 0.000123}, "possibly_billed": None, "saved_by_cache": None,
        },
        "latency_s": {"p50": 1.5, "p95": 1.95, "p99": 1.99, "max": 2.0},
        "attempts": 5,
        "possibly_billed_attempts": 1,
        "replies": {"repaired": 0, "re_asks": 0},
        "failures": [
            {"error_kind": "timeout", "rows": 1, "example_id": "c", "example": "no answer in 600 s"},
            {"error_kind": "invalid_input", "rows": 1, "example_id": "d", "example": "`messages` is empty"},
        ],
    }  # fmt: skip
    assert (tally.json()["cost_usd"]["superseded"], tally.json()["cost_usd"]["pending"]) == (None, None)


def test_nothing_known_is_null() -> None:
    """Without rows, tokens, cost and latency are null, never 0."""
    told = GroupStats().json()
    assert (told["prompt_tokens"], told["cost_usd"]["known"], told["latency_s"]["p50"]) == (None, None, None)
    assert told["rows"] == {
        "total": 0,
        "answered": 0,
        "failed": 0,
        "invalid": 0,
        "left": 0,
        "cut_off": 0,
        "undecided": 0,
    }


@given(st.lists(st.floats(0.001, 1000), min_size=1, max_size=40), st.sampled_from([0.5, 0.95, 0.99, 1.0]))
def test_quantiles_are_those_of_pandas(latencies: list[float], share: float) -> None:
    """So that whoever checks the report against the Parquet finds the same figure."""
    tally = GroupStats()
    for latency_s in latencies:
        tally.add(answered(latency_s=latency_s))
    assert tally.latency_s(share) == pytest.approx(pd.Series(latencies).quantile(share), rel=1e-12)


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b", None]), st.integers(0, 10**12).map(lambda pico_usd: pico_usd / 1e12)),
        max_size=30,
    )
)
def test_groups_add_up(rows: list[tuple[str | None, float]]) -> None:
    """Every row is in exactly one group, and the money of the groups is the whole's, to the last digit."""
    records = [answered(str(n), carried={"topic": topic}, cost_usd=cost) for n, (topic, cost) in enumerate(rows)]
    whole, groups = tally_by(records, {"topic": Kind.TEXT}, ["topic"])
    assert sorted(str(value) for (value,), _ in groups) == sorted({str(topic) for topic, _ in rows})
    assert sum(tally.totals.answered for _, tally in groups) == whole.totals.answered == len(rows)
    exact = sum((Fraction(repr(cost)) for _, cost in rows), Fraction(0))
    assert Fraction(whole.totals.known_cost_usd or 0) == exact
    assert sum((Fraction(tally.totals.known_cost_usd or 0) for _, tally in groups), Fraction(0)) == exact


def test_groups_by_a_column_of_ours() -> None:
    """Status and the like group as carried columns do; the dearest comes first."""
    rows = [answered("a"), answered("b", cost_usd=1.0), failed("c"), invalid("d")]
    _, groups = tally_by(rows, {}, ["id"])
    assert [value for (value,), _ in groups] == ["b", "a", "c", "d"]
    _, groups = tally_by(rows, {}, ["status"])
    assert [(value, tally.totals.finished) for (value,), tally in groups] == [
        ("answered", 2),
        ("failed", 1),
        ("invalid", 1),
    ]


def test_too_many_groups() -> None:
    """A column of a value a row is refused before it fills the memory."""
    rows = (answered(str(n)) for n in range(20_000))
    with pytest.raises(UsageError, match=r"^`id` has more than 10,000 values\. Group by a column that has fewer\.$"):
        tally_by(rows, {}, ["id"])
