"""The checkpoint of a journal: what its records add up to so far, so that a resume folds only what came after.

It is a copy and no truth: one file beside the journal, with a checksum of its own and those of the segments that it
speaks of. One that does not fit them to the byte, is of another version or can't be read is as if it were not there.
The file is replaced whole, and what is in it is used only where all of it is right.

    batchchat checkpoint 2        the format, a line
    123 4567                      bytes of the head, and CRC-32 of all that follows, a line
    {...}                         the head, JSON: `version`, `segments`, `state`, `reading`, `arrays`
    ...                           the arrays of the index, as they are in memory
"""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from struct import calcsize
from struct import error as StructError  # noqa: N812
from typing import IO, Any, NamedTuple

from batchchat import lossless_json
from batchchat.hash_table import zeros
from batchchat.store.atomic import building_name
from batchchat.store.durable import sync_file, sync_folder
from batchchat.store.ledger import Ledger
from batchchat.store.ledger_state import restore, state_of_ledger
from batchchat.store.segment_sums import SegmentSums
from batchchat.store.segments import Scan, journal_offset, scan, segment_of
from batchchat.version import __version__

__all__ = ["CHECKPOINT", "Replay", "publish_checkpoint", "replay", "write_checkpoint"]

CHECKPOINT = "checkpoint"
_MAGIC = b"batchchat checkpoint 2\n"
_MAX_LINE = 64
_UNUSABLE = (
    OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, ArithmeticError, RecursionError, StructError
)  # fmt: skip
"""What reading a file that is no checkpoint of this version may raise."""


class Replay(NamedTuple):
    """A journal was replayed: `tail` is the pass over what follows the journal offset `start`, where a checkpoint ends.

    `reading` is what the checkpoint says of the input, None without one, and where the journal goes on with a session
    that does not name the same one. `sums` knows the segments as far as they were compared.
    """

    start: int
    tail: Scan
    reading: Mapping[str, Any] | None
    sums: SegmentSums

    @property
    def is_damaged(self) -> bool:
        """Whether bytes in the middle of the journal are damaged, which every replay has to report."""
        return any(not damage.torn for damage in self.tail.damages)


def replay(ledger: Ledger, folder: Path) -> Replay:
    """Make the empty `ledger` what the journal in `folder` adds up to; the session that it ends with is left open.

    Rows have the ordinals that they were recorded with. Raises `MachineError` for a failing disk, `OutputError` for a
    journal of another format.
    """
    sums, start, reading = SegmentSums(folder), 0, None
    with suppress(*_UNUSABLE):
        start, reading = _restored(ledger, folder, sums)
    tail = scan(folder, start)
    for at, record in tail:
        ledger.apply(at, record)
        kind = record["kind"]
        if kind == "amend" or (kind == "run" and reading is not None and record.get("reading") != reading["id"]):
            reading = None
    closed = {**sums.sizes, **tail.sizes}
    sums.sizes = {number: size for number, size in closed.items() if number < segment_of(tail.end)}
    return Replay(start, tail, reading, sums)


def write_checkpoint(
    folder: Path, ledger: Ledger, end: int, sums: SegmentSums, reading: Mapping[str, Any] | None
) -> Path | None:
    """Write what `ledger` is at the journal offset `end`, for `publish_checkpoint`; the path of what was written.

    `reading` is what is known of the input, with an `id`. None where there can be no checkpoint: where something was
    done to the ledger that the journal does not say, or the disk refuses it, which is no error.
    """
    building = folder / building_name(folder / CHECKPOINT)
    try:
        if not ledger.is_of_journal or (summed := sums.up_to(end)) is None:
            return None
        arrays = ledger.index.arrays
        head = lossless_json.dumps(
            {
                "version": __version__,
                "byte_order": sys.byteorder,
                "segments": [[number, *of_segment] for number, of_segment in sorted(summed.items())],
                "state": state_of_ledger(ledger),
                "reading": reading,
                "arrays": [[column.format, column.itemsize, len(column)] for column in arrays],
            }
        )
        crc = zlib.crc32(head)
        for column in arrays:
            crc = zlib.crc32(column, crc)
        with building.open("wb", buffering=0) as file:
            _write(file, b"%b%d %d\n" % (_MAGIC, len(head), crc))
            _write(file, head)
            for column in arrays:
                _write(file, column)
    except OSError:
        _remove(building)
        return None
    return building


def publish_checkpoint(building: Path) -> None:
    """Let what `write_checkpoint` wrote take its place; where the disk refuses that, there is the one before."""
    try:
        sync_file(building)
        building.replace(building.with_name(CHECKPOINT))
        sync_folder(building.parent)
    except OSError:
        _remove(building)


def _write(file: IO[bytes], part: bytes | memoryview[int]) -> None:
    with memoryview(part) as whole, whole.cast("B") as view:
        at = 0
        while at < len(view):
            at += file.write(view[at:])


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)


def _restored(ledger: Ledger, folder: Path, sums: SegmentSums) -> tuple[int, Mapping[str, Any] | None]:
    """Restore `ledger` from the checkpoint in `folder`; the journal offset where that ends, and its reading.

    Raises one of `_UNUSABLE` where there is none that fits; the ledger is then as it was.
    """
    with (folder / CHECKPOINT).open("rb") as file:
        if file.readline(_MAX_LINE) != _MAGIC:
            raise ValueError("another format")
        size, crc = map(int, file.readline(_MAX_LINE).split())
        data = file.read(min(size, os.fstat(file.fileno()).st_size))
        head = lossless_json.loads(data)
        if head["version"] != __version__ or head["byte_order"] != sys.byteorder:
            raise ValueError("of another version")
        arrays = _read_arrays(file, head["arrays"])
    summed = zlib.crc32(data)
    for column in arrays:
        summed = zlib.crc32(column, summed)
    segments = {number: (size, of_segment) for number, size, of_segment in head["segments"]}
    if summed != crc or not sums.match(segments):
        raise ValueError("it does not fit")
    restore(ledger, head["state"], arrays)
    sums.sizes |= {number: size for number, (size, _) in segments.items()}
    last = max(segments)
    return journal_offset(last, segments[last][0]), head["reading"]


def _read_arrays(file: IO[bytes], declared: Sequence[Sequence[Any]]) -> list[memoryview[int]]:
    """The arrays that follow in `file`, which must end with them."""
    left = os.fstat(file.fileno()).st_size - file.tell()
    if sum(itemsize * count for _, itemsize, count in declared) != left:
        raise ValueError("it is cut off")
    arrays = []
    for typecode, itemsize, count in declared:
        if calcsize(typecode) != itemsize:
            raise ValueError("of another machine")
        column = zeros(typecode, count)
        if file.readinto(column) != column.nbytes:  # type: ignore[attr-defined]
            raise ValueError("it is cut off")
        arrays.append(column)
    return arrays
