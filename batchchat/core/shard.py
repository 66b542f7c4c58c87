"""Which rows of an input a process sends, where several share a run."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Shard"]


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
