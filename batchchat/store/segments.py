"""The journal's files on disk: numbered segments of lines, read back in order.

    journal-000001.jsonl, journal-000002.jsonl, …

A journal offset is one integer, segment number << 40 | offset in bytes, so that an index keeps 8 bytes a row. Reading
never changes a file. A damaged line is reported with its offset and never used; the intact lines behind it are.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from batchchat.errors import MachineError, OutputError
from batchchat.store import records

__all__ = [
    "NOTHING",
    "AsReplayed",
    "Damage",
    "LineReader",
    "Scan",
    "bytes_up_to",
    "check_format",
    "end_of",
    "journal_offset",
    "machine_errors",
    "offset_of",
    "scan",
    "segment_of",
    "segment_path",
    "segments",
]

_BLOCK = 1 << 20
_MAX_OPEN = 16
"""Segments that are open for reading at once: a run that was often moved between hosts has many."""
_NAME = re.compile(r"journal-(\d{6})\.jsonl")


def journal_offset(segment: int, offset: int) -> int:
    """The journal offset of the byte at `offset` in `segment`."""
    return segment << 40 | offset


def segment_of(journal_offset: int) -> int:
    """The number of its segment."""
    return journal_offset >> 40


def offset_of(journal_offset: int) -> int:
    """Its offset in bytes within the segment."""
    return journal_offset & (1 << 40) - 1


def segment_path(folder: Path, number: int) -> Path:
    """The path of segment `number` in `folder`."""
    return folder / f"journal-{number:06d}.jsonl"


def segments(folder: Path) -> list[int]:
    """The numbers of the segments in `folder`, ascending."""
    try:
        names = [path.name for path in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(int(match[1]) for name in names if (match := _NAME.fullmatch(name)))


def end_of(folder: Path) -> int | None:
    """The journal offset behind the last byte of the journal in `folder`, intact or not; None without a journal."""
    numbers = segments(folder)
    return journal_offset(numbers[-1], segment_path(folder, numbers[-1]).stat().st_size) if numbers else None


def bytes_up_to(folder: Path, end: int) -> int:
    """How many bytes the journal in `folder` has before the offset `end`."""
    last = segment_of(end)
    return offset_of(end) + sum(
        segment_path(folder, number).stat().st_size for number in segments(folder) if number < last
    )


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes of the journal that no checksum covers: `torn` if nothing intact follows them.

    `cut_off` where the journal is continued there; else they stay, at the end of one of several writers' segments.
    """

    path: Path
    offset: int
    length: int
    torn: bool
    cut_off: bool = True

    def __str__(self) -> str:
        if self.length == 1:
            # Most often a newline. A row of which one byte was written was never reported as done.
            return f"{self.path.name}: 1 byte at offset {self.offset:,} is damaged; no finished row is lost"
        if self.torn:
            fate = "cut off" if self.cut_off else "not used"
            return (
                f"{self.path.name}: the last {self.length:,} bytes were torn when the run was killed and are {fate};"
                " what they held is sent again"
            )
        return (
            f"{self.path.name}: {self.length:,} bytes at offset {self.offset:,} are damaged and not used;"
            " what they held is sent again"
        )


class AsReplayed(NamedTuple):
    """A segment when it was read: its size in bytes, torn ones too, and which file it was."""

    size: int
    device: int
    inode: int


NOTHING = AsReplayed(0, 0, 0)
"""There was no segment."""


class Scan:
    """One pass over all segments, or those of `numbers`, from the journal offset `start` on, where a line begins.

    Iterate for (journal offset, record); then all that follows is complete.
    `end` is the journal offset behind the last intact line: where writing continues, torn bytes cut off. `last` is what
    the last segment was when it was read; `sizes` are the bytes of all, by number.
    """

    def __init__(self, folder: Path, start: int = 0, *, numbers: Sequence[int] | None = None) -> None:
        self._folder = folder
        self._start = start
        numbers = segments(folder) if numbers is None else numbers
        self._numbers = [number for number in numbers if number >= segment_of(start)]
        self.damages: list[Damage] = []
        self.end = journal_offset(self._numbers[-1], 0) if self._numbers else journal_offset(1, 0)
        self.last = NOTHING
        self.sizes: dict[int, int] = {}
        self._tail: Damage | None = None
        self._has_workers = False
        """Whether the session that is being read had several writers."""
        self._torn_tails: list[Damage] = []
        """Of its segments, where it had: a writer was killed."""

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for number in self._numbers:
            yield from self._segment(number)
        self.damages += self._torn_tails

    def _segment(self, number: int) -> Iterator[tuple[int, dict[str, Any]]]:
        path = segment_path(self._folder, number)
        # Writing continues in the last segment, even if nothing in it is intact.
        base = journal_offset(number, 0)
        reached = size = offset_of(self._start) if number == segment_of(self._start) else 0
        self.end = base + reached
        for offset, line in self._lines(path, reached):
            size = offset + len(line)
            if offset == reached and (record := records.decode(line.removesuffix(b"\n"))) is not None:
                # As nearly every line is: whole, and behind an intact one.
                if record["kind"] == "run":
                    self._begin_session(path, record)
                if self._tail is not None:
                    self._note_tail(record)
                reached = size
                self.end = base + size
                yield base + offset, record
                continue
            for start, end, record in _intact_parts(line):
                if record["kind"] == "run":
                    self._begin_session(path, record)
                self._note_tail(record)
                self._note_damage(path, reached, offset + start, torn=False)
                reached = offset + end
                self.end = journal_offset(number, reached)
                yield journal_offset(number, offset + start), record
        if number == self._numbers[-1]:
            self._note_damage(path, reached, size, torn=True)
        elif reached < size and self._has_workers:
            self._torn_tails.append(Damage(path, reached, size - reached, torn=True, cut_off=False))
        elif reached < size:
            self._tail = Damage(path, reached, size - reached, torn=False)

    def _begin_session(self, path: Path, record: dict[str, Any]) -> None:
        """The session of this `run` record has reported the torn tails of those before."""
        check_format(path, record)
        self._torn_tails.clear()
        self._has_workers = "workers" in record

    def _note_tail(self, record: dict[str, Any]) -> None:
        """The end of the segment before is damaged. Where a session begins behind it, that one has reported it."""
        if self._tail is not None and record["kind"] != "run":
            self.damages.append(self._tail)
        self._tail = None

    def _lines(self, path: Path, offset: int) -> Iterator[tuple[int, bytes]]:
        """Offset and line from `offset` on, with its newline, which the last line may lack."""
        with machine_errors(path), path.open("rb", buffering=_BLOCK) as file:
            file.seek(offset)
            for line in file:
                yield offset, line
                offset += len(line)
            status = os.fstat(file.fileno())
            self.sizes[segment_of(self.end)] = offset
            self.last = AsReplayed(offset, status.st_dev, status.st_ino)

    def _note_damage(self, path: Path, start: int, end: int, *, torn: bool) -> None:
        if start < end:
            self.damages.append(Damage(path, start, end - start, torn))


def scan(folder: Path, start: int = 0) -> Scan:
    """A pass over the journal in `folder` from the journal offset `start` on."""
    return Scan(folder, start)


def check_format(path: Path, record: dict[str, Any]) -> None:
    """Raise `OutputError` where `record`, read from the segment at `path`, begins a session of another format."""
    if record["kind"] == "run" and record.get("format") != records.FORMAT:
        raise OutputError(
            f"{path} is a journal of format {record.get('format')!r}, of batchchat {record.get('version', 'unknown')};"
            f" this version reads format {records.FORMAT}. Use that version, or set the run aside with --fresh."
        )


def _intact_parts(line: bytes) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Start, end and record of what is intact in `line`: all of it, or what a damaged newline joined or cut.

    A newline belongs to the record before it. Where it is missing, `Journal` writes one before it continues.
    """
    body = line.removesuffix(b"\n")
    if (record := records.decode(body)) is not None:
        yield 0, len(line), record
        return
    for start, part in records.salvage(body):
        end = start + len(part)
        if (record := records.decode(part)) is not None:
            yield start, len(line) if end == len(body) else end, record


@contextmanager
def machine_errors(path: Path) -> Iterator[None]:
    """Raise an `OSError` of reading `path` as a `MachineError`."""
    try:
        yield
    except OSError as error:
        raise MachineError(f"{path} can't be read: {error.strerror or error}.") from error


class LineReader:
    """Reads single lines by journal offset. Lines near each other share one read: input order is nearly their order.

    A line that follows the one before it is read with those behind it, any other one with those before it, too.
    """

    _WINDOW = 1 << 20

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[int, int] = {}
        self._segment = -1
        self._start = 0
        self._next = 0
        self._data = b""

    def read(self, at: int) -> tuple[dict[str, Any], int]:
        """The record at journal offset `at` and its length in bytes. Raises `MachineError` if it is damaged."""
        number, offset = segment_of(at), offset_of(at)
        record = self._record(number, offset)
        if record is None:
            # Bytes read ahead may be older than the line: of a torn tail that was cut off and overwritten since.
            self._segment = -1
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
        start = offset - self._start
        if number == self._segment and 0 <= start < len(self._data):
            end = self._data.find(b"\n", start)
            if end >= 0:
                self._next = self._start + end + 1
                return self._data[start:end]
        # Rows are in the order they finished: the next one to be read may be a little before this one.
        follows = number == self._segment and offset == self._next
        before = 0 if follows else min(offset, self._WINDOW // 2)
        with machine_errors(segment_path(self._folder, number)):
            size = self._WINDOW
            while True:
                data = os.pread(self._file(number), size, offset - before)
                end = data.find(b"\n", before)
                if end >= 0 or len(data) < size:
                    break
                size *= 4
        if end < 0:
            end = len(data)
        self._segment, self._start, self._data = number, offset - before, data
        self._next = self._start + end + 1
        return data[before:end]

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
        self._segment, self._data = -1, b""
