"""CSV (RFC 4180) as numbered records: the first row names the columns, every value is text.

A record's number is the line it begins on. One that can't be read is one bad record of that line, and reading goes on
with the next line, so that a quote that is never closed costs a row and not the rest of the file. Memory holds a block
and the longest row, of which at most `max_row_bytes` are read.

The standard library's reader raises `csv.Error` for every problem and tells them apart by words alone (CPython 3.11 to
3.14, Modules/_csv.c), so that the problem is found out from what was read: see `_problem`. It also has one limit on the
length of a cell for the whole process, of 128 KiB by default. The limit is raised for a longer row alone, which is then
read twice, and put back as it was.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

from batchchat.core.bad import Bad
from batchchat.errors import InputError
from batchchat.sources.decompressed_file import (
    MAX_ROW_BYTES,
    TOO_LONG,
    BrokenOffError,
    OverlongLine,
    open_decompressed,
    read_lines,
)
from batchchat.sources.json_value import short_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from batchchat.sources.files import InputFile, Record

__all__ = ["header_of", "read_csv"]

_UNCLOSED = "the quote that opens here is never closed"
_QUOTE = 'a quoted cell contains a quote. Write it twice: "".'
_CARRIAGE_RETURN = "an unquoted cell contains a carriage return. Quote the cell, or end lines with LF."
_UP_TO_CARRIAGE_RETURN = re.compile(r"[^\r]*\r|[^\r]+")
_SEPARATORS = {";": "`;`", "\t": "tabs", "|": "`|`"}
_EXCEL_SEPARATOR = re.compile(r"(?i)sep=.?")
# Two threads that raise the limit at once would put back each other's.
_LIMIT_LOCK = Lock()


class _TooLongError(Exception):
    """A record is still open after `max_row_bytes`."""


class _Lines:
    """The lines of a file as text for `csv.reader`. It remembers those of the current record, to read them again."""

    def __init__(self, lines: Iterator[bytes], max_row_bytes: int) -> None:
        self.max_row_bytes = max_row_bytes
        self.number = 0
        self._lines = lines
        self._pushed_back: deque[bytes] = deque()
        self.begin()

    def begin(self) -> None:
        """A record begins at the next line."""
        self._taken: list[bytes] = []
        self.size = 0
        self.is_exhausted = False
        self.problem: str | None = None

    def begin_again(self, *, skip: int) -> None:
        """A record begins at the current record's line number `skip`, 0 for its first."""
        again = self._taken[skip:]
        self.number -= len(again)
        self._pushed_back.extendleft(reversed(again))
        self.begin()

    @property
    def first(self) -> int:
        """The line that the record begins on."""
        return self.number - len(self._taken) + 1 if self._taken else self.number + 1

    @property
    def text(self) -> str:
        """The record's lines so far."""
        return "".join(line.decode(errors="replace") + "\n" for line in self._taken)

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if self._pushed_back:
            line = self._pushed_back.popleft()
        else:
            try:
                line = next(self._lines)
            except StopIteration:
                self.is_exhausted = True
                raise
        self.number += 1
        self._taken.append(line)
        self.size += len(line) + 1
        if self.size > self.max_row_bytes and len(self._taken) > 1:
            raise _TooLongError
        if isinstance(line, OverlongLine):
            self._note(f"the row {TOO_LONG}")
        if b"\0" in line:
            self._note(f"the row holds a NUL byte: byte {line.index(0) + 1:,}")
        try:
            return line.decode() + "\n"
        except UnicodeDecodeError as error:
            self._note(f"the row is not UTF-8: byte {error.start + 1:,} is 0x{line[error.start]:02x}")
            return line.decode(errors="replace") + "\n"

    def _note(self, problem: str) -> None:
        if self.problem is None:
            self.problem = problem if len(self._taken) == 1 else f"{problem} of line {self.number:,}"


def read_csv(
    file: InputFile, on_progress: Callable[[int], None], *, max_row_bytes: int = MAX_ROW_BYTES
) -> Iterator[Record]:
    """The records of `file`; `on_progress` is called with the number of its bytes read so far.

    Raises `InputError` if the file is gone, or its first row can't name the columns.
    """
    with open_decompressed(file) as content:
        lines = _Lines(read_lines(content, on_progress), max_row_bytes)
        try:
            rows = _rows(lines)
            first = next(rows, None)
            if first is None:
                return
            header = _header(file, *first)
            width = len(header)
            for number, cells in rows:
                if isinstance(cells, Bad):
                    yield number, cells
                elif len(cells) == width:
                    yield number, dict(zip(header, cells, strict=True))
                elif len(cells) > 1 or cells[0].strip():
                    yield number, Bad(_miscounted(len(cells), width))
        except BrokenOffError as error:
            yield lines.first, Bad(f"the file breaks off here: {error}")


def header_of(file: InputFile) -> list[str]:
    """The names of the columns; empty if the file is empty or ends before them. Raises `InputError`."""
    with open_decompressed(file) as content:
        try:
            first = next(_rows(_Lines(read_lines(content, lambda _: None), MAX_ROW_BYTES)), None)
        except BrokenOffError:
            return []
        return [] if first is None else _header(file, *first)


def _rows(lines: _Lines) -> Iterator[tuple[int, list[str] | Bad]]:
    """The line and the cells of each row that isn't blank, or why it has none. Raises `BrokenOffError`."""
    reader = csv.reader(lines, strict=True)
    while True:
        try:
            cells: list[str] | Bad = next(reader)
        except StopIteration:
            return
        except csv.Error:
            cells = _second_reading(lines, reader)
        except _TooLongError:
            cells = _too_long(lines)
        if isinstance(cells, Bad):
            yield lines.first, cells
            lines.begin_again(skip=1)
            continue
        if lines.problem is not None:
            yield lines.first, Bad(lines.problem)
        elif cells:
            yield lines.first, cells
        lines.begin()


def _second_reading(lines: _Lines, reader: Iterator[list[str]]) -> list[str] | Bad:
    """The cells of a row that `reader` refused and that was only too long for the process's limit, or what is wrong."""
    if lines.size <= csv.field_size_limit():
        return _problem(lines)
    lines.begin_again(skip=0)
    try:
        with _cell_limit(lines.max_row_bytes):
            return next(reader)
    except csv.Error:
        return _problem(lines)
    except _TooLongError:
        return _too_long(lines)


def _problem(lines: _Lines) -> Bad:
    """Why `csv.reader` refused the record of `lines`, as far as it has read them."""
    if lines.is_exhausted:
        return Bad(_UNCLOSED)
    if lines.size > lines.max_row_bytes:
        return Bad(f"the row is longer than {lines.max_row_bytes >> 20} MiB")
    # Of a carriage return outside quotes and a quote inside them, the reader refuses what comes first. If each carriage
    # return ended a line, one outside quotes would end the record, and only a quote before it would be refused again.
    pieces = _UP_TO_CARRIAGE_RETURN.findall(lines.text)
    try:
        with _cell_limit(lines.max_row_bytes):
            next(csv.reader(pieces, strict=True))
    except csv.Error:
        return Bad(_QUOTE)
    return Bad(_CARRIAGE_RETURN)


def _too_long(lines: _Lines) -> Bad:
    return Bad(f"the quote that opens here is not closed within {lines.max_row_bytes >> 20} MiB")


@contextmanager
def _cell_limit(characters: int) -> Iterator[None]:
    """Let cells be as long as `characters`, and put back what the process allows."""
    with _LIMIT_LOCK:
        before = csv.field_size_limit()
        csv.field_size_limit(max(before, characters))
        try:
            yield
        finally:
            csv.field_size_limit(before)


def _header(file: InputFile, number: int, names: list[str] | Bad) -> list[str]:
    """The names of the columns. Raises `InputError`."""
    where = f"{file.as_given}:{number}"
    if isinstance(names, Bad):
        raise InputError(f"{where}: the first row has to name the columns, but {names.sentence.removesuffix('.')}.")
    if len(names) == 1 and not _EXCEL_SEPARATOR.fullmatch(names[0]):
        for separator, name in _SEPARATORS.items():
            if separator in names[0]:
                raise InputError(f"{where}: the columns are separated by {name}. Save the file with commas.")
    if _EXCEL_SEPARATOR.fullmatch(",".join(names)):
        raise InputError(f"{where}: this line is for Excel. Remove it, so that the first row names the columns.")
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
