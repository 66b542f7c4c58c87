"""The reader of each kind of file."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from batchchat.sources.csv_rows import header_of, read_csv
from batchchat.sources.file_types import FileKind
from batchchat.sources.json_list import is_list, read_json
from batchchat.sources.jsonl import read_jsonl
from batchchat.sources.parquet import read_parquet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from batchchat.sources.files import InputFile, Record
    from batchchat.sources.parquet import Wanted

__all__ = ["columns_of", "looked_into", "records"]

_TEXT_READERS = {FileKind.JSONL: read_jsonl, FileKind.JSON: read_json, FileKind.CSV: read_csv}


def records(file: InputFile, wanted: Wanted, tell: Callable[[int], None]) -> Iterator[Record]:
    """The records of a file, good and bad; `tell` hears how many of its bytes are read.

    Raises `InputError` where it is gone.
    """
    if file.kind is FileKind.PARQUET:
        return read_parquet(file, wanted, tell)
    return _TEXT_READERS[file.kind](file, tell)


def looked_into(file: InputFile) -> InputFile:
    """`file` as what it turns out to be: many call JSON lines `.json`. Raises `InputError` where it is neither."""
    if file.kind is FileKind.JSON and not is_list(file):
        return replace(file, kind=FileKind.JSONL)
    return file


def columns_of(file: InputFile) -> list[str] | None:
    """The columns that a CSV declares, none where it is empty; None for any other kind."""
    return header_of(file) if file.kind is FileKind.CSV else None
