"""A published output read back as records: the fallback of report and export where there is no journal.

An output has all of a row but its place in the input, what its retries were for, and its fingerprint. Its metadata
says which run wrote it, and what was paid that is in none of its rows.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from batchchat.arrow import cells
from batchchat.core.record import RowRecord
from batchchat.errors import OutputError
from batchchat.store.columns import COLUMNS, record_of
from batchchat.store.parquet import PassthroughColumn, files_of, metadata_of

__all__ = ["Published", "records_of"]

_ROWS_AT_ONCE = 500
_CELLS_AT_ONCE = 16_384
_BUFFER = 1 << 20
_OURS = {column.name for column in COLUMNS}


class Published:
    """The rows of an output, file or folder. Raises `OutputError` where `path` is not one, or can't be read."""

    def __init__(self, path: Path) -> None:
        metadata = metadata_of(path)
        if metadata is None:
            raise OutputError(
                f"{path} is no output of batchchat. Give a job file, or the Parquet file or folder that a run wrote."
            )
        self._files = files_of(path)
        self.metadata: dict[str, Any] = metadata
        schema: pa.Schema = pq.read_schema(self._files[0])
        self.passthrough: dict[str, PassthroughColumn] = {
            field.name: field.type for field in schema if field.name not in _OURS
        }
        """The passthrough columns by their output names, with their types."""

    def rows(self, columns: set[str] | None = None) -> Iterator[RowRecord]:
        """Every row in the output's order; with `columns`, only what these have of it."""
        ordinal = 0
        for batch in self._read(columns, _ROWS_AT_ONCE):
            for row in records_of(batch):
                row["ordinal"] = ordinal
                ordinal += 1
                yield row

    def batches(self, columns: Collection[str]) -> Iterator[pa.RecordBatch]:
        """The named `columns` as batches, as far as the output has them."""
        return self._read(columns, _CELLS_AT_ONCE)

    def rows_at(self, ranks: Sequence[int]) -> Iterator[tuple[int, RowRecord]]:
        """The rows at `ranks` in the output, ascending; row groups between them are not read."""
        start, remaining = 0, list(ranks)
        for path in self._files:
            with _reading(path), pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER) as file:
                for group in range(file.num_row_groups):
                    end = start + file.metadata.row_group(group).num_rows
                    in_group = remaining[: bisect_left(remaining, end)]
                    if in_group:
                        del remaining[: len(in_group)]
                        table = file.read_row_group(group, use_threads=False).take([rank - start for rank in in_group])
                        rows = (row for batch in table.to_batches() for row in records_of(batch))
                        yield from zip(in_group, rows, strict=True)
                    start = end

    def _read(self, columns: Collection[str] | None, size: int) -> Iterator[pa.RecordBatch]:
        for path in self._files:
            with _reading(path), pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER) as file:
                names = [name for name in file.schema_arrow.names if columns is None or name in columns]
                yield from file.iter_batches(size, columns=names, use_threads=False)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise OutputError(f"{path} can't be read: {str(error).splitlines()[0]}.") from error


def records_of(batch: pa.RecordBatch) -> Iterator[RowRecord]:
    """The rows of `batch`, as far as its columns have them; a row's place in the input is not among them."""
    values = {name: cells.encode(batch.column(at)) for at, name in enumerate(batch.schema.names)}
    passthrough = [name for name in values if name not in _OURS]
    for cells_ in zip(*values.values(), strict=True):
        named = dict(zip(values, cells_, strict=True))
        row = record_of(named)
        # An output does not have the place; messages about the row point to it by its id.
        row["place"] = named.get("id") or ""
        row["carried"] = {name: named[name] for name in passthrough}
        yield row
