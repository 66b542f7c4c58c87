"""An object of a store as a file: read from its start to its end, or at any place, as Parquet is.

A `RemoteStream` reads ahead in a thread, so that rows are made while the next bytes are on their way. Memory holds the
chunk that is read and two more, of 8 MiB each; the first ones are small, since many looks at a file end after its first
rows.
"""

from __future__ import annotations

import os
from io import RawIOBase
from typing import TYPE_CHECKING, Self

from batchchat.errors import InputError
from batchchat.object_store.threads import interruptible
from batchchat.sources.read_ahead import ReadAhead
from batchchat.sources.remote_object import refusing

if TYPE_CHECKING:
    from collections.abc import Generator

    from batchchat.sources.remote_object import RemoteObject

__all__ = ["RemoteStream", "SeekableObject"]

_FIRST_CHUNK_BYTES = 256 << 10
_CHUNK_BYTES = 8 << 20
_GROWTH = 4
_ENOUGH_BYTES = 512 << 10
"""With more than this at hand the next row is there: two blocks of a reader."""


class RemoteStream:
    """The bytes of `remote` in order. `read` gives what is there, at most as much as is asked for, and b"" at the end.

    Raises `InputError` where the object can't be read or was replaced.
    """

    def __init__(self, remote: RemoteObject) -> None:
        self._remote = remote
        remote.stream = self
        self._at = 0
        self._chunk = memoryview(remote.head)
        self._chunk_start = 0
        self._ahead: ReadAhead[memoryview] | None = None
        self.is_begun = False

    def __enter__(self) -> Self:
        self.is_begun = True
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        if self._remote.stream is self:
            self._remote.stream = None

    @classmethod
    def of(cls, remote: RemoteObject) -> Self:
        """The stream that was made for `remote` and nobody has begun with, or else a new one."""
        stream = remote.stream
        return stream if isinstance(stream, cls) and not stream.is_begun else cls(remote)

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most `size`."""
        if self._at >= self._remote.size:
            return b""
        if self._at >= self._chunk_start + len(self._chunk):
            if self._ahead is None:
                self._ahead = ReadAhead(self._chunks(self._at))
            self._chunk, self._chunk_start = memoryview(b""), self._at  # the one before can go
            self._chunk = next(self._ahead)
        start = self._at - self._chunk_start
        block = self._chunk[start : start + size].tobytes()
        self._at += len(block)
        return block

    def seek(self, offset: int, /) -> int:
        """Go on at `offset`."""
        if not self._chunk_start <= offset <= self._chunk_start + len(self._chunk):
            self._stop()
            is_in_head = offset < len(self._remote.head)
            self._chunk = memoryview(self._remote.head if is_in_head else b"")
            self._chunk_start = 0 if is_in_head else offset
        self._at = offset
        return offset

    def tell(self) -> int:
        """How many bytes were read."""
        return self._at

    @property
    def is_waiting(self) -> bool:
        """Whether a read would have to wait for the store; what it would wait for is asked for."""
        if self.is_at_end or self._chunk_end - self._at > _ENOUGH_BYTES:
            return False
        if self._ahead is None:
            self._ahead = ReadAhead(self._chunks(self._chunk_end))
        return not self._ahead.has_next()

    @property
    def is_at_end(self) -> bool:
        """Whether all that is not read yet is at hand, and it is not much."""
        return self._chunk_end >= self._remote.size and self._remote.size - self._at <= _ENOUGH_BYTES

    @property
    def _chunk_end(self) -> int:
        return self._chunk_start + len(self._chunk)

    def _stop(self) -> None:
        if self._ahead is not None:
            self._ahead.stop()
            self._ahead = None

    def _chunks(self, start: int) -> Generator[memoryview, None, None]:
        """What is read ahead, from `start` to the end."""
        with refusing():
            if self._remote.has_ranges:
                at, size = start, _FIRST_CHUNK_BYTES
                while at < self._remote.size:
                    chunk = self._remote.read(at, min(size, self._remote.size - at))
                    at, size = at + len(chunk), min(size * _GROWTH, _CHUNK_BYTES)
                    yield memoryview(chunk)
                return
            passed = 0
            for view in self._remote.read_all():
                skipped = min(max(start - passed, 0), len(view))
                passed += len(view)
                if skipped < len(view):
                    yield view[skipped:]


class SeekableObject(RawIOBase):
    """The object `remote` as a file that is read anywhere, by requests of what is read; a small one by one request.

    Raises `InputError` where the object can't be read or was replaced.
    """

    def __init__(self, remote: RemoteObject) -> None:
        if not remote.has_ranges:
            raise InputError(
                f"{remote.url.shown}: its server sends no parts of a file, which Parquet needs. Download it, and name"
                " the file."
            )
        self._remote = remote
        self._at = 0
        self._whole: bytes | None = None

    def read(self, size: int = -1, /) -> bytes:
        """The next `size` bytes, or as many as there are; all for a negative `size`."""
        left = max(self._remote.size - self._at, 0)
        size = left if size < 0 else min(size, left)
        if not size:
            return b""
        if self._remote.size <= _CHUNK_BYTES:
            if self._whole is None:
                self._whole = self._fetch(0, self._remote.size)
            data = self._whole[self._at : self._at + size]
        else:
            data = self._fetch(self._at, size)
        self._at += size
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go on at `offset`, counted from the start, from here or from the end."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._remote.size}[whence]
        return self._at

    def tell(self) -> int:
        """Where the next byte is read."""
        return self._at

    def close(self) -> None:
        """Let go of what was read."""
        self._whole = None
        super().close()

    def readable(self) -> bool:
        """It is read."""
        return True

    def seekable(self) -> bool:
        """It is read anywhere."""
        return True

    def _fetch(self, start: int, length: int) -> bytes:
        def fetch() -> bytes:
            with refusing():
                return self._remote.read(start, length)

        return interruptible(fetch)
