"""How many rows an input has, as far as that is known while it is read."""

from __future__ import annotations

from batchchat.sources import Source

__all__ = ["InputTotal"]


class InputTotal:
    """The rows of `source`, of which each becomes `rows_each`; `counted` is their number once it is known.

    `at_least` so many there are, where a count was given up.
    """

    def __init__(self, source: Source, *, counted: int | None = None, rows_each: int = 1) -> None:
        self.counted = counted
        self.at_least = 0
        self._source = source
        self._rows_each = rows_each

    @property
    def bytes_read(self) -> int:
        """How many bytes of the input were read by now."""
        return self._source.bytes_read

    @property
    def bytes_total(self) -> int:
        """How many bytes the input has."""
        return self._source.bytes_total

    @property
    def is_waiting(self) -> bool:
        """Whether the next row is still on its way from a store."""
        return self._source.is_waiting

    @property
    def is_counted(self) -> bool:
        """Whether the number of all rows of the input is known."""
        return self.counted is not None or self._source.rows_total is not None

    def rows(self, rows_read: int) -> tuple[int | None, bool]:
        """Their number after `rows_read` of them, and whether that is an estimate, as from the bytes read so far."""
        if self.counted is not None:
            return self.counted, False
        if self._source.rows_total is not None:
            return self._source.rows_total * self._rows_each, False
        estimate = self._source.estimated_rows(-(-rows_read // self._rows_each))
        return None if estimate is None else max(rows_read, self.at_least, estimate * self._rows_each), True
