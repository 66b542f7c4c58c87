"""One object of a store, as it was when the run began: each read asks for that very content, and no other.

A read goes through a thread of its own, so that a signal finds the program waiting and not inside of a library. What a
store can't give becomes one `InputError`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from batchchat.errors import InputError
from batchchat.object_store.failures import ObjectStoreError, StoreFailure, translated
from batchchat.object_store.url import ObjectUrl

if TYPE_CHECKING:
    from obstore import GetOptions

__all__ = ["HEAD_BYTES", "RemoteObject", "refusing", "validators"]

HEAD_BYTES = 4 << 10
"""How much of each object is read when it is found: it tells its kind, and whether it is as its name says."""

_PART_BYTES = 1 << 20
_MAX_BREAKS = 2
"""How often in succession a reply may break off without a new byte, beyond the retries of the store itself."""
_FIRST_WAIT_S = 0.2
_BY_NAME = frozenset({StoreFailure.MISSING, StoreFailure.DENIED, StoreFailure.NO_BUCKET, StoreFailure.NO_CREDENTIALS})
_KEPT = "Every finished row is kept: run the same command again."


class _Stream(Protocol):
    """What reads an object in order: whether the next row is still on its way, and whether all of them are there."""

    @property
    def is_waiting(self) -> bool: ...

    @property
    def is_at_end(self) -> bool: ...


@dataclass(slots=True, eq=False)
class RemoteObject:
    """An object at `key` in `store`: its size in bytes, and the ETag and time that tell its content from another.

    `head` has its first bytes, and is the whole of a small one. Without `has_ranges` its server sends all or nothing.
    """

    url: ObjectUrl
    store: Any = field(repr=False)
    key: str
    size: int
    etag: str | None
    modified: datetime | None
    has_ranges: bool = True
    head: bytes = field(default=b"", repr=False)
    stream: _Stream | None = field(default=None, init=False, repr=False)
    """What reads it in order, or will as soon as it is opened."""

    @property
    def identity(self) -> str | None:
        """What tells this content from any other, on every day; None where the server gives no ETag."""
        return None if self.etag is None else f"{self.etag} {self.size}"

    @property
    def is_certain(self) -> bool:
        """Whether a second reply with the same ETag has the same bytes."""
        return self.etag is not None and not self.etag.startswith("W/")

    def read(self, start: int, length: int) -> bytes:
        """The `length` bytes from `start`, which are there. A reply that breaks off is continued from where it broke.

        Raises `ObjectStoreError`, with CHANGED where the object is not the same any more.
        """
        if start + length <= len(self.head):
            return self.head[start : start + length]
        parts: list[Any] = []
        at, end, breaks = start, start + length, 0
        while at < end:
            before = at
            with suppress(_BrokenOffError):
                for part in self._reply(at, end):
                    parts.append(part)
                    at += len(part)
            breaks = self._after(breaks, is_over=at >= end, has_more=at > before)
        return b"".join(parts)

    def read_all(self) -> Iterator[memoryview]:
        """The object from its first byte in buffers, for a server without ranges.

        Where a reply breaks off all is asked for anew, and what was given before is passed over; only where the ETag
        says that it is the same. Raises `ObjectStoreError`.
        """
        at = breaks = 0
        while at < self.size:
            before, passed = at, 0
            try:
                for part in self._reply(0, self.size):
                    skipped = min(at - passed, len(part))
                    passed += len(part)
                    if skipped < len(part):
                        at = passed
                        yield memoryview(part)[skipped:]
            except _BrokenOffError:
                if not self.is_certain:
                    raise ObjectStoreError(self.url, StoreFailure.NO_RANGES, verb="read any further") from None
            breaks = self._after(breaks, is_over=at >= self.size, has_more=at > before)

    def _after(self, breaks: int, *, is_over: bool, has_more: bool) -> int:
        """How often in succession replies broke off without a new byte, after one more reply; it waits after each."""
        if is_over or has_more:
            return 0
        if breaks == _MAX_BREAKS:
            raise ObjectStoreError(self.url, StoreFailure.UNREACHABLE, "the connection breaks off again and again")
        time.sleep(_FIRST_WAIT_S * 2**breaks)
        return breaks + 1

    def _reply(self, start: int, end: int) -> Iterator[Any]:
        """The buffers of one reply with the bytes from `start` to `end`; the store's own retries come before it.

        Raises `ObjectStoreError`, and `_BrokenOffError` where the reply does.
        """
        import obstore

        options: GetOptions = {"range": (start, end)} if self.has_ranges else {}
        if self.is_certain:
            options["if_match"] = f'"{self.etag}"'
        with translated(self.url):
            reply = obstore.get(self.store, self.key, options=options)
            meta = reply.meta
        etag, modified = validators(meta)
        is_same = etag == self.etag if self.etag is not None else modified == self.modified
        if meta["size"] != self.size or not is_same:
            raise ObjectStoreError(self.url, StoreFailure.CHANGED)
        buffers = iter(reply.stream(min_chunk_size=_PART_BYTES))
        while True:
            try:
                with translated(self.url):
                    buffer = next(buffers, None)
            except ObjectStoreError as error:
                raise _BrokenOffError from error
            if buffer is None:
                return
            yield buffer


class _BrokenOffError(Exception):
    """A reply broke off before its end."""


def validators(meta: Any) -> tuple[str | None, datetime | None]:
    """The ETag without quotes and the time of the object that `meta` describes, each None where there is none."""
    etag, modified = meta["e_tag"], meta["last_modified"]
    weak = "W/" if etag and etag.startswith("W/") else ""
    stripped = etag.removeprefix("W/").strip('"') if etag else ""
    # obstore has the first second of 1970 for a time that the server doesn't give.
    return (weak + stripped if stripped else None), modified if modified.timestamp() else None


@contextmanager
def refusing(*, begun: bool = True) -> Iterator[None]:
    """What a store can't give becomes an `InputError`; once reading has `begun`, it says that a resume goes on."""
    try:
        yield
    except ObjectStoreError as error:
        raise InputError(f"{error} {_KEPT}" if begun and error.failure not in _BY_NAME else str(error)) from None
