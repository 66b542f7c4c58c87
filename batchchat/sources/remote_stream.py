"""An object of a store as a file: read from its start to its end, or at any place, as Parquet is.

A `RemoteStream` reads ahead in a thread, so that rows are made while the next bytes are on their way. Memory holds the
chunk that is read and two more, of 8 MiB each; the first ones are small, since many looks at a file end after its first
rows.
"""

from __future__ import annotations

import os
from io import RawIOBase
from threading import Condition
from typing import TYPE_CHECKING, Self

from batchchat.errors import InputError
from batchchat.sources.remote_object import in_background, interruptible, refusing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batchchat.sources.remote_object import RemoteObject

__all__ = ["RemoteStream", "SeekableObject"]

_FIRST_CHUNK_BYTES = 256 << 10
_CHUNK_BYTES = 8 << 20
_GROWTH = 4
_CHUNKS_AHEAD = 2
_ENOUGH_BYTES = 512 << 10
"""With more than this at hand the next row is there: two blocks of a reader."""
_CHUNKS_BEFORE_AHEAD = 2
"""How many chunks are read before any is read ahead: a look at the first rows needs no more."""


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
        self._ahead: _ReadAhead | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most `size`."""
        if self._at >= self._remote.size:
            return b""
        if self._at >= self._chunk_start + len(self._chunk):
            if self._ahead is None:
                self._ahead = _ReadAhead(self._remote, self._at)
            self._chunk, self._chunk_start = memoryview(b""), self._at  # the one before can go
            self._chunk = self._ahead.take()
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
        end = self._chunk_start + len(self._chunk)
        if end - self._at > _ENOUGH_BYTES or end >= self._remote.size or not self._remote.has_ranges:
            return False
        if self._ahead is None:
            self._ahead = _ReadAhead(self._remote, end)
        return not self._ahead.has_next()

    def _stop(self) -> None:
        if self._ahead is not None:
            self._ahead.stop()
            self._ahead = None


class _ReadAhead:
    """The chunks of `remote` from `start`, read in a thread that is never more than a few ahead of who takes them."""

    def __init__(self, remote: RemoteObject, start: int) -> None:
        self._remote = remote
        self._start = start
        self._chunks: list[memoryview] = []
        self._wanted = 0
        self._is_ahead = False
        self._read = 0
        self._error: BaseException | None = None
        self._is_stopped = False
        self._changed = Condition()
        in_background(self._run)

    def take(self) -> memoryview:
        """The next chunk, which there is; it blocks until it was read. Raises `InputError`."""
        with self._changed:
            self._wanted += 1
            self._is_ahead = self._is_ahead or self._wanted > _CHUNKS_BEFORE_AHEAD
            self._changed.notify_all()
            while not self._chunks and self._error is None:
                self._changed.wait()
            if not self._chunks:
                assert self._error is not None
                raise self._error
            return self._chunks.pop(0)

    def has_next(self) -> bool:
        """Whether `take` returns or raises at once; from now on it is read ahead."""
        with self._changed:
            if not self._is_ahead:
                self._is_ahead = True
                self._changed.notify_all()
            return bool(self._chunks) or self._error is not None

    def stop(self) -> None:
        """Nobody takes any more."""
        with self._changed:
            self._is_stopped = True
            self._chunks.clear()
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            with refusing():
                for chunk in self._all_chunks():
                    with self._changed:
                        self._chunks.append(chunk)
                        self._read += 1
                        self._changed.notify_all()
                        while not self._is_stopped and self._read >= self._limit():
                            self._changed.wait()
                        if self._is_stopped:
                            return
        except BaseException as error:  # noqa: BLE001 (it is raised where the chunk is taken)
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _limit(self) -> int:
        """How many chunks may have been read by now."""
        return self._wanted + (_CHUNKS_AHEAD if self._is_ahead else 0)

    def _all_chunks(self) -> Iterator[memoryview]:
        at, size = self._start, _FIRST_CHUNK_BYTES
        if not self._remote.has_ranges:
            passed = 0
            for view in self._remote.read_all():
                skipped = min(max(at - passed, 0), len(view))
                passed += len(view)
                if skipped < len(view):
                    yield view[skipped:]
            return
        while at < self._remote.size:
            chunk = self._remote.read(at, min(size, self._remote.size - at))
            at, size = at + len(chunk), min(size * _GROWTH, _CHUNK_BYTES)
            yield memoryview(chunk)


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
