"""A copy of a run's journal in an object store, for machines that may vanish with their disk.

    <prefix>/<run folder>/000001/owner.json
    <prefix>/<run folder>/000001/journal-000001.jsonl/000000000000-000000123456-3f9c01d2a7b4c5d6

An object can't be appended to, so what a segment has grown by is an object of its own, named after the bytes that it
has and their SHA-256. A run that begins anew ships to the next number. The journal on this machine is the truth: it is
synced before it is shipped, and a copy is read only where the machine has less than it.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from batchchat.errors import OutputError
from batchchat.object_store.bucket import CONFLICTS, ObjectBucket
from batchchat.object_store.failures import ObjectStoreError
from batchchat.object_store.url import ObjectUrl
from batchchat.store.durable import sync_data, sync_folder
from batchchat.store.remote_note import NAME as NOTE
from batchchat.store.segments import segment_path, segments

__all__ = ["Block", "ShippedJournal"]

_KEY = re.compile(r"([0-9]{6})/journal-([0-9]{6})\.jsonl/([0-9]{12})-([0-9]{12})-([0-9a-f]{16})")
_BLOCK = 8 << 20


@dataclass(frozen=True, slots=True)
class Block:
    """The bytes of a segment from `start` to `end`, as an object."""

    key: str
    segment: int
    start: int
    end: int
    sha256: str


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


class ShippedJournal:
    """The copy at `url` of the journal in the run folder `folder`.

    Its methods raise `ObjectStoreError`, and `OutputError` where the copy is of another run.
    """

    def __init__(self, url: ObjectUrl, folder: Path, bucket: ObjectBucket) -> None:
        self._folder = folder
        self._bucket = bucket
        self._top = f"{url.key.rstrip('/')}/{folder.name}"
        self._number = 0
        self._ends: dict[int, int] = {}
        self._note: bytes | None = None
        self.shown = url.at(self._top).shown

    @property
    def _prefix(self) -> str:
        return f"{self._top}/{self._number:06}"

    @property
    def owner_key(self) -> str:
        """The object that says which process ships."""
        return f"{self._top}/owner.json"

    def begin(self, *, anew: bool) -> None:
        """Begin a new copy where the run is `anew`, else go on with the newest one that there is."""
        blocks = self._blocks()
        newest = max(blocks, default=0)
        self._number = newest + 1 if anew or not newest else newest
        of_run = [] if anew else blocks.get(self._number, [])
        self._check(of_run)
        self._ends = {block.segment: block.end for block in of_run}

    def fetch(self) -> int:
        """Bring the journal in the folder up to what its copy has; returns how many bytes it got.

        Called with the run's lock, before its journal is read.
        """
        blocks = self._blocks()
        if not blocks:
            return 0
        self._number = max(blocks)
        of_run = blocks[self._number]
        self._check(of_run)
        fetched = sum(self._append(block) for block in of_run)
        if not (self._folder / NOTE).exists() and (note := self._bucket.head(f"{self._prefix}/{NOTE}")) is not None:
            (self._folder / NOTE).write_bytes(self._bucket.get(note.key))
        if fetched:
            sync_folder(self._folder)
        return fetched

    @property
    def has_others(self) -> bool:
        """Whether the copy has what this process has not put there."""
        blocks = self._blocks()
        newest = max(blocks, default=0)
        return newest > self._number or any(
            block.end > self._ends.get(block.segment, 0) for block in blocks.get(newest, ())
        )

    def ship(self) -> int:
        """Copy what the journal has grown by, in whole lines; returns how many bytes that was."""
        shipped = 0
        for number in segments(self._folder):
            path = segment_path(self._folder, number)
            for data in _grown(path, self._ends.get(number, 0)):
                start = self._ends.get(number, 0)
                end = start + len(data)
                key = f"{self._prefix}/{path.name}/{start:012}-{end:012}-{_hash(data)}"
                self._put(key, data)
                self._ends[number] = end
                shipped += len(data)
        self.ship_note()
        return shipped

    def ship_note(self) -> None:
        """Copy the note about an output in an object store, where it has changed."""
        try:
            note = (self._folder / NOTE).read_bytes()
        except FileNotFoundError:
            return
        if note != self._note:
            self._bucket.put(f"{self._prefix}/{NOTE}", note, overwrite=True)
            self._note = note

    def _put(self, key: str, data: bytes) -> None:
        try:
            self._bucket.put(key, data)
        except ObjectStoreError as error:
            if error.failure not in CONFLICTS:  # its name has its hash: what is there is this very block
                raise

    def _blocks(self) -> dict[int, list[Block]]:
        """The blocks of each copy, by its number; every segment's end to end from its beginning."""
        copies: dict[int, list[Block]] = {}
        for stored in sorted(self._bucket.below(self._top), key=lambda stored: stored.key):
            if (match := _KEY.fullmatch(stored.key.removeprefix(f"{self._top}/"))) is None:
                continue
            number, segment, start, end = (int(match[group]) for group in range(1, 5))
            blocks = copies.setdefault(number, [])
            before = blocks[-1].end if blocks and blocks[-1].segment == segment else 0
            if start == before and stored.size == end - start:
                blocks.append(Block(stored.key, segment, start, end, match[5]))
        return copies

    def _check(self, blocks: list[Block]) -> None:
        """Refuse a copy of another run: of each segment that is here, its last whole block must be the same."""
        last: Mapping[int, Block] = {block.segment: block for block in blocks if block.end <= self._size(block.segment)}
        for segment, block in last.items():
            with segment_path(self._folder, segment).open("rb") as file:
                file.seek(block.start)
                if _hash(file.read(block.end - block.start)) != block.sha256:
                    raise OutputError(
                        f"{self.shown} is the copy of another run's journal, and not of that in"
                        f" {self._folder.name}. Name another `store.ship_journal`, or run with --fresh."
                    )

    def _size(self, segment: int) -> int:
        try:
            return segment_path(self._folder, segment).stat().st_size
        except FileNotFoundError:
            return 0

    def _append(self, block: Block) -> int:
        """Append what the segment lacks of `block`."""
        here = self._size(block.segment)
        if here >= block.end:
            return 0
        data = self._bucket.get(block.key)
        descriptor = os.open(segment_path(self._folder, block.segment), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            if (
                here < block.start
                or os.pread(descriptor, here - block.start, block.start) != data[: here - block.start]
            ):
                raise OutputError(f"{self.shown} and the journal in {self._folder.name} do not fit together.")
            os.pwrite(descriptor, data[here - block.start :], here)
            sync_data(descriptor)
        finally:
            os.close(descriptor)
        return block.end - here


def _grown(path: Path, start: int) -> Iterator[bytes]:
    """The whole lines of the file at `path` from `start` on, synced, in blocks; a torn one at the end is left out."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size
        if size > start:
            sync_data(descriptor)  # what is shipped must not be more than what a crash leaves here
        while start < size:
            data = os.pread(descriptor, min(_BLOCK, size - start), start)
            end = data.rfind(b"\n") + 1
            if not end and len(data) == _BLOCK:  # a line longer than a block
                data = os.pread(descriptor, size - start, start)
                end = data.rfind(b"\n") + 1
            if not end:
                return
            yield data[:end]
            start += end
    finally:
        os.close(descriptor)
