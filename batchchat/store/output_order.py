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
_BLOCK = 8192
_NONE_FINISHED = array("Q", [_NOT_FINISHED]) * _BLOCK


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

    Takes 8 bytes for each ordinal between the next one to be taken and the highest that was noted. Where these are 8
    million apart, no row is settled any more.
    """

    def __init__(self) -> None:
        self._blocks: dict[int, array[int]] = {}
        """Journal offsets by ordinal, `_BLOCK` in each; `_NOT_FINISHED` of a row that was not noted.

        One array of all would be moved when it grows, and leave holes of megabytes.
        """
        self._settled_to = 0
        self._taken_to = 0
        self.is_broken = False

    @property
    def settled(self) -> int:
        return self._settled_to - self._taken_to

    def note(self, ordinal: int, journal_offset: int) -> None:
        """The row at `ordinal` is finished, by the record at `journal_offset`, which replaces an earlier one."""
        if not 0 <= ordinal - self._taken_to < _MAX_WINDOW:
            self.is_broken = True
            return
        number, at = divmod(ordinal, _BLOCK)
        if (block := self._blocks.get(number)) is None:
            block = self._blocks[number] = _NONE_FINISHED[:]
        block[at] = journal_offset
        if ordinal == self._settled_to:
            self._settle()

    def _settle(self) -> None:
        """Find the next row that was not noted."""
        number, at = divmod(self._settled_to, _BLOCK)
        while (block := self._blocks.get(number)) is not None:
            while at < _BLOCK and block[at] != _NOT_FINISHED:
                at += 1
            if at < _BLOCK:
                break
            number, at = number + 1, 0
        self._settled_to = number * _BLOCK + at

    def take(self, most: int) -> array[int]:
        """The journal offsets of the next settled rows, at most `most`; they are not given again."""
        taken, end = array("Q"), min(self._taken_to + most, self._settled_to)
        while self._taken_to < end:
            number, at = divmod(self._taken_to, _BLOCK)
            part = self._blocks[number][at : at + end - self._taken_to]
            taken += part
            self._taken_to += len(part)
            if self._taken_to % _BLOCK == 0:
                del self._blocks[number]
        return taken
