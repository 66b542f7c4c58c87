"""The journal read in blocks of whole lines, for a reader in columns: lines of rows as they are, other records decoded.

The checksums of all are verified. Nothing is made of a row's line, and most of a long journal is such lines.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

from batchchat.store import records
from batchchat.store.segments import check_format, journal_offset, machine_errors, segment_path, segments

__all__ = ["JournalBlock", "blocks_of_journal"]

_BLOCK = 8 << 20
_ROW = b'{"kind":"row",'
_TAIL = len(b',"crc":"00000000"}')
_LENIENT = b',"lenient":true'


class JournalBlock(NamedTuple):
    """Intact records that follow each other in the journal.

    `lines` are lines of rows, each ended by a newline, and `offsets` their journal offsets. `others` are the other
    records with theirs, in their order; those of rows that only `lossless_json` reads, or that stand in a damaged line,
    are among them.
    """

    lines: bytes
    offsets: array[int]
    others: list[tuple[int, dict[str, Any]]]


def blocks_of_journal(folder: Path) -> Iterator[JournalBlock]:
    """The journal in `folder`, every intact record once, as `segments.scan` finds them.

    Raises `OutputError` for a journal of another format, `MachineError` for a failing disk.
    """
    for number in segments(folder):
        path = segment_path(folder, number)
        with machine_errors(path), path.open("rb", buffering=0) as file:
            start, head = 0, b""
            while data := file.read(_BLOCK):
                whole = data.rfind(b"\n") + 1
                if not whole:
                    head += data
                    continue
                lines = head + data[:whole] if head else data[:whole]
                yield _block(path, lines, journal_offset(number, start))
                start, head = start + len(lines), data[whole:]
            if head:  # the last line lacks its newline
                yield _block(path, head + b"\n", journal_offset(number, start))


def _block(path: Path, data: bytes, base: int) -> JournalBlock:
    """The records in `data`, whole lines that are at the journal offset `base`."""
    offsets, others, gaps = array("q"), list[tuple[int, dict[str, Any]]](), list[tuple[int, int]]()
    find, view, start = data.find, memoryview(data), 0
    while (end := find(b"\n", start)) >= 0:
        tail = end - _TAIL
        if (
            tail > start
            and data.startswith(_ROW, start)
            and data[tail:end] == b',"crc":"%08x"}' % crc32(view[start:tail])
            and not data.endswith(_LENIENT, start, tail)
        ):
            offsets.append(base + start)
        else:
            others += _records(path, data[start:end], base + start)
            gaps.append((start, end + 1))
        start = end + 1
    return JournalBlock(_without(data, gaps), offsets, others)


def _records(path: Path, line: bytes, at: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """The records in `line`, which is at the journal offset `at`: one, or what is intact of a damaged line."""
    if (record := records.decode(line)) is not None:
        check_format(path, record)
        yield at, record
        return
    for start, part in records.salvage(line):
        if (record := records.decode(part)) is not None:
            check_format(path, record)
            yield at + start, record


def _without(data: bytes, gaps: list[tuple[int, int]]) -> bytes:
    """`data` without the `gaps`, which are ascending."""
    if not gaps:
        return data
    starts, ends = [0, *(end for _, end in gaps)], [*(start for start, _ in gaps), len(data)]
    return b"".join(data[start:end] for start, end in zip(starts, ends, strict=True))
