"""The values of output columns, carried ones included, as JSON for people: times in ISO 8601, never ticks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.types as pt

from batchchat.arrow import cells
from batchchat.arrow.cell_text import as_written
from batchchat.core.record import RowRecord
from batchchat.store.columns import COLUMNS, carried_names
from batchchat.store.parquet import CarriedColumn
from batchchat.store.published import records_of

__all__ = ["batch_values", "carried_values", "column_values"]

_OURS = {column.name: column for column in COLUMNS}
_NONE: dict[str, Any] = {}


def carried_values(rows: Sequence[RowRecord], carried: Mapping[str, CarriedColumn]) -> dict[str, list[Any]]:
    """The carried columns of `rows` by their output names."""
    names = carried_names(carried)
    passthrough = [row.get("carried", _NONE) for row in rows]
    return {
        names[name]: _readable([values.get(name) for values in passthrough], kind) for name, kind in carried.items()
    }


def column_values(rows: Sequence[RowRecord], carried: Mapping[str, CarriedColumn], name: str) -> list[Any]:
    """One column of `rows` by its output name. Raises `KeyError` where there is none."""
    if name in _OURS:
        return [_OURS[name].json(row) for row in rows]
    name_in_record = {out: name_in_input for name_in_input, out in carried_names(carried).items()}[name]
    return _readable([row.get("carried", _NONE).get(name_in_record) for row in rows], carried[name_in_record])


def batch_values(batch: pa.RecordBatch, name: str) -> list[Any]:
    """The values of the column `name` of a batch of an output, as `column_values` has them."""
    column = batch.column(name)
    if name in _OURS and pt.is_timestamp(column.type):
        return [_OURS[name].json(row) for row in records_of(batch.select([name]))]
    return as_written(cells.encode(column), column.type)


def _readable(values: list[Any], kind: CarriedColumn) -> list[Any]:
    return values if isinstance(kind, cells.Kind) else as_written(values, kind)
