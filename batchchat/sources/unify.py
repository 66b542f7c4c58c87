"""The common Arrow type of a column that several Parquet files have, if there is one.

Types are unified as Arrow does, provided that no value changes, except that integers may be rounded to floats.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from batchchat.arrow.cells import decode

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["cast", "common_type"]

_DIGITS_OF_A_DOUBLE = 15


def common_type(kinds: Sequence[pa.DataType]) -> pa.DataType | None:
    """The type that can hold the values of all `kinds`; None if there is none."""
    distinct: list[Any] = []
    for kind in kinds:
        if kind not in distinct:
            distinct.append(kind)
    if len(distinct) == 1:
        only: pa.DataType = distinct[0]
        return only
    unify: Any = pa.unify_schemas
    try:
        common = unify([pa.schema([("x", kind)]) for kind in distinct], promote_options="permissive").field(0).type
        decode([], common)
        for kind in distinct:
            cast(decode([None], kind), common)  # an empty array would pass any cast
    except (pa.ArrowException, TypeError):
        return None
    return common if all(_holds(common, kind) for kind in distinct) else None


def cast(column: Any, kind: pa.DataType) -> Any:
    """`column` cast to `kind`; integers are rounded where `kind` is a float.

    Raises `pa.ArrowInvalid` if a value doesn't fit, such as a distant year in nanoseconds.
    """
    compute: Any = pc  # the stubs lack `cast` with options alone
    return compute.cast(column, options=compute.CastOptions(kind, allow_float_truncate=True))


def _holds(common: Any, kind: Any) -> bool:
    """False if `common` would change values of `kind`.

    Arrow unifies text to bytes, uint64 to int64, and long decimals to doubles.
    """
    if pt.is_uint64(kind):
        return bool(pt.is_uint64(common) or pt.is_floating(common) or pt.is_decimal(common))
    if pt.is_decimal(kind) and pt.is_floating(common):
        # Arrow casts the decimal 3.000 to 3.0000002 in a narrower float.
        return bool(pt.is_float64(common) and kind.precision <= _DIGITS_OF_A_DOUBLE)
    return bool(_is_text(kind) == _is_text(common) or pt.is_null(kind))


def _is_text(kind: Any) -> bool:
    return bool(pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind))
