"""A limit on the rows that a run sends, handed out to its workers in parts. Pure."""

from __future__ import annotations

__all__ = ["RowQuota"]

_PARTS = 8
"""A worker gets one of so many parts of its even share: who is faster then sends more."""


class RowQuota:
    """At most `limit` rows for `workers` workers."""

    def __init__(self, limit: int, workers: int) -> None:
        self.left = limit
        self._workers = workers

    def take(self) -> int:
        """How many more rows a worker may send; 0 where all are handed out."""
        part = min(self.left, -(-self.left // (self._workers * _PARTS)))
        self.left -= part
        return part

    def give_back(self, rows: int) -> None:
        """So many of those handed out were not sent."""
        self.left += rows
