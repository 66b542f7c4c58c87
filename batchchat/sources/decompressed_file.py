"""The bytes of a file, unpacked: the one place that knows gzip and zstd. The readers stand on top of it.

Memory holds a block; one kilobyte of zstd may be 32 MiB. Of a packed file that breaks off, or is damaged,
everything before the break is given; then one `BrokenOffError` is raised. No exception of a library leaves
this module.
"""

from __future__ import annotations

import zlib
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO

import zstandard

from batchchat.sources.file_types import Packing
from batchchat.sources.files import InputFile, unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["LONGEST", "BrokenOffError", "DecompressedFile", "lines", "unpacked"]

LONGEST = 64 << 20
"""Bytes that a row may take where its end can be missed: in CSV, and in a list of JSON."""

_BLOCK = 1 << 18
_PACKED_BLOCK = 1 << 16
# zstd gives all that a piece holds at once: 128 KiB for 4 bytes of a run.
_ZSTD_PIECE = 1 << 10
_GZIP = 31  # zlib's window bits for a gzip header and trailer
_BOM = b"\xef\xbb\xbf"


class BrokenOffError(Exception):
    """A packed file broke off. `str()` says how."""


class DecompressedFile:
    """The content of one open file, once. `taken` and `given` are bytes: of the file, and of its content so far."""

    def __init__(self, stream: BinaryIO, packing: Packing) -> None:
        self.taken = self.given = 0
        self._stream = stream
        self._unpack = _UNPACK[packing]

    def __iter__(self) -> Iterator[bytes]:
        try:
            for block in self._unpack(self._stream):
                if block:
                    self.taken = self._stream.tell()
                    self.given += len(block)
                    yield block
        except BrokenOffError:
            self.taken = self._stream.tell()
            raise
        self.taken = self._stream.tell()


@contextmanager
def unpacked(file: InputFile) -> Iterator[DecompressedFile]:
    """The content of `file`. Raises `InputError` where the system doesn't give it."""
    try:
        with file.path.open("rb") as stream:
            yield DecompressedFile(stream, file.packing)
    except OSError as error:
        raise unreadable(file.typed, error) from error


def lines(blocks: DecompressedFile, tell: Callable[[int], None]) -> Iterator[bytes]:
    """The lines without their ends, and without a byte order mark; `tell` hears how many bytes of the file are read.

    What stands after the last line feed is a line if there is any. Raises `BrokenOffError` after the last whole line.
    """
    at = used = 0
    begun: list[bytes] = []
    try:
        for block in blocks:
            head, *whole = block.split(b"\n")
            begun.append(head)
            if not whole:
                continue
            last = whole.pop()
            whole.insert(0, b"".join(begun))
            begun = [last]
            if not used:
                whole[0], used = whole[0].removeprefix(_BOM), 3 if whole[0].startswith(_BOM) else 0
            for line in whole:
                used += len(line) + 1
                # By lines, not blocks: a small file is one block, and its size is to be estimated too.
                at = max(at, blocks.taken * used // blocks.given)
                tell(at)
                yield line
    except BrokenOffError:
        tell(blocks.taken)
        raise
    tell(blocks.taken)
    rest = b"".join(begun)
    if not used:
        rest = rest.removeprefix(_BOM)
    if rest:
        yield rest


def _plain(stream: BinaryIO) -> Iterator[bytes]:
    while block := stream.read(_BLOCK):
        yield block


def _gunzipped(stream: BinaryIO) -> Iterator[bytes]:
    """What a gzip file of one or more members holds."""
    member = zlib.decompressobj(_GZIP)
    begun = False
    while data := stream.read(_PACKED_BLOCK):
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
                raise BrokenOffError("what follows is not gzip or is damaged") from error
            yield block
            data = member.unused_data if member.eof else member.unconsumed_tail
            begun = not member.eof
    if begun:
        yield member.flush()
        raise BrokenOffError("the gzip stream ends too early")


def _until_break(member: zlib._Decompress, data: bytes) -> bytes:
    """What can still be had of `data`, byte by byte: a block that fails gives nothing at all."""
    had = bytearray()
    with suppress(zlib.error):
        for at in range(len(data)):
            had += member.decompress(data[at : at + 1])
    return bytes(had)


def _unzstd(stream: BinaryIO) -> Iterator[bytes]:
    """What a zstd file of one or more frames holds."""
    frames = zstandard.ZstdDecompressor()
    frame = frames.decompressobj()
    begun, begin, at = False, 0, 0  # `begin` and `at`: where in the file the frame and the piece stand
    while data := stream.read(_PACKED_BLOCK):
        while data:
            if not begun:
                frame, begun, begin = frames.decompressobj(), True, at
            piece = data[:_ZSTD_PIECE]
            try:
                block = frame.decompress(piece)
            except zstandard.ZstdError as error:
                yield _until_zstd_break(stream, begin, at, piece)
                raise BrokenOffError(_zstd_break(error)) from error
            yield block
            used = len(piece) - len(frame.unused_data)
            at, data = at + used, data[used:]
            begun = not frame.eof
    if begun:
        raise BrokenOffError("the zstd stream ends too early")


def _until_zstd_break(stream: BinaryIO, begin: int, at: int, piece: bytes) -> bytes:
    """The same for `piece` of the frame at `begin`, which must be unpacked again: its state can't be copied."""
    frame, read = zstandard.ZstdDecompressor().decompressobj(), stream.tell()
    stream.seek(begin)
    while begin < at:
        good = stream.read(min(_ZSTD_PIECE, at - begin))
        frame.decompress(good)
        begin += len(good)
    had = bytearray()
    with suppress(zstandard.ZstdError):
        for byte in range(len(piece)):
            had += frame.decompress(piece[byte : byte + 1])
    stream.seek(read)
    return bytes(had)


def _zstd_break(error: zstandard.ZstdError) -> str:
    if "too much memory" in str(error):
        return "it is packed for more than 128 MiB of memory; pack it anew without --long or --ultra"
    return "what follows is not zstd or is damaged"


_UNPACK: dict[Packing, Callable[[BinaryIO], Iterator[bytes]]] = {
    Packing.PLAIN: _plain,
    Packing.GZIP: _gunzipped,
    Packing.ZSTD: _unzstd,
}
