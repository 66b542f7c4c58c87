"""Which rows of an input a process sends, where several share a run."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import NamedTuple, Protocol

__all__ = ["OrdinalFilter", "Shard", "UnansweredRows"]


class OrdinalFilter(Protocol):
    """Which rows of an input are made; the others are passed over."""

    def has(self, number: int, /) -> bool:
        """Whether the input row with this ordinal is made."""


class Shard(NamedTuple):
    """The shard `number`, from 0, of `of`: every `of`-th row of the input.

    With `by_request` a good row's shard is that of the hash of its request, so that rows with equal requests are in one
    shard and can share an answer.
    """

    number: int
    of: int
    by_request: bool = False

    def has(self, number: int) -> bool:
        """Whether the row is of this shard: `number` is its ordinal in the input, or the hash of its request."""
        return number % self.of == self.number


class UnansweredRows:
    """The input rows of which not all rows, `rows_each`, are among those `answered`, given by their ordinals.

    `passed_over` rows are those of the other input rows.
    """

    def __init__(self, answered: Iterable[int], rows_each: int) -> None:
        counts = array("L")
        for ordinal in answered:
            number = ordinal // rows_each
            if number >= len(counts):
                counts.extend(bytes(number + 1024 - len(counts)))
            counts[number] += 1
        self._is_whole = bytearray(count == rows_each for count in counts)
        self.passed_over = sum(self._is_whole) * rows_each

    def has(self, number: int) -> bool:
        """Whether the input row with the ordinal `number` has a row without an answer."""
        return number >= len(self._is_whole) or not self._is_whole[number]
