"""A random sample of bounded size: the rows whose hash is lowest, with an item for each.

The sample depends only on the seed and the ids of the rows, so a larger one contains the smaller one.
"""

from __future__ import annotations

import heapq
from itertools import count
from typing import Generic, TypeVar

from batchchat.core.conversation import Key
from batchchat.sources.sampling import row_hash

__all__ = ["StableSample"]

T = TypeVar("T")


class StableSample(Generic[T]):
    """A sample of at most `rows` of the rows that are added, chosen by `seed`."""

    def __init__(self, rows: int, seed: int) -> None:
        self._rows = rows
        self._seed = seed
        self._number = count()
        self._heap: list[tuple[int, int, T]] = []  # a heap by the negated hash: the highest hash first

    def add(self, key: Key, item: T) -> None:
        """Add the row of `key` to the rows that are sampled, with its `item`."""
        entry = (-row_hash(self._seed, key), next(self._number), item)
        if len(self._heap) < self._rows:
            heapq.heappush(self._heap, entry)
        elif entry > self._heap[0]:
            heapq.heapreplace(self._heap, entry)

    def has(self, key: Key) -> bool:
        """True if the row of `key` is in the sample; valid once all rows were added."""
        return bool(self._heap) and row_hash(self._seed, key) <= -self._heap[0][0]

    @property
    def items(self) -> list[T]:
        """The items of the rows in the sample, by ascending hash."""
        return [item for _, _, item in sorted(self._heap, key=lambda entry: (-entry[0], entry[1]))]
