"""A JSON list of objects as numbered records, one for each element, good or bad; the layout does not matter.

The list is streamed: memory holds one block and the longest element, of at most 64 MiB. A longer one is read to its end
and not kept: it is one bad record. An element whose brackets balance is one record, even if it is not valid JSON. Where
they don't balance, the end of the element can't be found, and the file ends with one bad record. A missing comma and a
trailing comma are accepted.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from batchchat.core.bad import Bad
from batchchat.errors import InputError
from batchchat.sources.decompressed_file import (
    BLOCK_BYTES,
    MAX_ROW_BYTES,
    TOO_LONG,
    BrokenOffError,
    DecompressedFile,
    OverlongLine,
    open_decompressed,
)
from batchchat.sources.json_value import bad_json, parse_object, short_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from batchchat.sources.files import InputFile, Record

__all__ = ["is_list", "is_list_named_as_lines", "read_json"]

_BOM = b"\xef\xbb\xbf"
_SPACE = re.compile(rb"[ \t\r\n]*")
# Group 1 is a string's closing quote; without it the string continues in the next block.
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(")?'
_BRACKET = re.compile(_STRING + rb"|[\[\]{}]", re.DOTALL)
_SCALAR = re.compile(_STRING + rb'|[^\s,\[\]{}"]+', re.DOTALL)
# The rest of a string that has begun; group 1 is its closing quote. A backslash at the end is left for what follows.
_REST_OF_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+(")?', re.DOTALL)
_REST_OF_WORD = re.compile(rb'[^\s,\[\]{}"]*')
_OPENING, _CLOSING, _QUOTE = b"[{", b"]}", ord('"')


class _Window:
    """The part of the content that is in memory: it grows while an element is open, and drops what has been read."""

    def __init__(self, content: DecompressedFile, max_element_bytes: int) -> None:
        self.data = b""
        self.at = 0
        self.line = 1
        self._column_from = 0  # the offset at which the current line begins
        self._blocks = iter(content)
        self._max_element_bytes = max_element_bytes
        self._broken: BrokenOffError | None = None
        self._before = 0
        if not self._extend() or not self.data.startswith(_BOM):
            return
        self.at = self._column_from = len(_BOM)

    @property
    def used(self) -> int:
        """The number of bytes of the content that have been read."""
        return self._before + self.at

    @property
    def column(self) -> int:
        """The column of the current position, from 1."""
        return self.at - self._column_from + 1

    def _is_too_long(self) -> bool:
        return len(self.data) - self.at > self._max_element_bytes

    def _extend(self) -> bool:
        """Read as much as is in memory already, so that a long element isn't scanned again for each block.

        Not much more than an element may have. False at the end of the content.
        """
        if self._broken is not None:
            raise self._broken
        remainder = self.data[self.at :]
        parts, size = [remainder], 0
        wanted = max(1, min(len(remainder), self._max_element_bytes + 1 - len(remainder)))
        try:
            while size < wanted and (block := next(self._blocks, b"")):
                parts.append(block)
                size += len(block)
        except BrokenOffError as error:
            self._broken = error
            if not size:
                raise
        self._before += self.at
        self._column_from -= self.at
        self.data, self.at = b"".join(parts), 0
        return size > 0

    def _advance(self, to: int) -> None:
        line_feeds = self.data.count(b"\n", self.at, to)
        if line_feeds:
            self.line += line_feeds
            self._column_from = self.data.rindex(b"\n", self.at, to) + 1
        self.at = to

    def peek(self) -> bytes:
        """The next byte that is not white space; empty at the end of the content."""
        while True:
            space = _SPACE.match(self.data, self.at)
            assert space is not None
            self._advance(space.end())
            if self.at < len(self.data):
                return self.data[self.at : self.at + 1]
            if not self._extend():
                return b""

    def skip(self) -> None:
        """Move past the byte that `peek` returned."""
        self.at += 1

    def element(self) -> bytes | None:
        """Read the element that begins at the current position; None if its end can't be found.

        Of one that is too long an `OverlongLine` is returned.
        """
        start = self.used
        to = self._end_of_nested() if self.data[self.at] in _OPENING else self._end_of_scalar()
        if to is None:
            return None
        is_kept = self._before + to - start <= self._max_element_bytes
        text = self.data[self.at : to] if is_kept else OverlongLine()
        self._advance(to)
        return text

    def _end_of_nested(self) -> int | None:
        """Where in `data` the element ends. What has been read of one that is too long is dropped on the way."""
        depth, scanned, is_too_long = 0, self.at, False
        while True:
            depth, stopped_at, in_string = self._scan_brackets(depth, scanned)
            if not depth:
                return stopped_at
            is_too_long = is_too_long or self._is_too_long()
            if is_too_long:
                self._advance(stopped_at)
                if in_string:
                    if not self._skip_string():
                        return None
                    scanned = self.at
                    continue
            # Only an unfinished string is scanned again after more is read.
            scanned = stopped_at - self.at
            if not self._extend():
                return None

    def _scan_brackets(self, depth: int, start: int) -> tuple[int, int, bool]:
        """Count brackets from `start` within `depth` others: its depth, where it stopped, whether in a string."""
        for token in _BRACKET.finditer(self.data, start):
            sign = self.data[token.start()]
            if sign in _OPENING:
                depth += 1
            elif sign in _CLOSING:
                depth -= 1
                if not depth:
                    return 0, token.end(), False
            elif token.lastindex is None:
                return depth, token.start(), True
        return depth, len(self.data), False

    def _end_of_scalar(self) -> int | None:
        while True:
            token = _SCALAR.match(self.data, self.at)
            if token is None:
                return None
            length = token.end() - self.at
            is_string = self.data[self.at] == _QUOTE
            whole = token.lastindex is not None or not is_string
            if whole and token.end() < len(self.data):
                return token.end()
            if self._is_too_long():
                skip = self._skip_string if is_string else self._skip_word
                return self.at if skip() else None
            if not self._extend():
                return self.at + length if whole else None

    def _skip_word(self) -> bool:
        """Move past what is no string and no list or object, keeping nothing of it."""
        while True:
            remainder = _REST_OF_WORD.match(self.data, self.at)
            assert remainder is not None
            self._advance(remainder.end())
            if self.at < len(self.data) or not self._extend():
                return True

    def _skip_string(self) -> bool:
        """Move past the string that begins at the current position, keeping nothing of it; False if it has no end."""
        self._advance(self.at + 1)
        while True:
            remainder = _REST_OF_STRING.match(self.data, self.at)
            assert remainder is not None
            self._advance(remainder.end())
            if remainder.lastindex is not None:
                return True
            if not self._extend():
                return False


def read_json(
    file: InputFile,
    on_progress: Callable[[int], None],
    *,
    max_element_bytes: int = MAX_ROW_BYTES,
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[Record]:
    """The records of `file`; `on_progress` is called with the number of its bytes read so far.

    Raises `InputError` if the file is gone.
    """
    with open_decompressed(file, block_bytes=block_bytes) as content:
        number = 0
        try:
            window = _Window(content, max_element_bytes)
            for number, columns in enumerate(_elements(window), 1):
                # By elements, not blocks: a small file is one block, and its number of rows is estimated too.
                on_progress(content.bytes_in * window.used // content.bytes_out)
                yield number, columns
        except BrokenOffError as error:
            yield number + 1, Bad(f"the file breaks off here: {error}")
    on_progress(file.size)


def _elements(window: _Window) -> Iterator[dict[str, Any] | Bad]:
    if not window.peek():
        return
    window.skip()  # the opening bracket, which `is_list` has checked
    while (sign := window.peek()) != b"]":
        line, column = window.line, window.column
        if not sign:
            yield Bad("the file breaks off here: its list is not closed")
            return
        if sign == b",":
            window.skip()
            yield Bad(f"there is no element between two commas on line {line:,}")
            continue
        element = window.element()
        if element is None:
            where = f"on line {line:,}, column {column:,}"
            if sign == b"}":
                why = f"a bracket {where} closes what none has opened"
            else:
                why = f"the element that begins {where} has no end"
            yield Bad(f"the file breaks off here: {why}")
            return
        yield Bad(f"the element {TOO_LONG}") if isinstance(element, OverlongLine) else _columns(element, line, column)
        if window.peek() == b",":
            window.skip()
    window.skip()
    if window.peek():
        yield Bad(f"what begins on line {window.line:,} comes after the list's end and is not read")


def _columns(element: bytes, line: int, column: int) -> dict[str, Any] | Bad:
    try:
        return parse_object(element, (line, column))
    except ValueError as error:
        return bad_json("the element", error)


def is_list(file: InputFile) -> bool:
    """True if the `.json` file `file` is a list or empty, False if it is JSON lines.

    Raises `InputError` if it is neither.
    """
    with open_decompressed(file) as content:
        try:
            start = next((text for block in content if (text := block.removeprefix(_BOM).lstrip())), b"[")
        except BrokenOffError:
            return True
    if start.startswith(b"["):
        return True
    if not start.startswith(b"{"):
        first = short_json(start[:1].decode(errors="replace"))
        raise InputError(f"{file.as_given} begins with {first}, which is no list of rows. {_TAKES}")
    if _first_line(file).endswith(b"}"):
        return False
    raise InputError(f"{file.as_given} is one object, not a list of rows. {_TAKES}")


def is_list_named_as_lines(file: InputFile) -> bool:
    """True if the `.jsonl` file `file` is one list of objects: its first line opens a list and doesn't close it.

    Raises `InputError` if its objects go over several lines.
    """
    with open_decompressed(file) as content:
        try:
            start = next((text for block in content if (text := block.removeprefix(_BOM).lstrip())), b"")
        except BrokenOffError:
            return False
    if _PRETTY_OBJECT.match(start):
        raise InputError(f"{file.as_given} has objects that go over several lines. {_TAKES} jq -c . writes it so.")
    if not _LIST_OF_OBJECTS.match(start):
        return False
    line, newline, after = start.partition(b"\n")
    return not (newline and after.strip() and line.rstrip().endswith(b"]"))


_PRETTY_OBJECT = re.compile(rb'\{[ \t]*\r?\n[ \t]+"')
_LIST_OF_OBJECTS = re.compile(rb"\[\s*\{")
_TAKES = "It takes [{...}, {...}], or one object a line."


def _first_line(file: InputFile) -> bytes:
    """The first line that isn't blank; empty if it is longer than a row may be."""
    begun = b""
    with open_decompressed(file) as content:
        try:
            for block in content:
                begun = (begun + block).lstrip()
                line, ends, _ = begun.partition(b"\n")
                if ends or len(begun) > MAX_ROW_BYTES:
                    return line.rstrip() if ends else b""
        except BrokenOffError:
            pass
    return begun.rstrip()
