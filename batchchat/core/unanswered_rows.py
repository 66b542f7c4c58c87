"""Which rows of an input a run has to look at, where an earlier one has answered the others."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

__all__ = ["UnansweredRows"]

_MADE_EACH = 64


class UnansweredRows:
    """The input rows of which not all rows, `rows_each`, are among those `answered`, given by their ordinals.

    Each is asked for once, in the order of the input, and `passed_over` rows are those of the others so far. One in 64
    of these is made nevertheless: who reads the rows is never without one for long.
    """

    def __init__(self, answered: Iterable[int], rows_each: int) -> None:
        counts = array("L")
        for ordinal in answered:
            number = ordinal // rows_each
            if number >= len(counts):
                counts.extend(bytes(number + 1024 - len(counts)))
            counts[number] += 1
        self._rows_each = rows_each
        self._is_whole = bytearray(
            count == rows_each and number % _MADE_EACH != 0 for number, count in enumerate(counts, 1)
        )
        self.passed_over = 0

    def has(self, number: int) -> bool:
        """Whether the input row with the ordinal `number` is made: always where a row of it has no answer."""
        if number >= len(self._is_whole) or not self._is_whole[number]:
            return True
        self.passed_over += self._rows_each
        return False
