"""How often the journal is read for its lines: once for those that are near each other, in each segment."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from batchchat.store.line_reader import LineReader
from batchchat.store.segments import segment_path
from tests.store.given import answered, bare, write_segment

LINE = "x" * 10_000
ROWS = 300
"""Of one segment: three megabytes."""


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of what is read while the test goes on."""
    sizes, pread = list[int](), os.pread

    def counted(descriptor: int, size: int, offset: int) -> bytes:
        data = pread(descriptor, size, offset)
        sizes.append(len(data))
        return data

    monkeypatch.setattr(os, "pread", counted)
    return sizes


def row_of(segment: int, number: int) -> Any:
    return answered(f"{segment}-{number}", messages=[{"role": "user", "content": LINE}])


def write(folder: Path, segments: Iterable[int]) -> list[list[int]]:
    """Segments of `ROWS` long lines; their locations."""
    return [write_segment(folder, segment, [row_of(segment, n) for n in range(ROWS)]) for segment in segments]


@pytest.mark.parametrize("workers", [1, 2, 16])
def test_segments_are_read_in_turns(tmp_path: Path, reads: list[int], workers: int) -> None:
    """The rows of several workers, in the order of the input: no segment is read much more than once."""
    places = write(tmp_path, range(1, workers + 1))
    total = sum(path.stat().st_size for path in tmp_path.glob("journal-*"))
    reader = LineReader(tmp_path)
    for number, turn in enumerate(zip(*places, strict=True)):
        for segment, at in enumerate(turn, 1):
            assert bare(reader.read(at)[0]) == row_of(segment, number)
    reader.close()
    assert sum(reads) <= 2 * total
    assert len(reads) <= ROWS * workers / 5


def test_lines_that_follow_each_other_are_read_once(tmp_path: Path, reads: list[int]) -> None:
    """Of long lines in their order hardly more is read of the disk than there is; one before them is still there."""
    rows: list[Any] = [answered(f"{n}", messages=[{"role": "user", "content": "x" * 200_000}]) for n in range(40)]
    places = write_segment(tmp_path, 1, rows)
    reader = LineReader(tmp_path)
    for n in (*range(20), 21, 20, *range(22, 40), 3):
        assert bare(reader.read(places[n])[0]) == rows[n]
    reader.close()
    assert sum(reads) < 1.4 * segment_path(tmp_path, 1).stat().st_size
