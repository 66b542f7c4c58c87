"""What the workers of a run have read of its input, put together. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from batchchat.cluster.assignment import WorkerEnd

__all__ = ["InputRead"]


class InputRead:
    """The input as it was read for `shards` shards, each of which reads it for itself."""

    def __init__(self, shards: int) -> None:
        self._shards = shards
        self._ends: dict[int, WorkerEnd] = {}

    def add(self, number: int, end: WorkerEnd) -> None:
        """The worker of shard `number` has ended; a later one of the same shard has read more."""
        self._ends[number] = end

    @property
    def is_exhausted(self) -> bool:
        """Whether all of it was read."""
        return len(self._ends) == self._shards and all(end.is_exhausted for end in self._ends.values())

    @property
    def good_rows(self) -> int:
        """How many of the rows were good ones."""
        return sum(end.good_rows for end in self._ends.values())

    @property
    def first_bad(self) -> str | None:
        """The location and the error of a bad row: the first of the first shard that has any."""
        return next((end.first_bad for _, end in sorted(self._ends.items()) if end.first_bad is not None), None)

    @property
    def left_out(self) -> int:
        """The rows that `input.where` leaves out."""
        return max((end.left_out for end in self._ends.values()), default=0)

    @property
    def notes(self) -> Sequence[str]:
        """What is to be said of it, by the worker that has read most."""
        by_rows = max(self._ends.values(), key=lambda end: (end.is_exhausted, end.rows_read), default=None)
        return () if by_rows is None else by_rows.notes
