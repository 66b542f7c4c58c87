"""The rows whose hash is lowest, and what is known of each: a random sample that stays the same, of bounded size.

The choice depends on the seed and the rows' ids alone, so that more rows asked for keep those chosen before.
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
    """At most `rows` of those that are added."""

    def __init__(self, rows: int, seed: int) -> None:
        self._rows = rows
        self._seed = seed
        self._number = count()
        self._heap: list[tuple[int, int, T]] = []  # the highest hash first

    def add(self, key: Key, what: T) -> None:
        """One more row to choose from."""
        item = (-row_hash(self._seed, key), next(self._number), what)
        if len(self._heap) < self._rows:
            heapq.heappush(self._heap, item)
        elif item > self._heap[0]:
            heapq.heapreplace(self._heap, item)

    def has(self, key: Key) -> bool:
        """Whether a row is chosen, once all were added."""
        return bool(self._heap) and row_hash(self._seed, key) <= -self._heap[0][0]

    @property
    def held(self) -> list[T]:
        """What is known of the chosen, the lowest first."""
        return [what for _, _, what in sorted(self._heap, key=lambda item: (-item[0], item[1]))]
