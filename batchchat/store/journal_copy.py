"""Journals of several runs made into one: their segments, one after the other, under new numbers.

A segment that is never written again is linked where the file system can; a run's last one, which it may continue, is
copied. What an `amend` record says of the journal offset of its row is changed to where that is now: the segments of a
run that has such records are written anew.
"""

from __future__ import annotations

import os
import shutil
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from batchchat.errors import OutputError
from batchchat.store import records
from batchchat.store.segments import (
    check_format,
    journal_offset,
    machine_errors,
    offset_of,
    segment_of,
    segment_path,
    segments,
)

__all__ = ["JournalSurvey", "copy_journal", "survey_journal"]

_RUN, _AMEND = b'{"kind":"run",', b'{"kind":"amend",'
_LAST_SEGMENT = 999_999
_OF_THE_LINE = {"crc", "lenient"}
"""Members that belong to a line and not to its record."""


class JournalSurvey(NamedTuple):
    """What a look at each line tells of a journal: its latest `run` record, and whether any row was amended."""

    last_run: dict[str, Any]
    is_amended: bool


def survey_journal(folder: Path) -> JournalSurvey:
    """Look through the journal in `folder`; without a `run` record the survey's is empty.

    Raises `OutputError` for a journal of another format, `MachineError` where it can't be read.
    """
    last_run: dict[str, Any] = {}
    is_amended = False
    for number in segments(folder):
        path = segment_path(folder, number)
        with machine_errors(path), path.open("rb") as file:
            for line in file:
                is_amended = is_amended or line.startswith(_AMEND)
                if line.startswith(_RUN) and (record := records.decode(line.removesuffix(b"\n"))) is not None:
                    check_format(path, record)
                    last_run = record
    return JournalSurvey(last_run, is_amended)


def copy_journal(source: Path, target: Path, first: int, *, is_amended: bool) -> int:
    """Put the journal in `source` into the folder `target`, as its segments from number `first` on.

    Returns the number that follows them. Raises `OSError`, and `OutputError` where there are no more numbers.
    """
    numbers = segments(source)
    end = first + len(numbers)
    if end > _LAST_SEGMENT:
        raise OutputError(f"a journal has at most {_LAST_SEGMENT:,} segments, and these runs have more together.")
    renumbered = {number: first + at for at, number in enumerate(numbers)}
    if is_amended:
        _Rewriter(source, target, renumbered).run()
        return end
    for number, new in renumbered.items():
        _take(segment_path(source, number), segment_path(target, new), may_link=number != numbers[-1])
    return end


def _take(source: Path, target: Path, *, may_link: bool) -> None:
    if may_link:
        try:
            os.link(source, target)
        except OSError:  # on another file system, or one without links
            pass
        else:
            return
    shutil.copyfile(source, target)


class _Rewriter:
    """Writes the segments of `source` that are `renumbered` to `target`, with `amend` records of the new offsets."""

    def __init__(self, source: Path, target: Path, renumbered: dict[int, int]) -> None:
        self._source = source
        self._target = target
        self._renumbered = renumbered
        self._starts: dict[int, array[int]] = {}
        self._shifts: dict[int, array[int]] = {}
        """Of each segment where lines begin that have moved by another number of bytes than those before."""

    def run(self) -> None:
        for number in self._renumbered:
            path = segment_path(self._source, number)
            target = segment_path(self._target, self._renumbered[number])
            self._starts[number], self._shifts[number] = array("Q", [0]), array("q", [0])
            with path.open("rb") as file, target.open("wb") as written:
                self._rewrite(number, file, written)

    def _rewrite(self, number: int, file: BinaryIO, written: BinaryIO) -> None:
        for offset, line in _lines(file):
            shift = written.tell() - offset
            if shift != self._shifts[number][-1]:
                self._starts[number].append(offset)
                self._shifts[number].append(shift)
            written.write(self._line(line))

    def _line(self, line: bytes) -> bytes:
        if not line.startswith(_AMEND) or (record := records.decode(line.removesuffix(b"\n"))) is None:
            return line
        members = {name: value for name, value in record.items() if name not in _OF_THE_LINE}
        return records.encode({**members, "row": self._moved(record["row"])})

    def _moved(self, location: int) -> int:
        """Where the record at `location` of the source is now; one that no segment has keeps its offset."""
        number, offset = segment_of(location), offset_of(location)
        if number not in self._starts:
            return location
        shift = self._shifts[number][bisect_right(self._starts[number], offset) - 1]
        return journal_offset(self._renumbered[number], offset + shift)


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The lines of `file` with their offsets; of one in which a damaged newline joined several, each that is intact."""
    offset = 0
    for line in file:
        body = line.removesuffix(b"\n")
        if records.intact(body) or not (parts := records.salvage(body)):
            yield offset, line
        else:
            yield from ((offset + start, part + b"\n") for start, part in parts)
        offset += len(line)
