"""Reads the segments of a session's workers as they grow: a record counts once its worker has synced it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from batchchat.store import records
from batchchat.store.file_lock import is_locked
from batchchat.store.segments import journal_offset, offset_of, segment_of, segment_path, segments

__all__ = ["JournalFollower"]

_RECORDS_A_TURN = 100
_BLOCK = 1 << 20
_THE_RUN = 0
"""As a writer: its records name none."""


class JournalFollower:
    """Gives `apply` the location and the record of each line of the segments that are written from `begin` on."""

    def __init__(self, folder: Path, apply: Callable[[int, Any], None]) -> None:
        self._folder = folder
        self._apply = apply
        self._known = set[int]()
        self._segments: dict[int, list[int]] = {}
        """By writer, the segments that it has written so far."""
        self._at: dict[int, int] = {}
        """How far each of these was read, in bytes."""
        self.row_counts: Counter[int] = Counter()
        """By writer, the rows that it has finished."""

    def begin(self) -> list[int]:
        """The segments that are there now, which are none of the workers'."""
        before = segments(self._folder)
        self._known.update(before)
        return before

    def segments_of(self, writer: int) -> list[int]:
        """The segments of `writer`, as far as it has told of them."""
        return self._segments.get(writer, [])

    async def follow(self, writer: int, location: int) -> None:
        """`writer` has synced all up to the record at `location`: apply what is new."""
        number, own = segment_of(location), self._segments.setdefault(writer, [])
        if number not in own:
            for earlier in own:
                await self._read(writer, earlier, None)
            self._add(writer, number)
        await self._read(writer, number, offset_of(location))

    async def end(self, writer: int) -> None:
        """The process of `writer` has ended: apply all that it has left, synced or not, as a replay would."""
        for number in self.unknown():
            path = segment_path(self._folder, number)
            if not is_locked(path) and _named_writer(path) in {writer, None}:
                self._add(writer, number)
        for number in self.segments_of(writer):
            await self._read(writer, number, None)

    def add_own(self, number: int) -> None:
        """The run itself writes the segment `number`, and applies what it writes."""
        self._known.add(number)

    def unknown(self) -> list[int]:
        """The segments that no writer has told of by now."""
        return [number for number in segments(self._folder) if number not in self._known]

    def _add(self, writer: int, number: int) -> None:
        self._known.add(number)
        self._segments.setdefault(writer, []).append(number)
        self._at[number] = 0

    async def _read(self, writer: int, number: int, last: int | None) -> None:
        """Apply the lines of the segment up to the one at the offset `last`; None for all that are intact."""
        at = self._at[number]
        if last is not None and last < at:
            return
        count = 0
        with segment_path(self._folder, number).open("rb", buffering=_BLOCK) as file:
            file.seek(at)
            for line in file:
                record = records.decode(line.removesuffix(b"\n"))
                if record is not None:
                    if record["kind"] == "row":
                        self.row_counts[writer] += 1
                    self._apply(journal_offset(number, at), record)
                elif not line.endswith(b"\n"):
                    break  # torn; a replay says so
                at = self._at[number] = at + len(line)
                if last is not None and at > last:
                    break
                count += 1
                if count % _RECORDS_A_TURN == 0:
                    await asyncio.sleep(0)


def _named_writer(path: Path) -> int | None:
    """The writer of a segment, by its first record: a worker's is its hold, which names it. None where that is torn."""
    with path.open("rb") as file:
        record = records.decode(file.readline().removesuffix(b"\n"))
    return None if record is None else record.get("writer", _THE_RUN)
