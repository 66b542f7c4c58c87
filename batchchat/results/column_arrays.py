"""Arrow columns as numpy arrays, and exact sums of them.

Buffers are read as they are: Arrow's own conversions, and its functions that take a Python value, import pandas where
it is installed, for 50 MB and 0.3 s.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.types as pt

__all__ = [
    "Bools",
    "Coder",
    "Floats",
    "Integers",
    "decimal_sum",
    "floats",
    "integers",
    "mask_array",
    "number_array",
    "present",
    "whole_sum",
]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.integer[Any]]
Bools = npt.NDArray[np.bool_]
_MAX_INT64 = (1 << 63) - 1
_DECIMALS = 12
_MAX_EXACT = 10.0**15
"""Decimals of at most 15 digits and floats are one to one."""
_LOW_BITS = 20


def present(column: Any) -> Bools:
    """A mask of the values of an Arrow array that are not null."""
    bits = column.buffers()[0]
    return np.ones(len(column), np.bool_) if bits is None else _bits(bits, column)


def floats(column: Any) -> Floats:
    """A float64 for each value of an Arrow array of numbers or of 64-bit times; NaN for a null."""
    numbers = _numbers(column).astype(np.float64, copy=False)
    return np.where(present(column), numbers, np.nan) if column.null_count else numbers


def integers(column: Any) -> Integers:
    """A whole number for each value of an Arrow array of such or of booleans, as wide as there; 0 for a null."""
    numbers = _numbers(column)
    return np.where(present(column), numbers, 0).astype(numbers.dtype) if column.null_count else numbers


def _numbers(column: Any) -> npt.NDArray[Any]:
    """The memory of a column of fixed width; what it has for a null is not defined."""
    data = column.buffers()[1]
    if data is None:
        return np.zeros(len(column), np.int64)
    if pt.is_boolean(column.type):
        return _bits(data, column)
    kind = f"f{column.type.bit_width // 8}" if pt.is_floating(column.type) else f"i{column.type.bit_width // 8}"
    return np.frombuffer(data, kind, len(column), column.offset * column.type.bit_width // 8)


def _bits(data: Any, column: Any) -> Bools:
    bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
    return bits[column.offset : column.offset + len(column)].astype(np.bool_)


def mask_array(mask: Bools) -> pa.Array[Any]:
    """The Arrow array of a mask."""
    bits = pa.py_buffer(np.packbits(mask, bitorder="little").tobytes())
    return pa.Array.from_buffers(pa.bool_(), len(mask), [None, bits])


def number_array(numbers: npt.NDArray[Any], dtype: pa.DataType, mask: Bools | None = None) -> pa.Array[Any]:
    """The Arrow array of `dtype` that has `numbers` in memory as they are; null where `mask` is false."""
    validity = None if mask is None or mask.all() else mask_array(mask).buffers()[1]
    data: Any = np.ascontiguousarray(numbers)
    return pa.Array.from_buffers(dtype, len(numbers), [validity, pa.py_buffer(data)])


class Coder:
    """Numbers the distinct values of a column of texts, in the order in which they come."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}

    @property
    def names(self) -> list[str]:
        """The distinct values by their numbers."""
        return list(self._codes)

    def add(self, column: Any) -> Integers:
        """The number of each value of an Arrow array of texts, which may be a dictionary's; -1 for a null."""
        encoded = column if pt.is_dictionary(column.type) else column.dictionary_encode()
        indices = encoded.indices
        codes = np.fromiter(map(self._code_of, encoded.dictionary.to_pylist()), np.int32)
        if not len(codes) or indices.null_count == len(indices):
            return np.full(len(column), -1, np.int32)
        of_rows: Integers = codes[integers(indices)]
        if indices.null_count:
            of_rows[~present(indices)] = -1
        return of_rows

    def _code_of(self, name: str | None) -> int:
        return -1 if name is None else self._codes.setdefault(name, len(self._codes))

    def code(self, name: str) -> int:
        """The number of `name`; one that no row has where there is none."""
        return self._codes.get(name, -2)


def whole_sum(numbers: Integers) -> int:
    """The sum of whole numbers, which numpy would let wrap at 64 bits."""
    if not len(numbers) or max(abs(int(numbers.max())), abs(int(numbers.min()))) <= _MAX_INT64 // len(numbers):
        return int(numbers.sum(dtype=np.int64))
    return sum(numbers.tolist())


def decimal_sum(amounts: Floats) -> Decimal:
    """The sum of `amounts`, each as the shortest decimal that its float stands for: as `Decimal(repr(amount))`.

    A decimal of at most 15 digits is the only such one of its float. So an amount that is exactly a number of
    10^-12 below 10^15 is that decimal, and these numbers are added up as integers. The others go by their text.
    """
    units = np.rint(amounts * 10.0**_DECIMALS)
    fits = (np.abs(units) < _MAX_EXACT) & (units / 10.0**_DECIMALS == amounts)
    whole = units[fits].astype(np.int64)
    total = (int((whole >> _LOW_BITS).sum()) << _LOW_BITS) + int((whole & ((1 << _LOW_BITS) - 1)).sum())
    others = amounts[~fits].tolist()
    return sum(map(Decimal, map(repr, others)), Decimal(total).scaleb(-_DECIMALS))
