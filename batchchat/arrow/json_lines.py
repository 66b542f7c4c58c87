"""Lines of JSON as Arrow columns, by Arrow's own reader: no Python object is made of a value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import pyarrow as pa
import pyarrow.types as pt

__all__ = ["read_json_lines"]


def read_json_lines(
    lines: bytes, count: int, schema: pa.Schema, unexpected: Literal["ignore", "error"]
) -> Mapping[tuple[str, ...], Any] | None:
    """The columns of `count` lines of objects by their paths of keys, those within a struct too.

    Keys that `schema` does not have are ignored or an error. None where a line is not of the schema.
    """
    from pyarrow import json

    reader: Any = json  # the stubs know neither a buffer nor what is unexpected
    try:
        table = reader.read_json(
            pa.BufferReader(lines),
            read_options=reader.ReadOptions(use_threads=False, block_size=len(lines) + 1),
            parse_options=reader.ParseOptions(
                explicit_schema=schema, newlines_in_values=False, unexpected_field_behavior=unexpected
            ),
        )
    except pa.ArrowInvalid:
        return None
    if len(table) != count:
        return None
    (batch,) = table.combine_chunks().to_batches()
    columns: dict[tuple[str, ...], Any] = {}
    for field, column in zip(batch.schema, batch.columns, strict=True):
        columns[field.name,] = column
        if pt.is_struct(field.type):
            struct: Any = column
            names = [(field.name, member.name) for member in field.type]
            columns |= dict(zip(names, struct.flatten(), strict=True))
    return columns
