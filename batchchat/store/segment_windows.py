"""What was read ahead of each of the segments that lines are read from in turn. Pure.

Rows in the order of the input are in the segments of all workers, one after the other: with one window for all of them
each line would be a read of its own.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["SegmentWindows"]

_MAX_BYTES = 8 << 20
_FIRST_SIZE, _MIN_SIZE = 1 << 20, 1 << 16
_IDLE_ADDS = 16
_NOTHING = range(0)


class _Window(NamedTuple):
    """The bytes `data` of a segment from the offset `start` on; the `added`th that was read."""

    added: int
    start: int
    data: bytes


_NO_WINDOW = _Window(0, 0, b"")


class SegmentWindows:
    """A window of bytes by segment; all of them have at most 8 MiB, unless one line has more.

    Windows are smaller where there are more segments than fit: when one has to be read again that was dropped before
    its lines were, half as much is read at a time from then on. A segment that is read to its end has none for long.
    """

    def __init__(self) -> None:
        self._size = _FIRST_SIZE
        self._windows: dict[int, _Window] = {}
        self._bytes = self._adds = 0
        self._dropped: dict[int, range] = {}
        """By segment, which bytes the last window had that was dropped at this size for want of room."""

    def line(self, number: int, offset: int) -> bytes | None:
        """The line at `offset` of the segment `number`, without its newline; None where its window lacks it."""
        _, start, data = self._windows.get(number, _NO_WINDOW)
        at = offset - start
        end = data.find(b"\n", at) if 0 <= at < len(data) else -1
        return data[at:end] if end >= 0 else None

    def size_for(self, number: int, offset: int) -> int:
        """How many bytes to read for the line at `offset` of the segment `number`, of which there is no window."""
        if offset in self._dropped.get(number, _NOTHING) and self._size > _MIN_SIZE:
            self._size //= 2
            self._dropped.clear()
        return self._size

    def add(self, number: int, start: int, data: bytes) -> None:
        """Keep `data`, which begins at `start`, as the window of the segment `number`, and drop the oldest others."""
        self.forget(number)
        self._adds += 1
        while self._windows:
            oldest, (added, first, dropped) = next(iter(self._windows.items()))
            is_idle = self._adds - added > _IDLE_ADDS + 4 * len(self._windows)
            if not is_idle:
                if self._bytes + len(data) <= _MAX_BYTES:
                    break
                self._dropped[oldest] = range(first, first + len(dropped))
            self.forget(oldest)
        self._windows[number] = _Window(self._adds, start, data)
        self._bytes += len(data)

    def forget(self, number: int) -> None:
        """The window of the segment `number` may not be what the segment has."""
        self._bytes -= len(self._windows.pop(number, _NO_WINDOW).data)
