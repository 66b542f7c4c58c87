"""Reads single lines of the journal by their journal offset, as often as they are needed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from batchchat.errors import MachineError
from batchchat.store import records
from batchchat.store.segment_windows import SegmentWindows
from batchchat.store.segments import machine_errors, offset_of, segment_of, segment_path

__all__ = ["LineReader"]

_MAX_OPEN = 16
"""Segments that are open for reading at once: a run that was often moved between hosts has many."""


class LineReader:
    """Reads lines of the journal in `folder`. Those near each other in a segment share one read.

    Input order is nearly the order of the lines: of one segment, or of as many as there are workers, in turns.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[int, int] = {}
        self._windows = SegmentWindows()
        self._next: dict[int, int] = {}
        """By segment, the offset behind the line that was read last."""

    def read(self, at: int) -> tuple[dict[str, Any], int]:
        """The record at journal offset `at` and its length in bytes. Raises `MachineError` if it is damaged."""
        number, offset = segment_of(at), offset_of(at)
        record = self._record(number, offset)
        if record is None:
            # Bytes read ahead may be older than the line: of a torn tail that was cut off and overwritten since.
            self._windows.forget(number)
            record = self._record(number, offset)
        if record is not None:
            return record
        raise MachineError(
            f"{segment_path(self._folder, number)}: the line at offset {offset:,} was intact when the run began and is"
            " damaged now. The disk may be failing; run the same command again to send that row again."
        )

    def line(self, at: int) -> bytes | None:
        """The line at journal offset `at`, without its newline; None where it is not intact, and only `read` may help.

        Raises `MachineError` where it can't be read.
        """
        line = self._line(segment_of(at), offset_of(at))
        return line if records.intact(line) else None

    def _record(self, number: int, offset: int) -> tuple[dict[str, Any], int] | None:
        line = self._line(number, offset)
        if (record := records.decode(line)) is not None:
            return record, len(line)
        for start, part in records.salvage(line):
            if start == 0 and (record := records.decode(part)) is not None:
                return record, len(part)
        return None

    def _line(self, number: int, offset: int) -> bytes:
        """The bytes from `offset` to the next newline, or to the end of the file."""
        line = self._windows.line(number, offset)
        if line is None:
            line = self._read_line(number, offset)
        self._next[number] = offset + len(line) + 1
        return line

    def _read_line(self, number: int, offset: int) -> bytes:
        """The same, read with what is near it: behind it, and before it where it does not follow the last one."""
        size = self._windows.size_for(number, offset)
        # Rows are in the order they finished: the next one to be read may be a little before this one.
        before = 0 if offset == self._next.get(number) else min(offset, size // 2)
        with machine_errors(segment_path(self._folder, number)):
            while True:
                data = os.pread(self._file(number), size, offset - before)
                end = data.find(b"\n", before)
                if end >= 0 or len(data) < size:
                    break
                size *= 4
        self._windows.add(number, offset - before, data)
        return data[before : end if end >= 0 else len(data)]

    def _file(self, number: int) -> int:
        if number not in self._files:
            if len(self._files) >= _MAX_OPEN:
                os.close(self._files.pop(next(iter(self._files))))
            path = segment_path(self._folder, number)
            self._files[number] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        return self._files[number]

    def close(self) -> None:
        """Close the segments that were opened."""
        for descriptor in self._files.values():
            os.close(descriptor)
        self._files.clear()
        self._windows = SegmentWindows()
