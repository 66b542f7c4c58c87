"""A set of 64-bit hashes that numbers its members, without a Python object for each.

Open addressing over machine integers: a million members take 16 MB and 0.7 µs each (a `dict` takes 106 MB more). Two
different texts share a hash with a probability of 3e-8 among a million.
"""

from __future__ import annotations

import mmap
from collections.abc import Hashable
from hashlib import blake2b
from struct import calcsize
from typing import Any

__all__ = ["HashTable", "PrefixHash", "grown", "process_hash", "stable_hash64", "zeros"]

_MIN_SLOTS = 1024
_EMPTY = 0
_ALL_BITS = (1 << 64) - 1
_PRIVATE = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}


def stable_hash64(data: bytes) -> int:
    """64 bits of BLAKE2b over `data`: the same in every process, so that files may hold it."""
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little")


class PrefixHash:
    """`stable_hash64` of texts that all begin with `prefix`, which is hashed once."""

    def __init__(self, prefix: bytes) -> None:
        self._prefix = blake2b(prefix, digest_size=8)

    def of(self, text: bytes, end: bytes) -> int:
        """The hash of the prefix, `text` and `end`, one after the other, without a copy of all three."""
        digest = self._prefix.copy()
        digest.update(text)
        digest.update(end)
        return int.from_bytes(digest.digest(), "little")


def process_hash(value: Hashable) -> int:
    """64 bits of Python's own hash: a tenth of the time, but another in the next process, so it is never written."""
    return hash(value) & _ALL_BITS


def zeros(typecode: str, count: int) -> memoryview[int]:
    """`count` integers of `typecode`, all zero.

    Their memory is their own: what was never written takes none, and it goes back to the system whole. Arrays that are
    appended to in turn leave holes between each other, a quarter of what they hold.
    """
    return _view(mmap.mmap(-1, max(count, 1) * calcsize(typecode), **_PRIVATE), typecode, count)


def grown(column: memoryview[int], count: int) -> memoryview[int]:
    """The integers of `column`, which `zeros` or this made, and zeros behind them: `count` in all.

    `column` itself can't be used any more. Its pages move and are not copied, where the system can do that and nobody
    else looks at them: at no time is there more memory than before, and what was never written still takes none.
    """
    memory: Any = column.obj
    typecode, length = column.format, len(column)
    column.release()
    try:
        memory.resize(max(count, 1) * calcsize(typecode))
    except (BufferError, SystemError):  # it is looked at; the system can't move it
        longer = zeros(typecode, count)
        longer[:length] = _view(memory, typecode, length)
        return longer
    return _view(memory, typecode, count)


def _view(memory: mmap.mmap, typecode: str, count: int) -> memoryview[int]:
    column: memoryview[int] = memoryview(memory).cast(typecode)[:count]  # type: ignore[call-overload]
    return column


class HashTable:
    """Maps hashes to the numbers 0, 1, 2… in the order in which they are added."""

    def __init__(self) -> None:
        # A slot holds a member's number + 1, in 4 bytes. The table is at most half full.
        self._slots = zeros("I", _MIN_SLOTS)
        self._hashes = zeros("Q", _MIN_SLOTS // 2)
        self._count = 0
        self._mask = _MIN_SLOTS - 1

    def __len__(self) -> int:
        return self._count

    @property
    def capacity(self) -> int:
        """How many members there can be before it grows."""
        return len(self._hashes)

    def find(self, key: int) -> int | None:
        """The number of `key`, or None where it was never added."""
        slots, mask, hashes = self._slots, self._mask, self._hashes
        at = key & mask
        while (number := slots[at]) != _EMPTY:
            if hashes[number - 1] == key:
                return number - 1
            at = (at + 1) & mask
        return None

    def add(self, key: int) -> tuple[int, bool]:
        """The number of `key`, and whether it is new."""
        slots, mask, hashes = self._slots, self._mask, self._hashes
        at = key & mask
        while (number := slots[at]) != _EMPTY:
            if hashes[number - 1] == key:
                return number - 1, False
            at = (at + 1) & mask
        number = self._count
        hashes[number] = key
        self._count = slots[at] = number + 1
        if 2 * self._count > mask:
            self._grow()
        return number, True

    def _grow(self) -> None:
        size = 2 * len(self._slots)
        slots, mask = zeros("I", size), size - 1
        self._hashes = grown(self._hashes, size // 2)
        for number, key in enumerate(self._hashes[: self._count], 1):
            at = key & mask
            while slots[at] != _EMPTY:
                at = (at + 1) & mask
            slots[at] = number
        self._slots, self._mask = slots, mask

    @property
    def arrays(self) -> list[memoryview[int]]:
        """All that the table is made of, to be written and given to `of_arrays`."""
        return [self._hashes[: self._count], self._slots]

    @classmethod
    def of_arrays(cls, hashes: memoryview[int], slots: memoryview[int]) -> HashTable:
        """The inverse of `arrays`, which are the table's from then on. Raises `ValueError` where they are of none."""
        size = len(slots)
        if size & (size - 1) or 2 * len(hashes) >= size:
            raise ValueError("these arrays are no table's")
        table = cls()
        table._count, table._mask = len(hashes), size - 1
        table._hashes, table._slots = grown(hashes, size // 2), slots
        return table
