"""One Parquet file under way: rows go in, in their order, and leave as row groups.

A row group closes at 10,000 rows or 4 MiB of journal bytes, whichever comes first, and is converted 500 rows at a
time. Measured at 2.5 KB a row: groups of 4 MiB take 50 MB of memory, of 16 MiB 90 MB. While one is compressed and
written in a thread, the next is converted in another: Arrow holds no lock of Python's for most of both.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from batchchat.arrow import cells
from batchchat.arrow.widened_arrays import arrow_type, decode_widened
from batchchat.arrow.widening import Widened
from batchchat.core.output_columns import METADATA
from batchchat.core.record import RowRecord
from batchchat.store import records
from batchchat.store.columns import COLUMNS, Values, arrays_of, passthrough_names
from batchchat.store.line_columns import AS_CARRIED, LineColumns, LineForm

__all__ = ["GROUP_LIMITS", "GroupLimits", "ParquetBuilder", "PassthroughColumn", "SizedRow", "passthrough_array"]

PassthroughColumn = pa.DataType | Widened
"""The type of a passthrough column: declared by a Parquet input, or widened over the JSON values of all rows."""

SizedRow = tuple[RowRecord | bytes, int]
"""A row's record, or its intact line in the journal, which says the same; and its length in bytes in the journal."""

_Argument = TypeVar("_Argument")
_Result = TypeVar("_Result")
_ARROW_SCHEMA = "ARROW:schema"
_NONE: dict[str, Any] = {}


class GroupLimits(NamedTuple):
    """A row group closes at `rows` rows or `size` bytes of the journal; `slice_rows` are converted at a time."""

    rows: int = 10_000
    size: int = 4 << 20
    slice_rows: int = 500


GROUP_LIMITS = GroupLimits()
_GROUPS_A_RELEASE = 8
"""After how many groups the memory of what was converted goes back to the system.

What the file keeps of each group lies between, 32 KB, so that it would not by itself. After each it takes 6 ms.
"""


class ParquetBuilder:
    """The file at `path` with these `passthrough` columns, which is open until `close` or `abandon`.

    `line_form` says how rows that are given as lines have them.
    """

    def __init__(
        self,
        path: Path,
        passthrough: Mapping[str, PassthroughColumn],
        limits: GroupLimits = GROUP_LIMITS,
        line_form: LineForm = AS_CARRIED,
    ) -> None:
        self._schema = schema = output_schema(passthrough)
        self._passthrough = passthrough
        self._limits = limits
        self._lines = LineColumns(schema, passthrough, line_form.paths)
        self._published = line_form.published
        self._slice: list[RowRecord | bytes] = []
        self._batches: list[Future[pa.RecordBatch]] = []
        self._rows = self._size = self._groups = 0
        paths = _leaf_paths(schema)
        writer: Any = pq.ParquetWriter  # the stubs know no lists of columns
        self._writer = writer(
            path,
            schema,
            compression="zstd",
            use_dictionary=[leaf for leaf in paths if leaf not in _PLAIN],
            write_statistics=[leaf for leaf in paths if leaf not in _LONG],
        )
        self._threads = ThreadPoolExecutor(2, "parquet")
        self._writing: Future[None] | None = None
        self.in_threads = True
        """Whether rows are converted and written in threads; else `add` does it, in less memory and more time."""

    def add(self, row: RowRecord | bytes, length: int) -> None:
        """Add a row behind those before it. Raises what converting or writing one of these raised, `OSError` too."""
        self._slice.append(row)
        self._rows, self._size = self._rows + 1, self._size + length
        is_full = self._rows >= self._limits.rows or self._size >= self._limits.size
        if is_full or len(self._slice) >= self._limits.slice_rows:
            self._convert()
        if is_full:
            self._write_group()

    def end_rows(self) -> None:
        """No row follows: write those that are left. Raises as `add` does."""
        if self._slice:
            self._convert()
        if self._batches:
            self._write_group()
        self._written()
        self._threads.shutdown()

    def close(self, metadata: bytes) -> None:
        """Write what is left, and the file's `metadata` in JSON. Raises `OSError`."""
        self.end_rows()
        # Arrow reads a schema's metadata from the schema, which is written when the file is opened, but may be again.
        described = self._schema.with_metadata({METADATA: metadata}).serialize()
        self._writer.add_key_value_metadata({METADATA: metadata, _ARROW_SCHEMA: b64encode(described)})
        self._writer.close()

    def abandon(self) -> None:
        """Close the file, whatever is in it: it is of no use any more."""
        self._threads.shutdown()
        with suppress(OSError, pa.ArrowException):
            self._writer.close()

    def _convert(self) -> None:
        self._batches.append(self._submit(self._batch, self._slice))
        self._slice = []

    def _submit(self, work: Callable[[_Argument], _Result], argument: _Argument) -> Future[_Result]:
        if self.in_threads:
            return self._threads.submit(work, argument)
        future = Future[_Result]()
        future.set_result(work(argument))
        return future

    def _batch(self, rows: Sequence[RowRecord | bytes]) -> pa.RecordBatch:
        lines = [row for row in rows if isinstance(row, bytes)]
        if len(lines) == len(rows) and (batch := self._lines.batch(lines)) is not None:
            return batch
        row_records = [self._published(_record(row)) if isinstance(row, bytes) else row for row in rows]
        arrays = arrays_of(row_records, COLUMNS)
        arrays += [passthrough_array(row_records, name, kind) for name, kind in self._passthrough.items()]
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema)

    def _write_group(self) -> None:
        batches, self._batches, self._rows, self._size = self._batches, [], 0, 0
        self._written()  # at most one group is behind the one that gathers
        self._writing = self._submit(self._write, batches)

    def _write(self, batches: list[Future[pa.RecordBatch]]) -> None:
        # They were given to the threads before this, so that each is finished or under way.
        group = pa.Table.from_batches([batch.result() for batch in batches], self._schema)
        self._writer.write_table(group, row_group_size=len(group))
        self._groups += 1
        if self._groups % _GROUPS_A_RELEASE == 0:
            batches.clear()
            del group
            pa.default_memory_pool().release_unused()

    def _written(self) -> None:
        """Wait until the group under way is written."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()


def output_schema(passthrough: Mapping[str, PassthroughColumn]) -> pa.Schema:
    """The columns of an output with these `passthrough` columns."""
    names = passthrough_names(passthrough)
    return pa.schema(
        [
            *((column.name, column.type) for column in COLUMNS),
            *((names[name], _arrow_type(kind)) for name, kind in passthrough.items()),
        ]
    )


def _arrow_type(kind: PassthroughColumn) -> pa.DataType:
    return kind if isinstance(kind, pa.DataType) else arrow_type(kind)


def passthrough_array(rows: Sequence[RowRecord], name: str, kind: PassthroughColumn) -> pa.Array[Any]:
    """The passthrough column `name` of `rows`."""
    values = [row.get("carried", _NONE).get(name) for row in rows]
    return cells.decode(values, kind) if isinstance(kind, pa.DataType) else decode_widened(values, kind)


def _record(line: bytes) -> RowRecord:
    record: Any = records.parse(line)
    assert record is not None, "the line is intact"
    return record  # type: ignore[no-any-return]


_CONTENT = "messages.list.element.content"
_LONG = {column.name for column in COLUMNS if column.values is Values.LONG} | {_CONTENT}
_PLAIN = _LONG | {column.name for column in COLUMNS if column.values is Values.UNIQUE}


def _leaf_paths(schema: pa.Schema) -> list[str]:
    """The names of the columns in a file, of nested ones those of their parts."""
    sink = pa.BufferOutputStream()
    pq.ParquetWriter(sink, schema).close()
    columns: Any = pq.ParquetFile(pa.BufferReader(sink.getvalue())).schema
    return [columns.column(at).path for at in range(len(columns))]
