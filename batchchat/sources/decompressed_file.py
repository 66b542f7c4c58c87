"""The decompressed content of a file: the only module that knows gzip and zstd. The readers of formats use it.

Memory holds a block; one kilobyte of zstd may be 32 MiB. A compressed file that is truncated or damaged yields
everything before that point, and then raises one `BrokenOffError`. No exception of a library leaves this module.
"""

from __future__ import annotations

import zlib
from contextlib import contextmanager, suppress
from io import BytesIO
from typing import TYPE_CHECKING

import zstandard

from batchchat.sources.file_types import Packing
from batchchat.sources.files import ByteStream, InputFile, open_file, read_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "BLOCK_BYTES",
    "MAX_ROW_BYTES",
    "TOO_LONG",
    "BrokenOffError",
    "DecompressedFile",
    "OverlongLine",
    "open_decompressed",
    "read_lines",
]

MAX_ROW_BYTES = 64 << 20
"""The longest row, in every format: memory is bounded by it, however small the file is that holds such a row."""

BLOCK_BYTES = 1 << 18
"""How much of a file is read at once."""

_LINES_A_STEP = 8
_MAX_COMPRESSED_BLOCK_BYTES = 1 << 16
# zstd returns all that a piece decompresses to at once: 128 KiB for 4 bytes of a run.
_ZSTD_PIECE_BYTES = 1 << 10
_ZSTD_MAX_WINDOW_BYTES = 1 << 27  # what libzstd decompresses by default, without a higher memory limit
_ZSTD_MAX_HEADER_BYTES = 18  # RFC 8878, 3.1.1: magic number and frame header
_GZIP = 31  # zlib's window bits for a gzip header and trailer
_BOM = b"\xef\xbb\xbf"


class BrokenOffError(Exception):
    """A compressed file is truncated or damaged. `str()` says how."""


class OverlongLine(bytes):
    """In place of a line of more than `MAX_ROW_BYTES`, which was read and not kept."""


TOO_LONG = f"is longer than {MAX_ROW_BYTES >> 20} MiB, the most that a row may have"


class DecompressedFile:
    """The content of one open file in blocks, to be iterated once.

    `bytes_in` counts the bytes read of the file so far, `bytes_out` those of its content.
    """

    def __init__(self, stream: ByteStream, packing: Packing, block_bytes: int) -> None:
        self.bytes_in = self.bytes_out = 0
        self._stream = stream
        self._blocks = _READERS[packing](stream, block_bytes)

    def __iter__(self) -> Iterator[bytes]:
        try:
            for block in self._blocks:
                if block:
                    self.bytes_in = self._stream.tell()
                    self.bytes_out += len(block)
                    yield block
        except BrokenOffError:
            self.bytes_in = self._stream.tell()
            raise
        self.bytes_in = self._stream.tell()


@contextmanager
def open_decompressed(file: InputFile, *, block_bytes: int = BLOCK_BYTES) -> Iterator[DecompressedFile]:
    """Open `file` and decompress it. Raises `InputError` if the system can't read it."""
    try:
        with open_file(file) as stream:
            yield DecompressedFile(stream, file.packing, block_bytes)
    except OSError as error:
        raise read_error(file.as_given, error) from error


def read_lines(
    content: DecompressedFile, on_progress: Callable[[int], None], *, max_line_bytes: int = MAX_ROW_BYTES
) -> Iterator[bytes]:
    """The lines of `content` without their line feeds and without a byte order mark.

    `on_progress` is called with the bytes of the file read so far. Text after the last line feed is a line too. For a
    line over `max_line_bytes` an `OverlongLine` is given. Raises `BrokenOffError` after the last whole line.
    """
    at = used = 0
    begun = _Begun(max_line_bytes)
    try:
        for block in content:
            head, *ended = _split_at_line_feeds(block)
            begun.add(head)
            if not ended:
                continue
            tail = ended.pop()
            first, size = begun.take()
            begun.add(tail)
            if not used:
                first, used = first.removeprefix(_BOM), 3 if first.startswith(_BOM) else 0
                size -= used
            used += size + 1
            on_progress(at := max(at, content.bytes_in * used // content.bytes_out))
            yield first
            # By a few lines, not by blocks: the number of rows is estimated while the first block is read, too.
            for start in range(0, len(ended), _LINES_A_STEP):
                lines = ended[start : start + _LINES_A_STEP]
                used += sum(map(len, lines)) + len(lines)
                on_progress(at := max(at, content.bytes_in * used // content.bytes_out))
                yield from lines
    except BrokenOffError:
        on_progress(content.bytes_in)
        raise
    on_progress(content.bytes_in)
    last_line, _ = begun.take()
    if not used:
        last_line = last_line.removeprefix(_BOM)
    if last_line or isinstance(last_line, OverlongLine):
        yield last_line


def _split_at_line_feeds(block: bytes) -> list[bytes]:
    r"""As `block.split(b"\n")`, which looks at each byte by itself: in a tenth of its time where lines are long."""
    lines = [line.removesuffix(b"\n") for line in BytesIO(block)]
    return lines if block and not block.endswith(b"\n") else [*lines, b""]


class _Begun:
    """The parts of a line whose end was not read yet, as long as they may be kept."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, part: bytes) -> None:
        self._size += len(part)
        if self._size <= self._max_bytes:
            self._parts.append(part)
        else:
            self._parts.clear()

    def take(self) -> tuple[bytes, int]:
        """The line and its length in bytes; the next one begins."""
        line = b"".join(self._parts) if self._size <= self._max_bytes else OverlongLine()
        size, self._size, self._parts = self._size, 0, []
        return line, size


def _read_plain(stream: ByteStream, block_bytes: int) -> Iterator[bytes]:
    while block := stream.read(block_bytes):
        yield block


def _read_gzip(stream: ByteStream, block_bytes: int) -> Iterator[bytes]:
    """The content of a gzip file of one or more members."""
    member = zlib.decompressobj(_GZIP)
    begun = False
    while data := stream.read(min(block_bytes, _MAX_COMPRESSED_BLOCK_BYTES)):
        while data:
            if not begun:
                # Zeros may pad a gzip file's end.
                data = data.lstrip(b"\0")
                if not data:
                    break
                member, begun = zlib.decompressobj(_GZIP), True
            before = member.copy()
            try:
                block = member.decompress(data, block_bytes)
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


def _read_zstd(stream: ByteStream, block_bytes: int) -> Iterator[bytes]:
    """The content of a zstd file of one or more frames."""
    frames = zstandard.ZstdDecompressor()
    frame = frames.decompressobj()
    begun, frame_start, at = False, 0, 0  # where in the file the frame and the piece begin
    while data := stream.read(min(block_bytes, _MAX_COMPRESSED_BLOCK_BYTES)):
        while data:
            if not begun:
                frame, begun, frame_start = frames.decompressobj(), True, at
            piece = data[:_ZSTD_PIECE_BYTES]
            try:
                block = frame.decompress(piece)
            except zstandard.ZstdError as error:
                yield _until_zstd_break(stream, frame_start, at, piece)
                raise BrokenOffError(_zstd_break(stream, frame_start)) from error
            # What is read at once is bounded: a block of short lines takes twenty times its size.
            for start in range(0, len(block), block_bytes):
                yield block[start : start + block_bytes]
            used = len(piece) - len(frame.unused_data)
            at, data = at + used, data[used:]
            begun = not frame.eof
    if begun:
        raise BrokenOffError("the zstd stream ends too early")


def _until_zstd_break(stream: ByteStream, frame_start: int, at: int, piece: bytes) -> bytes:
    """What can still be recovered of the `piece` at `at`, byte by byte.

    The state of a zstd frame can't be copied, so that the frame is decompressed again from `frame_start`.
    """
    frame, position = zstandard.ZstdDecompressor().decompressobj(), stream.tell()
    stream.seek(frame_start)
    while frame_start < at:
        intact = stream.read(min(_ZSTD_PIECE_BYTES, at - frame_start))
        frame.decompress(intact)
        frame_start += len(intact)
    recovered = bytearray()
    with suppress(zstandard.ZstdError):
        for byte in range(len(piece)):
            recovered += frame.decompress(piece[byte : byte + 1])
    stream.seek(position)
    return bytes(recovered)


def _zstd_break(stream: ByteStream, frame_start: int) -> str:
    """Why the frame at `frame_start` can't be decompressed, by the window it declares: the error has no code."""
    position = stream.tell()
    stream.seek(frame_start)
    header = stream.read(_ZSTD_MAX_HEADER_BYTES)
    stream.seek(position)
    with suppress(zstandard.ZstdError):
        if zstandard.get_frame_parameters(header).window_size > _ZSTD_MAX_WINDOW_BYTES:
            return "it needs more than 128 MiB of memory to decompress; compress it again without --long or --ultra"
    return "what follows is not zstd or is damaged"


_READERS: dict[Packing, Callable[[ByteStream, int], Iterator[bytes]]] = {
    Packing.PLAIN: _read_plain,
    Packing.GZIP: _read_gzip,
    Packing.ZSTD: _read_zstd,
}
