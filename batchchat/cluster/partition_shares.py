"""How the input is split into partitions: which begins next, and how much of the input each may have. Pure."""

from __future__ import annotations

__all__ = ["PartitionShares"]


class PartitionShares:
    """An input of size `whole`, in rows or bytes, in `count` partitions for `workers` workers at a time.

    Nobody knows beforehand where a partition begins and ends: its worker takes rows as it needs them, until it had its
    part of the input. Where there are no more partitions than workers each takes what it can.
    """

    def __init__(self, count: int, workers: int, whole: int) -> None:
        self._count = count
        self._share = -(-whole // count) if count > workers else None
        self._sizes: list[int] = []
        """Of each partition that has begun what it had by now."""
        self._is_closed = False

    @property
    def has_next(self) -> bool:
        """Whether another partition may begin."""
        return len(self._sizes) < self._count and not self._is_closed

    def begin(self) -> int:
        """The number of the next partition, from 0."""
        self._sizes.append(0)
        return len(self._sizes) - 1

    def add(self, number: int, size: int) -> None:
        """The partition `number` had so much more of the input."""
        self._sizes[number] += size

    def has_room(self, number: int) -> bool:
        """Whether the partition `number` may have more: the last one has all that is left."""
        return self._share is None or number == self._count - 1 or self._sizes[number] < self._share

    def close(self) -> None:
        """Begin no more: what stopped a worker would stop that of a further partition as well."""
        self._is_closed = True
