"""One Arrow type for a column that several Parquet files have, where there is one that holds them all.

Types are unified as Arrow does it, so long as no value is lost but for an integer's rounding among floats.
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
    """The type that holds the values of all `kinds`; None where there is none."""
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
            cast(decode([None], kind), common)  # of nothing at all Arrow casts what it can't
    except (pa.ArrowException, TypeError):
        return None
    return common if all(_holds(common, kind) for kind in distinct) else None


def cast(column: Any, kind: pa.DataType) -> Any:
    """`column` as `kind`, integers rounded where floats are asked for.

    Raises `pa.ArrowInvalid` where a value doesn't fit, as a far year does not fit into nanoseconds.
    """
    compute: Any = pc  # the stubs know no cast by options alone
    return compute.cast(column, options=compute.CastOptions(kind, allow_float_truncate=True))


def _holds(common: Any, kind: Any) -> bool:
    """Whether Arrow's choice is ours: it makes bytes of text, int64 of uint64, and doubles of long decimals."""
    if pt.is_uint64(kind):
        return bool(pt.is_uint64(common) or pt.is_floating(common) or pt.is_decimal(common))
    if pt.is_decimal(kind) and pt.is_floating(common):
        # To a narrower float Arrow casts 3.000 as 3.0000002.
        return bool(pt.is_float64(common) and kind.precision <= _DIGITS_OF_A_DOUBLE)
    return bool(_is_text(kind) == _is_text(common) or pt.is_null(kind))


def _is_text(kind: Any) -> bool:
    return bool(pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind))
