"""JSON lines, plain or gzip, as numbered records: one for each line that isn't blank, good or bad.

Memory holds one block and the longest line. A UTF-8 byte order mark at the file's start and CRLF are taken.
What a broken gzip stream gave before its break is used; the break itself is one bad record, of the line it
broke in.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, BinaryIO

from batchchat.sources.files import FileKind, InputFile, unreadable
from batchchat.sources.jsonvalue import parse, said

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Record", "read_jsonl"]

Record = tuple[int, dict[str, Any] | str]
"""Line or row number from 1, and its columns or the sentence that says why it can't be read."""

_BLOCK = 1 << 18
_GZIP_BLOCK = 1 << 16
_BOM = b"\xef\xbb\xbf"
_GZIP = 31  # zlib's window bits for a gzip header and trailer


class _BrokenError(Exception):
    """A gzip stream broke off. `str()` says how."""


def read_jsonl(file: InputFile, tell: Callable[[int], None]) -> Iterator[Record]:
    """The records of a file; `tell` hears how many of its bytes are read.

    Raises `InputError` where it is gone.
    """
    try:
        stream = file.path.open("rb")
    except OSError as error:
        raise unreadable(file.typed, error) from error
    with stream:
        gz = file.kind is FileKind.JSONL_GZ
        opened = inflated = used = at = line_number = 0  # bytes, but for the last

        def blocks() -> Iterator[bytes]:
            nonlocal opened, inflated
            for block in _inflated(stream) if gz else _blocks(stream):
                opened, inflated = stream.tell(), inflated + len(block)
                yield block

        try:
            for line in _lines(blocks()):
                line_number += 1
                used += len(line) + 1
                # By lines, not blocks: a small file is one block, and its size is to be estimated too.
                at = max(at, opened * min(used, inflated) // inflated)
                tell(at)
                text = line.removeprefix(_BOM) if line_number == 1 else line
                if text and not text.isspace():
                    yield line_number, _columns(text)
            tell(stream.tell())
        except _BrokenError as error:
            tell(stream.tell())
            yield line_number + 1, f"the file breaks off here: {error}"
        except OSError as error:
            raise unreadable(file.typed, error) from error


def _columns(line: bytes) -> dict[str, Any] | str:
    try:
        value = parse(line)
    except ValueError as error:
        return f"the line {error}"
    if type(value) is dict:
        return value
    return f"the line is {said(value)}. It takes an object."


def _lines(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The lines of a stream without their ends.

    What stands after the last line feed is a line if there is any.
    """
    begun: list[bytes] = []
    for block in blocks:
        head, *whole = block.split(b"\n")
        begun.append(head)
        if whole:
            yield b"".join(begun)
            begun = [whole.pop()]
            yield from whole
    last = b"".join(begun)
    if last:
        yield last


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    while block := stream.read(_BLOCK):
        yield block


def _inflated(stream: BinaryIO) -> Iterator[bytes]:
    """What a gzip file of one or more members holds. Raises `_BrokenError` after all that could be read."""
    member = zlib.decompressobj(_GZIP)
    begun = False
    while data := stream.read(_GZIP_BLOCK):
        while data:
            if not begun:
                # Zeros may pad a gzip file's end.
                data = data.lstrip(b"\0")
                if not data:
                    break
                member, begun = zlib.decompressobj(_GZIP), True
            before = member.copy()
            try:
                block = member.decompress(data, _BLOCK)
            except zlib.error as error:
                yield _until_break(before, data)
                raise _BrokenError("what follows is not gzip or is damaged") from error
            if block:
                yield block
            data = member.unused_data if member.eof else member.unconsumed_tail
            begun = not member.eof
    if begun:
        yield member.flush()
        raise _BrokenError("the gzip stream ends too early")


def _until_break(member: zlib._Decompress, data: bytes) -> bytes:
    """What can still be had of `data`, byte by byte: a block that fails gives nothing at all."""
    had = bytearray()
    try:
        for at in range(len(data)):
            had += member.decompress(data[at : at + 1])
    except zlib.error:
        return bytes(had)
    return bytes(had)
