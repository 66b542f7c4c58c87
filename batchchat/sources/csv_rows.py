"""CSV (RFC 4180) as numbered records: the first row names the columns, every value is text.

A record is known by the line it begins on. One that can't be read is one bad record of that line, and reading
goes on with the next line, so that a quote that is never closed costs a row and not the rest of the file.
Memory holds a block and the longest row, of which no more than 64 MiB are looked at.
"""

from __future__ import annotations

import csv
from collections import deque
from typing import TYPE_CHECKING

from batchchat.errors import InputError
from batchchat.sources.decompressed_file import MAX_ROW_BYTES, BrokenOffError, open_decompressed, read_lines
from batchchat.sources.json_value import short_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from batchchat.sources.files import InputFile, Record

__all__ = ["header_of", "read_csv"]

# What the standard library says, by its words, for want of another sign (CPython 3.11 to 3.14, Modules/_csv.c).
_FAULTS = {
    "expected after": 'a quote stands inside a quoted cell. Write it twice: "".',
    "unexpected end of data": "the quote that opens here is never closed",
    "new-line character": "a carriage return stands in a cell without quotes. Quote the cell, or end lines with LF.",
}
_SEPARATORS = {";": "`;`", "\t": "tabs", "|": "`|`"}


class _TooLongError(Exception):
    """A record is still open after 64 MiB."""


class _Lines:
    """Lines as text for the standard library's reader, which take back what a failed record took."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self.number = 0
        self._lines = lines
        self._pushed_back: deque[bytes] = deque()
        self.begin(clean=True)

    def begin(self, *, clean: bool) -> None:
        """A record begins; where the one before was not `clean`, at the line after its first."""
        if not clean and self._taken:
            self.number -= len(self._taken) - 1
            self._pushed_back.extendleft(reversed(self._taken[1:]))
        self._taken: list[bytes] = []
        self._size = 0
        self.fault: str | None = None

    @property
    def first(self) -> int:
        """The line the record begins on."""
        return self.number - len(self._taken) + 1 if self._taken else self.number + 1

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._pushed_back.popleft() if self._pushed_back else next(self._lines)
        self.number += 1
        self._taken.append(line)
        self._size += len(line) + 1
        if self._size > MAX_ROW_BYTES and len(self._taken) > 1:
            raise _TooLongError
        if b"\0" in line:
            self._note(f"the row holds a NUL byte: byte {line.index(0) + 1:,}")
        try:
            return line.decode() + "\n"
        except UnicodeDecodeError as error:
            self._note(f"the row is not UTF-8: byte {error.start + 1:,} is 0x{line[error.start]:02x}")
            return line.decode(errors="replace") + "\n"

    def _note(self, fault: str) -> None:
        if self.fault is None:
            self.fault = fault if len(self._taken) == 1 else f"{fault} of line {self.number:,}"


def read_csv(file: InputFile, on_progress: Callable[[int], None]) -> Iterator[Record]:
    """The records of a file; `on_progress` hears how many of its bytes are read.

    Raises `InputError` where it is gone, or its first row can't name the columns.
    """
    with open_decompressed(file) as content:
        rows = _rows(read_lines(content, on_progress))
        first = next(rows, None)
        if first is None:
            return
        header = _header(file, *first)
        if header is None:
            yield first[0], str(first[1])
            return
        width = len(header)
        for number, cells in rows:
            if isinstance(cells, str):
                yield number, cells
            elif len(cells) == width:
                yield number, dict(zip(header, cells, strict=True))
            elif len(cells) > 1 or cells[0].strip():
                yield number, _miscounted(len(cells), width)


def header_of(file: InputFile) -> list[str]:
    """The names of the columns, none where the file is empty. Raises `InputError`."""
    with open_decompressed(file) as content:
        first = next(_rows(read_lines(content, lambda _: None)), None)
        return [] if first is None else _header(file, *first) or []


def _rows(lines: Iterator[bytes]) -> Iterator[tuple[int, list[str] | str]]:
    """The line of each row that isn't blank, with its cells or the sentence that says why it has none."""
    csv.field_size_limit(max(csv.field_size_limit(), MAX_ROW_BYTES))
    source = _Lines(lines)
    reader = csv.reader(source, strict=True)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield source.first, _explanation(error)
            source.begin(clean=False)
        except _TooLongError:
            yield source.first, f"the quote that opens here is not closed within {MAX_ROW_BYTES >> 20} MiB"
            source.begin(clean=False)
        except BrokenOffError as error:
            yield source.first, f"the file breaks off here: {error}"
            return
        else:
            if source.fault is not None:
                yield source.first, source.fault
            elif cells:
                yield source.first, cells
            source.begin(clean=True)


def _explanation(error: csv.Error) -> str:
    return next((sentence for sign, sentence in _FAULTS.items() if sign in str(error)), f"the row is not CSV: {error}")


def _header(file: InputFile, number: int, names: list[str] | str) -> list[str] | None:
    """The names of the columns; None where the file breaks off in them, which is a bad row."""
    where = f"{file.as_given}:{number}"
    if isinstance(names, str):
        if names.startswith("the file breaks off"):
            return None
        raise InputError(f"{where}: the first row has to name the columns, but {names.removesuffix('.')}.")
    if len(names) == 1:
        for separator, name in _SEPARATORS.items():
            if separator in names[0]:
                raise InputError(f"{where}: the columns are separated by {name}. Save the file with commas.")
    for at, name in enumerate(names):
        if not name.strip():
            raise InputError(
                f"{where}: column {at + 1:,} has no name. The first row names the columns"
                + (" (pandas: write it with `index=False`)." if at == 0 else ".")
            )
        if name in names[:at]:
            raise InputError(f"{where}: two columns are called {short_json(name)}. Give each a name of its own.")
    return names


def _miscounted(cells: int, width: int) -> str:
    counted = f"the row has {cells:,} cell{'s' if cells != 1 else ''}, and the header {width:,}"
    return f"{counted}. Quote a cell that holds a comma." if cells > width else counted
