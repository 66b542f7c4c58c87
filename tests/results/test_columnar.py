"""The tally by columns: the same as by rows."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchchat.arrow.widening import Kind
from batchchat.core.record import RowRecord
from batchchat.errors import UsageError
from batchchat.results.columnar import TALLIED, tally_batches
from batchchat.results.group_stats import GroupStats, tally_by
from batchchat.store.parquet import write_parquet
from batchchat.store.published import Published
from tests.store.given import answered, failed, invalid

COSTS = st.none() | st.integers(0, 10**12).map(lambda pico_usd: pico_usd / 1e12)
USAGES = st.none() | st.dictionaries(
    st.sampled_from(["prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "reasoning_tokens"]),
    st.integers(0, 10**6) | st.integers(1 << 61, (1 << 63) - 1),  # an earlier version kept what no sum holds
    min_size=1,
)
TOPICS = st.sampled_from(["sauce", "soup", "", None])


@st.composite
def records(draw: st.DrawFn) -> RowRecord:
    """A row of any status."""
    id_ = draw(st.text(min_size=1, max_size=4, alphabet="abc"))
    fields: dict[str, Any] = {
        "carried": {"topic": draw(TOPICS)},
        "cost_usd": (cost := draw(COSTS)),
        "cost_source": None if cost is None else draw(st.sampled_from([None, "reported", "job"])),
        "usage": draw(USAGES),
        "attempts": draw(st.integers(1, 6)),
        "possibly_billed": draw(st.integers(0, 2)),
    }
    kind = draw(st.sampled_from(["answered", "answered", "answered", "failed", "invalid"]))
    if kind == "answered":
        return answered(id_, latency_s=draw(st.floats(0.001, 1000)), **fields)
    if kind == "failed":
        return failed(id_, error_kind=draw(st.sampled_from(["timeout", "quota"])), **fields)
    return invalid(id_, carried=fields["carried"])


def told(found: tuple[GroupStats, list[tuple[Any, GroupStats]]]) -> list[Any]:
    """All that a report says, and the sums behind it."""
    whole, groups = found
    return [
        [(value, tally.json(), +tally.totals.rows, tally.totals.known_cost_usd, tally.totals.latency_buckets)]
        for value, tally in [(None, whole), *sorted(groups, key=lambda group: repr(group[0]))]
    ]


@settings(max_examples=60)
@given(
    st.lists(records(), max_size=30),
    st.sampled_from([[], ["topic"], ["status"], ["model"], ["started_at"], ["topic", "status"]]),
)
def test_the_same_figures_as_by_rows(rows: list[RowRecord], by: list[str]) -> None:
    """Whatever stands in an output, its columns add up to what its rows do, money to the last digit, groups too."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.parquet")
        write_parquet(path, [(row, 1) for row in rows], {"topic": Kind.TEXT}, {})
        output = Published(path)
        needed = TALLIED.union(by)
        assert told(tally_batches(output.batches(needed), by)) == told(tally_by(output.rows(), output.passthrough, by))


def test_large_groups_go_by_columns(tmp_path: Path) -> None:
    """Few values among many rows, which are added up piece by piece, give the same figures too."""
    path = tmp_path / "x.parquet"
    rows = [
        answered(str(n), carried={"topic": "ab"[n % 2]}, cost_usd=n / 1e9, latency_s=1 + n / 7) for n in range(1_000)
    ]
    write_parquet(path, [(row, 1) for row in rows], {"topic": Kind.TEXT}, {})
    output = Published(path)
    found = tally_batches(output.batches(TALLIED | {"topic"}), ["topic"])
    assert told(found) == told(tally_by(output.rows(), output.passthrough, ["topic"]))


def test_too_many_groups(tmp_path: Path) -> None:
    """A column of a value a row is refused here as well."""
    path = tmp_path / "x.parquet"
    write_parquet(path, ((invalid(str(n)), 1) for n in range(10_001)), {}, {})
    with pytest.raises(UsageError, match=r"^`id` has more than 10,000 values\."):
        tally_batches(Published(path).batches(TALLIED), ["id"])
