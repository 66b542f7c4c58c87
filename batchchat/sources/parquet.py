"""Parquet files as numbered records, one for each row, with cells in their JSON form.

Cells of a column with a declared type are cast to that type first. Cells of other columns get the form a person would
write (`arrow.cell_text`), since their Arrow type is not kept anywhere. Memory holds one batch of rows and Arrow's
buffers. Null keys of structs are kept; `formats.drop_null_keys` removes them where Arrow filled them in. A data page
that can't be read ends the file with one bad record. No exception of Arrow leaves this module.

Binary cells of the conversation, the params and the id hold text: pandas' bytes, Impala, older Spark and Hive write
text without saying that it is UTF-8.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from batchchat.arrow.cell_text import as_written
from batchchat.arrow.cells import decode, encode
from batchchat.core.bad import Bad
from batchchat.core.output_columns import METADATA
from batchchat.errors import InputError
from batchchat.sources.column_selection import ColumnSelection, ParquetFooter
from batchchat.sources.decompressed_file import MAX_ROW_BYTES, TOO_LONG
from batchchat.sources.files import InputFile, read_error
from batchchat.sources.json_value import describe
from batchchat.sources.read_ahead import ReadAhead
from batchchat.sources.unify import cast, text_type

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from batchchat.sources.files import Record

__all__ = ["begin_parquet", "read_footer", "read_parquet"]

_BATCH_ROWS = 500
_BATCH_BYTES = 16 << 20
_BUFFER = 1 << 20
_REMOTE_BUFFERS = 64 << 20
"""The buffers of all columns of a file in a store: each refill of one is a request."""
_MAX_REMOTE_BUFFER = 8 << 20


def read_footer(file: InputFile) -> ParquetFooter:
    """The footer of `file`. Raises `InputError` if it can't be read or has a column of an unsupported type."""
    with _opened(file) as parquet:
        names = parquet.schema_arrow.names
        if (twice := next((name for name, count in Counter(names).items() if count > 1), None)) is not None:
            raise InputError(f"{file.as_given}: two columns are called `{twice}`. Rename one of them.")
        types = {field.name: field.type for field in parquet.schema_arrow}
        for name, dtype in types.items():
            try:
                decode([], dtype)
            except TypeError as error:
                raise InputError(f"{file.as_given}: column `{name}` is {dtype}, which is not read.") from error
        folders = {name: pa.string() for name in file.partition if name not in types}
        is_output = METADATA in (parquet.schema_arrow.metadata or {})
        return ParquetFooter({**types, **folders}, parquet.metadata.num_rows, is_output)


def read_parquet(file: InputFile, selection: ColumnSelection, on_progress: Callable[[int], None]) -> Iterator[Record]:
    """The records of `file`, with the columns of `selection`.

    `on_progress` is called with the number of bytes read so far, in proportion to the rows. Raises `InputError` if the
    file is gone.
    """
    done = 0
    with _batches_of(file, selection) as batches:
        try:
            for batch in batches:
                for row in _rows_of(batch, selection):
                    done += 1
                    batches.untaken -= 1
                    yield done, row
                on_progress(file.size * done // batches.rows)
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise read_error(file.as_given, error) from error
            problem = f"the file breaks off here, {batches.rows - done:,} rows before its end: {_first_line(error)}"
            yield done + 1, Bad(problem)
    on_progress(file.size)


def begin_parquet(file: InputFile, selection: ColumnSelection) -> None:
    """Begin to read `file`, which is in a store: the `read_parquet` that follows has its first rows at once."""
    _Batches(file, selection)


class _Batches:
    """The rows of `file` in batches with the columns of `selection`; of a file in a store they are read ahead.

    `rows` are those of the whole file, known with the first batch; `untaken` those of the last one that are not used.
    """

    def __init__(self, file: InputFile, selection: ColumnSelection) -> None:
        self._file = file
        self._selection = selection
        self._is_begun = False
        self._read = self._batches()
        self._ahead: ReadAhead[pa.RecordBatch] | None = None
        self.rows = self.untaken = 0
        if not isinstance(file.path, Path):
            self._ahead = ReadAhead(self._read)
            file.path.stream = self

    def __enter__(self) -> Self:
        self._is_begun = True
        return self

    def __exit__(self, *_: object) -> None:
        self._read.close() if self._ahead is None else self._ahead.stop()
        if not isinstance(self._file.path, Path) and self._file.path.stream is self:
            self._file.path.stream = None

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for batch in self._read if self._ahead is None else self._ahead:
            self.untaken = batch.num_rows
            yield batch

    def can_be_begun(self, selection: ColumnSelection) -> bool:
        """Whether nobody has begun with it, and it has the columns of `selection`."""
        return not self._is_begun and selection is self._selection

    @property
    def is_waiting(self) -> bool:
        """Whether the next row is still on its way."""
        return self._ahead is not None and not self._ahead.has_next() and not self.untaken

    @property
    def is_at_end(self) -> bool:
        """Whether all rows were taken."""
        return not self.untaken and (self._ahead is None or self._ahead.is_at_end)

    def _batches(self) -> Generator[pa.RecordBatch, None, None]:
        """Batches of at most `_BATCH_ROWS`, and of about `_BATCH_BYTES` by each row group's own figures."""
        with _opened(self._file) as parquet:
            names = self._selection.among(parquet.schema_arrow.names)
            self.rows = parquet.metadata.num_rows
            for group in range(parquet.num_row_groups):
                metadata = parquet.metadata.row_group(group)
                bytes_per_row = metadata.total_byte_size // max(1, metadata.num_rows)
                size = max(1, min(_BATCH_ROWS, _BATCH_BYTES // max(1, bytes_per_row)))
                yield from parquet.iter_batches(size, row_groups=[group], columns=names, use_threads=False)


def _batches_of(file: InputFile, selection: ColumnSelection) -> _Batches:
    """The batches of `file`, where they were begun with, or else anew."""
    stream = None if isinstance(file.path, Path) else file.path.stream
    return stream if isinstance(stream, _Batches) and stream.can_be_begun(selection) else _Batches(file, selection)


def _rows_of(batch: pa.RecordBatch, selection: ColumnSelection) -> Iterator[dict[str, Any] | Bad]:
    if batch.nbytes > MAX_ROW_BYTES:
        if batch.num_rows == 1:
            yield Bad(f"the row {TOO_LONG}")
            return
        for at in range(batch.num_rows):
            yield from _rows_of(batch.slice(at, 1), selection)
        return
    try:
        # Arrow also returns the column `a.b` where `a` is requested.
        cells = {name: _cells(batch, name, selection) for name in selection.among(batch.schema.names)}
    except (UnicodeDecodeError, _UnfitError) as error:
        if batch.num_rows == 1:
            yield _problem(error)
            return
        for at in range(batch.num_rows):
            yield from _rows_of(batch.slice(at, 1), selection)
        return
    if not cells:
        yield from ({} for _ in range(batch.num_rows))
        return
    names = tuple(cells)
    for row in zip(*cells.values(), strict=True):
        yield dict(zip(names, row, strict=True))


class _UnfitError(Exception):
    """A cell's value does not fit the declared type. `str()` is the sentence for the user."""


def _cells(batch: pa.RecordBatch, name: str, selection: ColumnSelection) -> list[Any]:
    column = batch.column(batch.schema.get_field_index(name))
    dtype = selection.types.get(name)
    if (text := text_type(column.type)) is not None and (selection.texts is None or name in selection.texts):
        try:
            column = cast(column, text)
        except pa.ArrowInvalid as error:
            if selection.texts is not None:
                raise _UnfitError(f"`{name}` is binary and not UTF-8. It takes text.") from error
    if dtype is None:
        return as_written(encode(column), column.type)
    if dtype == column.type:
        return encode(column)
    try:
        return encode(cast(column, dtype))
    except pa.ArrowInvalid as error:
        value = as_written(encode(column.slice(0, 1)), column.type)[0]
        raise _UnfitError(f"`{name}` is {describe(value)}, which the other files' {dtype} can't hold.") from error


def _problem(error: UnicodeDecodeError | _UnfitError) -> Bad:
    if isinstance(error, UnicodeDecodeError):
        return Bad(f"the row is not UTF-8: byte 0x{error.object[error.start]:02x} in a text column")
    return Bad(str(error))


@contextmanager
def _opened(file: InputFile) -> Iterator[pq.ParquetFile]:
    try:
        parquet = _open(file)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise read_error(file.as_given, error) from error
        raise InputError(
            f"{file.as_given} can't be read as Parquet: {_first_line(error)}. Write the file again."
        ) from error
    with parquet:
        yield parquet


def _open(file: InputFile) -> pq.ParquetFile:
    # With pre_buffer=False Arrow keeps one buffer per column in memory, not a whole row group.
    if isinstance(file.path, Path):
        return pq.ParquetFile(file.path, pre_buffer=False, buffer_size=_BUFFER)
    from batchchat.sources.remote_stream import SeekableObject

    stored = pa.PythonFile(SeekableObject(file.path), mode="r")
    footer = pq.read_metadata(stored)
    size = min(_MAX_REMOTE_BUFFER, max(_BUFFER, _REMOTE_BUFFERS // max(1, footer.num_columns)))
    return pq.ParquetFile(stored, metadata=footer, pre_buffer=False, buffer_size=size)


def _first_line(error: BaseException) -> str:
    """The first line of Arrow's message, at most 120 characters."""
    text = str(error).strip().splitlines()
    return (text[0] if text else type(error).__name__)[:120].rstrip(". ")
