"""Arrow arrays from Python values, built from buffers: `pa.array(list)` imports pandas where it is installed.

That import costs 50 MB and 0.3 s.
"""

from __future__ import annotations

from array import array as machine_array
from itertools import accumulate
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.types as pt

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["bytes_array", "fixed_width_array", "list_offsets", "nested_array"]


def fixed_width_array(values: Sequence[Any], dtype: Any, data: Any) -> pa.Array[Any]:
    """An array of numbers, `data` in memory as Arrow lays them out; null where a value is None."""
    return pa.Array.from_buffers(dtype, len(values), [_validity(values), pa.py_buffer(data)])


def bytes_array(values: Sequence[bytes | None], dtype: Any) -> pa.Array[Any]:
    """An array of texts or of bytes."""
    if pt.is_fixed_size_binary(dtype):
        empty = bytes(dtype.byte_width)
        data = b"".join(empty if v is None else v for v in values)
        return pa.Array.from_buffers(dtype, len(values), [_validity(values), pa.py_buffer(data)])
    if pt.is_string_view(dtype) or pt.is_binary_view(dtype):
        return bytes_array(values, pa.string() if pt.is_string_view(dtype) else pa.binary()).cast(dtype)
    wide = pt.is_large_string(dtype) or pt.is_large_binary(dtype)
    offsets = _offsets((0 if v is None else len(v) for v in values), wide=wide)
    data = b"".join(v for v in values if v is not None)
    return pa.Array.from_buffers(dtype, len(values), [_validity(values), offsets, pa.py_buffer(data)])


def nested_array(
    values: Sequence[Any], dtype: Any, offsets: list[pa.Buffer], children: list[pa.Array[Any]]
) -> pa.Array[Any]:
    """An array whose values are made of `children`, at `offsets` where a value may be of any length."""
    buffers: Any = [_validity(values), *offsets]
    return pa.Array.from_buffers(dtype, len(values), buffers, children=children)


def list_offsets(values: Sequence[Any], *, wide: bool) -> pa.Buffer:
    """Where each of the lists `values` begins among their children, and where the last one ends."""
    return _offsets((0 if v is None else len(v) for v in values), wide=wide)


def _offsets(lengths: Iterable[int], *, wide: bool) -> pa.Buffer:
    return pa.py_buffer(cast("Any", machine_array("q" if wide else "i", accumulate(lengths, initial=0))))


def _validity(values: Sequence[Any]) -> pa.Buffer | None:
    if None not in values:
        return None
    present = pa.py_buffer(bytes([v is not None for v in values]))
    return pa.Array.from_buffers(pa.int8(), len(values), [None, present]).cast(pa.bool_()).buffers()[1]
