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

__all__ = ["cast", "common_type", "is_text", "is_whole", "makes_ids", "text_type"]

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


def text_type(kind: Any) -> Any:
    """`kind` with text in place of all that is binary in it; None if nothing is."""
    if pt.is_binary(kind) or pt.is_binary_view(kind) or (pt.is_fixed_size_binary(kind) and not pt.is_decimal(kind)):
        return pa.string()
    if pt.is_large_binary(kind):
        return pa.large_string()
    if pt.is_dictionary(kind):
        return text_type(kind.value_type)
    if pt.is_struct(kind):
        fields = [(field, text_type(field.type)) for field in kind]
        if all(text is None for _, text in fields):
            return None
        return pa.struct([field if text is None else field.with_type(text) for field, text in fields])
    for is_list, make in ((pt.is_list, pa.list_), (pt.is_large_list, pa.large_list)):
        if is_list(kind):
            text = text_type(kind.value_type)
            return None if text is None else make(kind.value_field.with_type(text))
    return None


def _holds(common: Any, kind: Any) -> bool:
    """False if `common` would change values of `kind`.

    Arrow unifies text to bytes, uint64 to int64, and long decimals to doubles.
    """
    if pt.is_uint64(kind):
        return bool(pt.is_uint64(common) or pt.is_floating(common) or pt.is_decimal(common))
    if pt.is_decimal(kind) and pt.is_floating(common):
        # Arrow casts the decimal 3.000 to 3.0000002 in a narrower float.
        return bool(pt.is_float64(common) and kind.precision <= _DIGITS_OF_A_DOUBLE)
    return bool(is_text(kind) == is_text(common) or pt.is_null(kind))


def is_text(kind: Any) -> bool:
    """Whether `kind` is one of Arrow's types of text."""
    return kind is not None and bool(pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind))


def is_whole(kind: Any) -> bool:
    """Whether `kind` is a type of whole numbers."""
    return bool(pt.is_integer(kind.value_type if pt.is_dictionary(kind) else kind))


def makes_ids(kind: Any) -> bool:
    """Whether a column of the Arrow type `kind` can hold ids: text or integers."""
    if pt.is_dictionary(kind):
        return makes_ids(kind.value_type)
    return is_text(kind) or is_text(text_type(kind)) or pt.is_integer(kind)
