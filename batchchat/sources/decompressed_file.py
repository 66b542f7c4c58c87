"""The bytes of a file, decompressed: the one place that knows gzip and zstd. The readers stand on top of it.

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
from batchchat.sources.files import InputFile, read_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["MAX_ROW_BYTES", "BrokenOffError", "DecompressedFile", "open_decompressed", "read_lines"]

MAX_ROW_BYTES = 64 << 20
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
    """The content of one open file, once. `bytes_in` are those read of the file, `bytes_out` of its content."""

    def __init__(self, stream: BinaryIO, packing: Packing) -> None:
        self.bytes_in = self.bytes_out = 0
        self._stream = stream
        self._decompress = _READERS[packing]

    def __iter__(self) -> Iterator[bytes]:
        try:
            for block in self._decompress(self._stream):
                if block:
                    self.bytes_in = self._stream.tell()
                    self.bytes_out += len(block)
                    yield block
        except BrokenOffError:
            self.bytes_in = self._stream.tell()
            raise
        self.bytes_in = self._stream.tell()


@contextmanager
def open_decompressed(file: InputFile) -> Iterator[DecompressedFile]:
    """The content of `file`. Raises `InputError` where the system doesn't give it."""
    try:
        with file.path.open("rb") as stream:
            yield DecompressedFile(stream, file.packing)
    except OSError as error:
        raise read_error(file.as_given, error) from error


def read_lines(content: DecompressedFile, on_progress: Callable[[int], None]) -> Iterator[bytes]:
    """The lines of `content` without their line feeds and without a byte order mark.

    `on_progress` is called with the bytes of the file read so far. Text after the last line feed is a line too. Raises
    `BrokenOffError` after the last whole line.
    """
    at = used = 0
    begun: list[bytes] = []
    try:
        for block in content:
            head, *ended = block.split(b"\n")
            begun.append(head)
            if not ended:
                continue
            tail = ended.pop()
            ended.insert(0, b"".join(begun))
            begun = [tail]
            if not used:
                ended[0], used = ended[0].removeprefix(_BOM), 3 if ended[0].startswith(_BOM) else 0
            for line in ended:
                used += len(line) + 1
                # By lines, not blocks: a small file is one block, and its size is to be estimated too.
                at = max(at, content.bytes_in * used // content.bytes_out)
                on_progress(at)
                yield line
    except BrokenOffError:
        on_progress(content.bytes_in)
        raise
    on_progress(content.bytes_in)
    last_line = b"".join(begun)
    if not used:
        last_line = last_line.removeprefix(_BOM)
    if last_line:
        yield last_line


def _read_plain(stream: BinaryIO) -> Iterator[bytes]:
    while block := stream.read(_BLOCK):
        yield block


def _read_gzip(stream: BinaryIO) -> Iterator[bytes]:
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
    """What can still be recovered of `data`, byte by byte: a block that fails gives nothing at all."""
    recovered = bytearray()
    with suppress(zlib.error):
        for at in range(len(data)):
            recovered += member.decompress(data[at : at + 1])
    return bytes(recovered)


def _read_zstd(stream: BinaryIO) -> Iterator[bytes]:
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
    """The same for `piece` of the frame at `begin`, which must be decompressed again: its state can't be copied."""
    frame, read = zstandard.ZstdDecompressor().decompressobj(), stream.tell()
    stream.seek(begin)
    while begin < at:
        good = stream.read(min(_ZSTD_PIECE, at - begin))
        frame.decompress(good)
        begin += len(good)
    recovered = bytearray()
    with suppress(zstandard.ZstdError):
        for byte in range(len(piece)):
            recovered += frame.decompress(piece[byte : byte + 1])
    stream.seek(read)
    return bytes(recovered)


def _zstd_break(error: zstandard.ZstdError) -> str:
    if "too much memory" in str(error):
        return "it is packed for more than 128 MiB of memory; pack it anew without --long or --ultra"
    return "what follows is not zstd or is damaged"


_READERS: dict[Packing, Callable[[BinaryIO], Iterator[bytes]]] = {
    Packing.PLAIN: _read_plain,
    Packing.GZIP: _read_gzip,
    Packing.ZSTD: _read_zstd,
}
