"""The group of each row by its values in some columns."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from batchchat.results.group_numbers import GroupNumbers, distinct_rows
from batchchat.results.values import batch_values

ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "text": st.none() | st.sampled_from(["", "a", "1"]),
            "count": st.none() | st.integers(0, 2),
            "share": st.none() | st.sampled_from([0.0, -0.0, 1.0]),
            "list": st.none() | st.lists(st.integers(0, 1), max_size=2),
            "day": st.none() | st.datetimes(),
        }
    ),
    min_size=1,
    max_size=20,
)
TYPES = {
    "text": pa.string(),
    "count": pa.int64(),
    "share": pa.float64(),
    "list": pa.list_(pa.int64()),
    "day": pa.timestamp("us", "UTC"),
}
NAMES = st.lists(st.sampled_from(sorted(TYPES)), min_size=1, max_size=3, unique=True)


def batch_of(rows: list[dict[str, Any]]) -> pa.RecordBatch:
    arrays = [pa.array([row[name] for row in rows], dtype) for name, dtype in TYPES.items()]
    return pa.RecordBatch.from_arrays(arrays, names=list(TYPES))


@given(ROWS, NAMES)
def test_rows_have_the_values_of_their_combination(rows: list[dict[str, Any]], names: list[str]) -> None:
    """Each row's combination has its values, and combinations come in the order of the rows."""
    batch = batch_of(rows)
    of_rows, distinct = distinct_rows(batch, names)
    expected = list(zip(*(batch_values(batch, name) for name in names), strict=True))
    assert repr([distinct[at] for at in of_rows]) == repr(expected)
    assert list(dict.fromkeys(of_rows.tolist())) == list(range(len(distinct)))


@given(st.lists(ROWS, max_size=3), NAMES)
def test_a_group_has_one_number_in_all_batches(batches: list[list[dict[str, Any]]], names: list[str]) -> None:
    """Rows of equal values are of one group, in whichever batch they are."""
    groups = GroupNumbers(names)
    numbers = [number for rows in batches for number in groups.add(batch_of(rows)).tolist()]
    values = [
        repr(of_row)
        for rows in batches
        for of_row in zip(*(batch_values(batch_of(rows), name) for name in names), strict=True)
    ]
    assert len({*zip(numbers, values, strict=True)}) == len({*numbers}) == len({*values}) == len(groups.stats)
    assert [repr(of_group) for of_group, _ in groups.by_key().values()] == list(dict.fromkeys(values))
