"""The values of output columns, passthrough columns included, as JSON for people: times in ISO 8601, never ticks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.types as pt

from batchchat.arrow import cells
from batchchat.arrow.cell_text import as_written
from batchchat.core.record import RowRecord
from batchchat.store.columns import COLUMNS, passthrough_names
from batchchat.store.parquet import PassthroughColumn
from batchchat.store.published import records_of

__all__ = ["batch_values", "column_values", "passthrough_values"]

_OURS = {column.name: column for column in COLUMNS}
_NONE: dict[str, Any] = {}


def passthrough_values(rows: Sequence[RowRecord], passthrough: Mapping[str, PassthroughColumn]) -> dict[str, list[Any]]:
    """The passthrough columns of `rows` by their output names."""
    names = passthrough_names(passthrough)
    row_values = [row.get("carried", _NONE) for row in rows]
    return {
        names[name]: _readable([values.get(name) for values in row_values], kind) for name, kind in passthrough.items()
    }


def column_values(rows: Sequence[RowRecord], passthrough: Mapping[str, PassthroughColumn], name: str) -> list[Any]:
    """One column of `rows` by its output name. Raises `KeyError` where there is none."""
    if name in _OURS:
        return [_OURS[name].json(row) for row in rows]
    name_in_record = {out: name_in_input for name_in_input, out in passthrough_names(passthrough).items()}[name]
    return _readable([row.get("carried", _NONE).get(name_in_record) for row in rows], passthrough[name_in_record])


def batch_values(batch: pa.RecordBatch, name: str) -> list[Any]:
    """The values of the column `name` of a batch of an output, as `column_values` has them."""
    column = batch.column(name)
    if name in _OURS and pt.is_timestamp(column.type):
        return [_OURS[name].json(row) for row in records_of(batch.select([name]))]
    return as_written(cells.encode(column), column.type)


def _readable(values: list[Any], kind: PassthroughColumn) -> list[Any]:
    return as_written(values, kind) if isinstance(kind, pa.DataType) else values
