"""Arrow columns as numpy arrays, and exact sums of them."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from batchchat.results.column_arrays import Coder, decimal_sum, floats, integers, mask_array, present, whole_sum

PRICES = st.integers(0, 10**16).map(lambda units: units / 1e12)
SUMS_OF_FLOATS = st.lists(st.integers(0, 10**6).map(lambda micro: micro / 1e9), min_size=2, max_size=4).map(sum)
ANY = st.floats(0, 1e9, allow_subnormal=False)


@given(st.lists(PRICES | SUMS_OF_FLOATS | ANY))
def test_a_sum_of_floats_is_that_of_their_decimals(amounts: list[float]) -> None:
    """Whether an amount has few decimals or the noise of a float's arithmetic, it counts as the text that it has."""
    assert decimal_sum(np.array(amounts, np.float64)) == sum(map(Decimal, map(repr, amounts)), Decimal(0))


def test_whole_numbers_do_not_wrap() -> None:
    """A sum over 64 bits is right too."""
    assert whole_sum(np.array([1 << 62, 1 << 62, 1 << 62], np.int64)) == 3 << 62
    assert whole_sum(np.array([3, -1], np.int32)) == 2
    assert whole_sum(np.array([], np.int64)) == 0


COLUMNS = (
    st.tuples(st.just(pa.int64()), st.lists(st.none() | st.integers(-(1 << 53), 1 << 53)))
    | st.tuples(st.just(pa.int32()), st.lists(st.none() | st.integers(-9, 9)))
    | st.tuples(st.just(pa.float64()), st.lists(st.none() | st.floats(allow_nan=False)))
    | st.tuples(st.just(pa.bool_()), st.lists(st.none() | st.booleans()))
)


@given(COLUMNS, st.integers(0, 9), st.integers(0, 30))
def test_numbers_of_any_slice(column: tuple[pa.DataType, list[Any]], start: int, length: int) -> None:
    """What a slice of a column has is read, whatever lies before and behind it in memory."""
    dtype, values = column
    array: Any = pa.array(values, dtype).slice(min(start, len(values)), length)
    expected = array.to_pylist()
    assert present(array).tolist() == [value is not None for value in expected]
    assert [None if math.isnan(value) else value for value in floats(array).tolist()] == expected
    if dtype != pa.float64():
        assert integers(array).tolist() == [value or 0 for value in expected]


@given(st.lists(st.lists(st.none() | st.sampled_from(["a", "b", "", "é"]))), st.booleans())
def test_texts_are_numbered_across_columns(columns: list[list[str | None]], encoded: bool) -> None:
    """The same text has the same number in each column, whether that is a dictionary or not."""
    coder, codes = Coder(), list[int]()
    for column in columns:
        array = pa.array(column, pa.string())
        codes += coder.add(array.dictionary_encode() if encoded else array).tolist()
    flat = [text for column in columns for text in column]
    assert [None if code < 0 else coder.names[code] for code in codes] == flat
    assert all(coder.code(name) == number for number, name in enumerate(coder.names))
    assert coder.code("no such text") not in codes


@given(st.lists(st.booleans()))
def test_a_mask_as_an_array(mask: list[bool]) -> None:
    """A mask comes back as it was."""
    assert mask_array(np.array(mask, np.bool_)).to_pylist() == mask
