"""What a Parquet file's footer says of its columns, and which of them are read; without importing pyarrow."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

__all__ = ["ColumnSelection", "ParquetFooter"]


class ParquetFooter(NamedTuple):
    """From a file's footer: the Arrow type of each column, those of its folders included, and the number of rows.

    `is_output` says that a run of ours wrote the file.
    """

    types: dict[str, pa.DataType]
    rows: int
    is_output: bool = False


@dataclass(frozen=True, slots=True)
class ColumnSelection:
    """The columns to read (None: all), and the Arrow types of those that are declared for the output.

    Binary cells of the columns `texts` are read as UTF-8; with None those of any column that happen to be.
    """

    columns: set[str] | None = None
    types: Mapping[str, pa.DataType] = field(default_factory=dict)
    texts: frozenset[str] | None = None

    def among(self, names: list[str]) -> list[str]:
        """Those of `names` that are selected, in the same order."""
        return [name for name in names if self.columns is None or name in self.columns]
