"""Arrow arrays from Python values, built from buffers: `pa.array(list)` imports pandas where it is installed.

That import costs 50 MB and 0.3 s.
"""

from __future__ import annotations

from array import array as machine_array
from itertools import accumulate, repeat
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.types as pt

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["bytes_array", "fixed_width_array", "list_offsets", "nested_array", "offsets_of", "text_array"]


def fixed_width_array(values: Sequence[Any], dtype: Any, data: Any) -> pa.Array[Any]:
    """An array of numbers, `data` in memory as Arrow lays them out; null where a value is None."""
    return pa.Array.from_buffers(dtype, len(values), [_validity(values), pa.py_buffer(data)])


def text_array(values: Sequence[str | None], dtype: Any) -> pa.Array[Any]:
    """An array of texts. Raises `UnicodeEncodeError` where one has a lone surrogate.

    Texts that are all the same, or all ASCII, are not encoded one by one: that takes three quarters of the time.
    """
    if not values or pt.is_string_view(dtype):
        return bytes_array([None if v is None else v.encode() for v in values], dtype)
    texts: Any = values
    first, count, wide = values[0], len(values), pt.is_large_string(dtype)
    if first is not None and first == values[-1] and values.count(first) == count:
        data = first.encode()
        return _text_of(repeat(len(data), count), data * count, count, dtype, wide=wide)
    try:
        text = "".join(texts)
    except TypeError:  # there is a None
        return bytes_array([None if v is None else v.encode() for v in values], dtype)
    if text.isascii():
        return _text_of(map(len, texts), text.encode(), count, dtype, wide=wide)
    encoded = list(map(str.encode, texts))
    return _text_of(map(len, encoded), b"".join(encoded), count, dtype, wide=wide)


def _text_of(lengths: Iterable[int], data: bytes, count: int, dtype: Any, *, wide: bool) -> pa.Array[Any]:
    return pa.Array.from_buffers(dtype, count, [None, offsets_of(lengths, wide=wide), pa.py_buffer(data)])


def bytes_array(values: Sequence[bytes | None], dtype: Any) -> pa.Array[Any]:
    """An array of texts or of bytes."""
    if pt.is_fixed_size_binary(dtype):
        empty = bytes(dtype.byte_width)
        data = b"".join(empty if v is None else v for v in values)
        return pa.Array.from_buffers(dtype, len(values), [_validity(values), pa.py_buffer(data)])
    if pt.is_string_view(dtype) or pt.is_binary_view(dtype):
        return bytes_array(values, pa.string() if pt.is_string_view(dtype) else pa.binary()).cast(dtype)
    wide = pt.is_large_string(dtype) or pt.is_large_binary(dtype)
    offsets = offsets_of((0 if v is None else len(v) for v in values), wide=wide)
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
    return offsets_of((0 if v is None else len(v) for v in values), wide=wide)


def offsets_of(lengths: Iterable[int], *, wide: bool) -> pa.Buffer:
    """Where each value of these `lengths` begins, and where the last one ends."""
    return pa.py_buffer(cast("Any", machine_array("q" if wide else "i", accumulate(lengths, initial=0))))


def _validity(values: Sequence[Any]) -> pa.Buffer | None:
    if None not in values:
        return None
    present = pa.py_buffer(bytes([v is not None for v in values]))
    return pa.Array.from_buffers(pa.int8(), len(values), [None, present]).cast(pa.bool_()).buffers()[1]
