"""Which rows of an unfinished run can be written to its output already, in the output's order; pure.

Each row that is finished is noted once, with its ordinal in the input and the journal offset of its record. A row is
settled when all that come before it in the output are there, and have been noted.
"""

from __future__ import annotations

from array import array
from typing import Protocol

__all__ = ["CompletionOrder", "InputOrder", "OutputOrder"]

_NOT_FINISHED = (1 << 64) - 1
_MAX_WINDOW = 8_000_000
_GAP = array("Q", [_NOT_FINISHED])


class OutputOrder(Protocol):
    """The settled rows, which are taken in their order. `settled` counts those that were not taken yet.

    `is_broken` where a row that was taken is not what the output will have in its place, or none is to be taken again.
    """

    is_broken: bool

    @property
    def settled(self) -> int: ...

    def note(self, ordinal: int, journal_offset: int) -> None: ...

    def take(self, most: int) -> array[int]: ...


class CompletionOrder:
    """The order of the journal: a row is settled once it is noted. `journal_offsets` are of the rows so far."""

    def __init__(self, journal_offsets: array[int]) -> None:
        self._offsets = journal_offsets
        self._last = max(journal_offsets[-1:], default=-1)
        self._taken = 0
        self.is_broken = False

    @property
    def settled(self) -> int:
        return len(self._offsets) - self._taken

    def note(self, ordinal: int, journal_offset: int) -> None:  # noqa: ARG002
        """The row at `ordinal` is finished, by the record at `journal_offset`."""
        self.is_broken |= journal_offset < self._last
        self._last = journal_offset
        self._offsets.append(journal_offset)

    def take(self, most: int) -> array[int]:
        """The journal offsets of the next settled rows, at most `most`; they are not given again."""
        start = self._taken
        self._taken = min(start + most, len(self._offsets))
        taken = self._offsets[start : self._taken]
        if self._taken * 2 > len(self._offsets):
            del self._offsets[: self._taken]
            self._taken = 0
        return taken


class InputOrder:
    """The order of the input: a row is settled once those of all lower ordinals are noted.

    Takes 8 bytes for each ordinal between the next one to be taken and the highest that was noted. Where these are more
    than 8 million apart, no row is settled any more.
    """

    def __init__(self) -> None:
        self._window = array("Q")
        """By ordinal, beginning with `_start`, the journal offsets; `_NOT_FINISHED` of a row that was not noted."""
        self._start = 0
        self._settled_to = 0
        self._taken_to = 0
        self.is_broken = False

    @property
    def settled(self) -> int:
        return self._settled_to - self._taken_to

    def note(self, ordinal: int, journal_offset: int) -> None:
        """The row at `ordinal` is finished, by the record at `journal_offset`, which replaces an earlier one."""
        window, at = self._window, ordinal - self._start
        if ordinal < self._taken_to or at >= _MAX_WINDOW:
            self.is_broken = True
            return
        if at >= len(window):
            window.extend(_GAP * (at - len(window)))
            window.append(journal_offset)
        else:
            window[at] = journal_offset
        if ordinal == self._settled_to:
            at += 1
            while at < len(window) and window[at] != _NOT_FINISHED:
                at += 1
            self._settled_to = self._start + at

    def take(self, most: int) -> array[int]:
        """The journal offsets of the next settled rows, at most `most`; they are not given again."""
        start = self._taken_to - self._start
        taken = self._window[start : min(start + most, self._settled_to - self._start)]
        self._taken_to += len(taken)
        if (self._taken_to - self._start) * 2 > len(self._window):
            del self._window[: self._taken_to - self._start]
            self._start = self._taken_to
        return taken
