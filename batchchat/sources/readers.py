"""The reader of each kind of file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from batchchat.core.bad import Bad
from batchchat.sources.file_types import FileKind
from batchchat.sources.json_list import is_list, is_list_named_as_lines, read_json
from batchchat.sources.jsonl import number_lines, read_jsonl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from batchchat.sources.column_selection import ColumnSelection, ParquetFooter
    from batchchat.sources.files import InputFile, Record

__all__ = ["begin", "declared_columns", "read_footers", "read_records", "resolve_json_kind"]


def read_records(file: InputFile, selection: ColumnSelection, on_progress: Callable[[int], None]) -> Iterator[Record]:
    """The records of `file`, good and bad; `on_progress` is called with the number of its bytes read so far.

    A column of the file itself precedes one of its folder's name. `selection` applies to Parquet; JSON lines
    are not parsed where it is of no column. Raises `InputError` if the file is gone.
    """
    if file.kind is FileKind.PARQUET:
        from batchchat.sources.parquet import read_parquet  # pyarrow, which no other kind of file needs

        records = read_parquet(file, selection, on_progress)
    elif file.kind is FileKind.JSONL and selection.columns == set():
        records = number_lines(file, on_progress)
    elif file.kind is FileKind.CSV:
        from batchchat.sources.csv_rows import read_csv

        records = read_csv(file, on_progress)
    else:
        records = (read_json if file.kind is FileKind.JSON else read_jsonl)(file, on_progress)
    partition = file.partition
    return _with_columns(records, partition) if partition else records


def begin(file: InputFile, selection: ColumnSelection) -> bool:
    """Ask the store for the first rows of `file`, which `read_records` will have at once; True while they are coming.

    Nothing is asked twice, nor of a file on this machine.
    """
    if isinstance(file.path, Path):
        return False
    if file.path.stream is None and file.kind is FileKind.PARQUET:
        from batchchat.sources.parquet import begin_parquet

        begin_parquet(file, selection)
    elif file.path.stream is None:
        from batchchat.sources.remote_stream import RemoteStream

        RemoteStream(file.path)
    return file.path.stream is not None and file.path.stream.is_waiting


def _with_columns(records: Iterator[Record], columns: dict[str, str | None]) -> Iterator[Record]:
    for line, record in records:
        if not isinstance(record, Bad):
            for name, value in columns.items():
                record.setdefault(name, value)
        yield line, record


def read_footers(files: Iterable[InputFile]) -> list[ParquetFooter]:
    """The footer of each of `files` that is Parquet. Raises `InputError` where one can't be read."""
    parquet = [file for file in files if file.kind is FileKind.PARQUET]
    if not parquet:
        return []
    from batchchat.sources.parquet import read_footer

    return [read_footer(file) for file in parquet]


def resolve_json_kind(file: InputFile) -> InputFile:
    """`file` with the kind of its content: JSON lines are often named `.json`, and a list `.jsonl`.

    Raises `InputError` if it is neither.
    """
    if file.kind is FileKind.JSON and not is_list(file):
        return file._replace(kind=FileKind.JSONL)
    if file.kind is FileKind.JSONL and is_list_named_as_lines(file):
        return file._replace(kind=FileKind.JSON)
    return file


def declared_columns(file: InputFile) -> list[str] | None:
    """The column names in a CSV file's header, an empty list if it has none; None for any other kind of file."""
    if file.kind is not FileKind.CSV:
        return None
    from batchchat.sources.csv_rows import header_of

    header = header_of(file)
    return None if header is None else [*header, *(name for name in file.partition if name not in header)]
