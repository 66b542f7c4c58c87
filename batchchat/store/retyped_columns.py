"""Passthrough cells whose column has lost its type since they were journaled.

A run declares the Arrow types of its input's columns, and journals a timestamp as an integer of its unit. When a later
run declares another type or none, the column has no type: cells journaled before are then written as readable text, by
the type that their own run declared. A bare integer would not say what it counts.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence

import pyarrow as pa

from batchchat.arrow.cell_text import as_written, is_rewritten
from batchchat.core.record import RowRecord

__all__ = ["RetypedColumns"]


class RetypedColumns:
    """Rewrites such cells. `declared` has the journal offset and the declared types of each run.

    `typed` are the columns that still have their type.
    """

    def __init__(self, declared: Sequence[tuple[int, Mapping[str, pa.DataType]]], typed: frozenset[str]) -> None:
        self._starts = [journal_offset for journal_offset, _ in declared]
        self._lost = [
            {name: kind for name, kind in types.items() if name not in typed and is_rewritten(kind)}
            for _, types in declared
        ]

    @property
    def names(self) -> set[str]:
        """The columns in which some cells are rewritten as text."""
        return {name for types in self._lost for name in types}

    def of(self, journal_offset: int, row: RowRecord) -> RowRecord:
        """The record `row` at `journal_offset`, as it is published."""
        run = bisect_right(self._starts, journal_offset) - 1
        lost = self._lost[run] if run >= 0 else {}
        values = row.get("carried")
        if not lost or not values:
            return row
        written = {name: as_written([v], lost[name])[0] if name in lost else v for name, v in values.items()}
        return {**row, "carried": written}
