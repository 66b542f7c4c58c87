"""A published output read back as records: the fallback of report and export where there is no journal.

An output has all of a row but its place in the input, what its retries were for, and its fingerprint. Its metadata
says which run wrote it, and what was paid that is in none of its rows.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from batchchat.arrow import cells
from batchchat.core.record import RowRecord
from batchchat.errors import OutputError, refuse_pipe
from batchchat.store.columns import COLUMNS, record_of
from batchchat.store.output_files import files_of
from batchchat.store.parquet import PassthroughColumn, metadata_in

__all__ = ["Published", "records_of"]

_ROWS_AT_ONCE = 500
_CELLS_AT_ONCE = 65_536
_BYTES_AT_ONCE = 16 << 20
_BUFFER = 1 << 20
_FEW_VALUES = (
    *("variant", "status", "finish_reason", "model", "model_requested", "service_tier", "cost_source", "error_kind"),
)
"""Columns that are read as dictionaries, as they are in the file."""
_OURS = {column.name for column in COLUMNS}


class Published:
    """The rows of an output, file or folder. Raises `OutputError` where `path` is not one, or can't be read.

    Its first file stays open until `close`: its footer, which takes a while to read where there are many rows, fits no
    file that has taken its place since.
    """

    def __init__(self, path: Path) -> None:
        self._files = files_of(path)
        opened = None if not self._files else _opened(self._files[0])
        metadata = None if opened is None else metadata_in(opened[1].metadata)
        if opened is None or metadata is None:
            raise OutputError(
                f"{path} is no output of batchchat. Give a job file, or the Parquet file or folder that a run wrote."
            )
        self._first_file, self._footer = opened
        self.metadata: dict[str, Any] = metadata
        schema: pa.Schema = self._footer.schema.to_arrow_schema()
        self.passthrough: dict[str, PassthroughColumn] = {
            field.name: field.type for field in schema if field.name not in _OURS
        }
        """The passthrough columns by their output names, with their types."""
        self._dictionaries = [name for name in schema.names if name in _FEW_VALUES]

    def close(self) -> None:
        """Close the files that are open."""
        self._first_file.close()

    def rows(self, columns: set[str] | None = None) -> Iterator[RowRecord]:
        """Every row in the output's order; with `columns`, only what these have of it."""
        ordinal = 0
        for batch in self._read(columns, _ROWS_AT_ONCE):
            for row in records_of(batch):
                row["ordinal"] = ordinal
                ordinal += 1
                yield row

    def batches(self, columns: Collection[str]) -> Iterator[pa.RecordBatch]:
        """The named `columns` as batches, as far as the output has them; some are dictionaries.

        A batch has 65,536 rows, or fewer where these are more than about 16 MiB.
        """
        for path in self._files:
            with self._reading(path, self._dictionaries) as file:
                names = [name for name in file.schema_arrow.names if name in columns]
                max_rows = _rows_at_once(file.metadata, names)
                groups = file.iter_batches(max_rows, columns=names, use_threads=True)
                yield from _joined(groups, max_rows)

    def rows_at(self, ranks: Sequence[int]) -> Iterator[tuple[int, RowRecord]]:
        """The rows at `ranks` in the output, ascending; row groups between them are not read."""
        start, remaining = 0, list(ranks)
        for path in self._files:
            with self._reading(path) as file:
                for group in range(file.num_row_groups):
                    end = start + file.metadata.row_group(group).num_rows
                    in_group = remaining[: bisect_left(remaining, end)]
                    if in_group:
                        del remaining[: len(in_group)]
                        table = file.read_row_group(group, use_threads=False).take([rank - start for rank in in_group])
                        rows = (row for batch in table.to_batches() for row in records_of(batch))
                        yield from zip(in_group, rows, strict=True)
                    start = end

    @contextmanager
    def _reading(self, path: Path, dictionaries: Collection[str] = ()) -> Iterator[pq.ParquetFile]:
        """The file at `path`, one of the output's, for reading; the columns `dictionaries` as such."""
        is_first = path == self._files[0]
        source, footer = (self._first_file, self._footer) if is_first else (path, None)
        options: dict[str, Any] = {"pre_buffer": False, "buffer_size": _BUFFER, "read_dictionary": dictionaries}
        try:
            with pq.ParquetFile(source, metadata=footer, **options) as file:
                yield file
        except (pa.ArrowException, OSError) as error:
            raise OutputError(f"{path} can't be read: {str(error).splitlines()[0]}.") from error

    def _read(self, columns: Collection[str] | None, size: int) -> Iterator[pa.RecordBatch]:
        for path in self._files:
            with self._reading(path) as file:
                names = [name for name in file.schema_arrow.names if columns is None or name in columns]
                yield from file.iter_batches(size, columns=names, use_threads=False)


def _opened(path: Path) -> tuple[pa.NativeFile, pq.FileMetaData] | None:
    """The file at `path` and its footer; None where it is no Parquet file that can be read."""
    try:
        refuse_pipe(path)
        file = pa.OSFile(str(path), mode="r")
        return file, pq.read_metadata(file)
    except (OSError, pa.ArrowException):
        return None


def _rows_at_once(footer: pq.FileMetaData, names: Collection[str]) -> int:
    """How many rows of the columns `names` are in a batch, by the size of the first row group."""
    if not footer.num_row_groups or not footer.row_group(0).num_rows:
        return _CELLS_AT_ONCE
    group = footer.row_group(0)
    columns = [group.column(at) for at in range(group.num_columns)]
    size = sum(column.total_uncompressed_size for column in columns if column.path_in_schema.split(".")[0] in names)
    return max(_ROWS_AT_ONCE, min(_CELLS_AT_ONCE, _BYTES_AT_ONCE * group.num_rows // max(1, size)))


def _joined(batches: Iterable[pa.RecordBatch], max_rows: int) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of about `max_rows`; those with dictionaries end with their row group."""
    parts: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        if parts and rows + batch.num_rows > max_rows:
            yield _one(parts)
            parts, rows = [], 0
        parts.append(batch)
        rows += batch.num_rows
    if parts:
        yield _one(parts)


def _one(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    if len(batches) == 1:
        return batches[0]
    table = pa.Table.from_batches(batches).unify_dictionaries().combine_chunks()
    arrays: list[Any] = [column.chunk(0) for column in table.columns]
    return pa.RecordBatch.from_arrays(arrays, names=table.schema.names)


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
