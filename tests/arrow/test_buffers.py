"""Arrow arrays from Python values."""

from __future__ import annotations

from array import array
from typing import Any

import pyarrow as pa
import pytest

from batchchat.arrow.buffers import bytes_array, fixed_width_array, list_offsets, nested_array


def test_numbers_lie_as_arrow_lays_them_out() -> None:
    """The data is taken as it is; None is null, whatever stands in its place."""
    made = fixed_width_array([1, None, 3], pa.int16(), array("h", [1, 9, 3]))
    made.validate(full=True)
    assert made.to_pylist() == [1, None, 3]


@pytest.mark.parametrize("dtype", [pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(2)], ids=str)
def test_bytes_of_each_layout(dtype: Any) -> None:
    """Offsets of 32 or 64 bits, views, and values of one width."""
    made = bytes_array([b"ab", None, b"cd"], dtype)
    made.validate(full=True)
    assert (made.type, made.to_pylist()) == (dtype, [b"ab", None, b"cd"])


@pytest.mark.parametrize("dtype", [pa.list_(pa.int8()), pa.large_list(pa.int8())], ids=str)
def test_lists_begin_at_their_offsets(dtype: Any) -> None:
    """An empty list and a null one have no children."""
    values = [[1, 2], None, [], [3]]
    children = fixed_width_array([1, 2, 3], pa.int8(), array("b", [1, 2, 3]))
    wide = pa.types.is_large_list(dtype)
    made = nested_array(values, dtype, [list_offsets(values, wide=wide)], [children])
    made.validate(full=True)
    assert made.to_pylist() == values
