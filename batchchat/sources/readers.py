"""The reader of each kind of file."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from batchchat.sources.csv_rows import header_of, read_csv
from batchchat.sources.file_types import FileKind
from batchchat.sources.json_list import is_list, is_list_named_as_lines, read_json
from batchchat.sources.jsonl import read_jsonl
from batchchat.sources.parquet import read_parquet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from batchchat.sources.files import InputFile, Record
    from batchchat.sources.parquet import ColumnSelection

__all__ = ["declared_columns", "read_records", "resolve_json_kind"]

_TEXT_READERS = {FileKind.JSONL: read_jsonl, FileKind.JSON: read_json, FileKind.CSV: read_csv}


def read_records(file: InputFile, selection: ColumnSelection, on_progress: Callable[[int], None]) -> Iterator[Record]:
    """The records of `file`, good and bad; `on_progress` is called with the number of its bytes read so far.

    `selection` applies to Parquet alone. Raises `InputError` if the file is gone.
    """
    if file.kind is FileKind.PARQUET:
        return read_parquet(file, selection, on_progress)
    return _TEXT_READERS[file.kind](file, on_progress)


def resolve_json_kind(file: InputFile) -> InputFile:
    """`file` with the kind of its content: JSON lines are often named `.json`, and a list `.jsonl`.

    Raises `InputError` if it is neither.
    """
    if file.kind is FileKind.JSON and not is_list(file):
        return replace(file, kind=FileKind.JSONL)
    if file.kind is FileKind.JSONL and is_list_named_as_lines(file):
        return replace(file, kind=FileKind.JSON)
    return file


def declared_columns(file: InputFile) -> list[str] | None:
    """The column names in a CSV file's header, an empty list if it has none; None for any other kind of file."""
    return header_of(file) if file.kind is FileKind.CSV else None
