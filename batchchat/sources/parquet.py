"""Parquet files as numbered records: one for each row, its cells in their JSON form.

Memory holds a batch of rows and what Arrow buffers to read it. Null keys of structs are left in: which of
them were never there is for the formats to say. A data page that can't be read breaks the file off: one bad
record, then its end. No exception of Arrow leaves this module.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from batchchat.cells import decode, encode
from batchchat.errors import InputError
from batchchat.sources.files import InputFile, unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from batchchat.sources.jsonl import Record

__all__ = ["ParquetFacts", "facts_of", "read_parquet"]

_ROWS_AT_ONCE = 500
_BUFFER = 1 << 20


@dataclass(frozen=True, slots=True)
class ParquetFacts:
    """What a file's footer says: the Arrow type of each column, and how many rows there are."""

    types: dict[str, pa.DataType]
    rows: int


def facts_of(file: InputFile) -> ParquetFacts:
    """What the footer says. Raises `InputError`."""
    with _opened(file) as parquet:
        types = {field.name: field.type for field in parquet.schema_arrow}
        for name, kind in types.items():
            try:
                decode([], kind)
            except TypeError as error:
                raise InputError(f"{file.typed}: column `{name}` is {kind}, which is not read.") from error
        return ParquetFacts(types, parquet.metadata.num_rows)


def read_parquet(file: InputFile, columns: set[str] | None, tell: Callable[[int], None]) -> Iterator[Record]:
    """The records of a file, with only `columns` of it, or all where None.

    `tell` hears how many of its bytes are read, in proportion to rows. Raises `InputError` where it is gone.
    """
    with _opened(file) as parquet:
        names = [name for name in parquet.schema_arrow.names if columns is None or name in columns]
        rows = parquet.metadata.num_rows
        done = 0
        try:
            for batch in parquet.iter_batches(_ROWS_AT_ONCE, columns=names, use_threads=False):
                for found in _rows_of(batch, columns):
                    done += 1
                    yield done, found
                tell(file.size * done // rows)
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise unreadable(file.typed, error) from error
            yield done + 1, f"the file breaks off here, {rows - done:,} rows before its end: {_said(error)}"
    tell(file.size)


def _rows_of(batch: pa.RecordBatch, columns: set[str] | None) -> Iterator[dict[str, Any] | str]:
    try:
        cells = {
            name: encode(batch.column(at))
            for at, name in enumerate(batch.schema.names)
            # Arrow also hands out `a.b` where `a` was asked for.
            if columns is None or name in columns
        }
    except UnicodeDecodeError as error:
        if batch.num_rows == 1:
            yield f"the row is not UTF-8: byte 0x{error.object[error.start]:02x} in a text column"
            return
        for at in range(batch.num_rows):
            yield from _rows_of(batch.slice(at, 1), columns)
        return
    if not cells:
        yield from ({} for _ in range(batch.num_rows))
        return
    names = tuple(cells)
    for row in zip(*cells.values(), strict=True):
        yield dict(zip(names, row, strict=True))


@contextmanager
def _opened(file: InputFile) -> Iterator[pq.ParquetFile]:
    try:
        # Without pre_buffer Arrow holds a buffer for each column, not a row group.
        parquet = pq.ParquetFile(file.path, pre_buffer=False, buffer_size=_BUFFER)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise unreadable(file.typed, error) from error
        raise InputError(f"{file.typed} is not read as Parquet: {_said(error)}. Write it anew.") from error
    with parquet:
        yield parquet


def _said(error: BaseException) -> str:
    """The beginning of what Arrow says, which may go over many lines."""
    text = str(error).strip().splitlines()
    return (text[0] if text else type(error).__name__)[:120].rstrip(". ")
