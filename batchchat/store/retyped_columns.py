"""Carried cells whose column has lost its type since they were kept.

A run declares the Arrow types of its input's columns, and keeps a timestamp as an integer of its unit. When a later
run declares another type, or none, the column has none: what was kept before is then written as a person would write
it, by the type that its own run declared. A bare integer would not say what it counts.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence

import pyarrow as pa

from batchchat.arrow.cell_text import as_written, is_rewritten
from batchchat.core.record import RowRecord

__all__ = ["RetypedColumns"]


class RetypedColumns:
    """How records are spelled. `declared` has where each run begins in the journal, and the types it declared."""

    def __init__(self, declared: Sequence[tuple[int, Mapping[str, pa.DataType]]], typed: frozenset[str]) -> None:
        self._starts = [at for at, _ in declared]
        self._lost = [
            {name: kind for name, kind in types.items() if name not in typed and is_rewritten(kind)}
            for _, types in declared
        ]

    @property
    def names(self) -> set[str]:
        """The columns in which some cells are written anew, as text."""
        return {name for types in self._lost for name in types}

    def of(self, at: int, row: RowRecord) -> RowRecord:
        """The record at `at` of the journal, as it is published."""
        run = bisect_right(self._starts, at) - 1
        lost = self._lost[run] if run >= 0 else {}
        carried = row.get("carried")
        if not lost or not carried:
            return row
        spelled = {name: as_written([v], lost[name])[0] if name in lost else v for name, v in carried.items()}
        return {**row, "carried": spelled}
