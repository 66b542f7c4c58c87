"""Arrow arrays of JSON columns, by the common type of their values (`widening`)."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any

import pyarrow as pa

from batchchat.arrow.buffers import list_offsets, nested_array
from batchchat.arrow.cells import decode, text_of
from batchchat.arrow.widening import Kind, ListOf, StructOf, Widened
from batchchat.lossless_json import dumps, scrub

__all__ = ["arrow_type", "decode_widened"]

_ARROW_TYPES: dict[Kind, pa.DataType] = {Kind.BOOL: pa.bool_(), Kind.INT: pa.int64(), Kind.FLOAT: pa.float64()}


def arrow_type(kind: Widened) -> pa.DataType:
    """The Arrow type of a column of `kind`; one that is all null is of strings."""
    if isinstance(kind, ListOf):
        return pa.list_(arrow_type(kind.item))
    if isinstance(kind, StructOf):
        return pa.struct([(name, arrow_type(field)) for name, field in kind.fields.items()])
    text: pa.DataType = pa.string()
    return _ARROW_TYPES.get(kind, text)


def decode_widened(values: Sequence[Any], kind: Widened) -> pa.Array[Any]:
    """A column of `arrow_type(kind)` that holds `values`."""
    if isinstance(kind, ListOf):
        items = decode_widened([item for v in values if v is not None for item in v], kind.item)
        return nested_array(values, arrow_type(kind), [list_offsets(values, wide=False)], [items])
    if isinstance(kind, StructOf):
        children = [
            decode_widened([None if v is None else v[name] for v in values], field)
            for name, field in kind.fields.items()
        ]
        return nested_array(values, arrow_type(kind), [], children)
    if kind is Kind.FLOAT:
        return decode([None if v is None else float(v) for v in values], pa.float64())
    if kind is Kind.BOOL or kind is Kind.INT:
        return decode(values, arrow_type(kind))
    return decode([None if v is None else _rendered(v) for v in values], pa.string())


def _rendered(value: Any) -> str:
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, float) and not isfinite(value):
        return text_of(value)
    return dumps(value).decode()
