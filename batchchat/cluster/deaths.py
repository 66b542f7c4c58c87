"""How often the workers of one partition died, and when that is too often. Pure."""

from __future__ import annotations

__all__ = ["Deaths"]

_MAX_WITHOUT_A_ROW = 3
_MAX = 10
"""A row that kills whoever sends it is paid each time, though others are answered in between."""


class Deaths:
    """Counts those of one partition; `without_a_row` are those in succession whose workers had finished no row."""

    def __init__(self) -> None:
        self.without_a_row = 0
        self._all = 0

    def count(self, rows: int) -> None:
        """A worker died that had finished so many `rows`."""
        self.without_a_row = 0 if rows else self.without_a_row + 1
        self._all += 1

    @property
    def are_too_many(self) -> bool:
        """Whether no further worker is to be started."""
        return self.without_a_row >= _MAX_WITHOUT_A_ROW or self._all >= _MAX

    @property
    def words(self) -> str:
        """How often, for the error of a run that gives up."""
        if self.without_a_row >= _MAX_WITHOUT_A_ROW:
            return f"{self.without_a_row} times without finishing a row"
        return f"{self._all} times"
