"""What is read ahead of several segments whose lines are read in turn."""

from __future__ import annotations

import pytest

from batchchat.store.segment_windows import SegmentWindows

LINE = b"x" * 2047 + b"\n"
MIB = 1 << 20
CONTENT = LINE * (2 * MIB // len(LINE))


def read(windows: SegmentWindows, number: int, offset: int) -> int:
    """Have the line at `offset` of the segment `number`; how many bytes were read for that."""
    line, size = windows.line(number, offset), 0
    if line is None:
        size = windows.size_for(number, offset)
        start = max(0, offset - size // 2)
        windows.add(number, start, CONTENT[start : start + size])
        line = windows.line(number, offset)
    assert line == LINE[:-1]
    return size


def held(windows: SegmentWindows) -> int:
    """How many bytes are kept."""
    return sum(len(window.data) for window in windows._windows.values())


@pytest.mark.parametrize(("segments", "times"), [(1, 2), (2, 2), (8, 2), (40, 4), (128, 4)])
def test_lines_of_all_segments_in_turn(segments: int, times: int) -> None:
    """Each byte is read so many times at most: half of a window is behind the line that it was read for."""
    windows, size, most = SegmentWindows(), 0, 0
    for offset in range(0, len(CONTENT), len(LINE)):
        for number in range(segments):
            size += read(windows, number, offset)
            most = max(most, held(windows))
    assert size <= times * segments * len(CONTENT)
    assert most <= 8 * MIB


def test_segments_one_after_the_other_are_read_by_large_windows() -> None:
    """However many there are: none of them is come back to."""
    windows = SegmentWindows()
    sizes = {read(windows, number, offset) for number in range(30) for offset in range(0, len(CONTENT), len(LINE))}
    assert sizes == {0, MIB}


def test_a_segment_that_is_read_to_its_end_has_no_window_for_long() -> None:
    """The journal of one process is read segment by segment: memory has one window, and not as many as are allowed."""
    windows = SegmentWindows()
    for offset in range(0, 8 * len(CONTENT), len(LINE)):
        if windows.line(1, offset) is None:
            windows.add(1, offset, CONTENT[:MIB])
    for offset in range(0, 16 * len(CONTENT), len(LINE)):
        if windows.line(2, offset) is None:
            windows.add(2, offset, CONTENT[:MIB])
    assert held(windows) == MIB


def test_what_is_read_again_long_after_is_read_by_large_windows() -> None:
    """There was room for it all the time: only who needs more windows than there is room for reads smaller ones."""
    windows = SegmentWindows()
    windows.add(1, 0, CONTENT[:MIB])
    for start in range(40):
        windows.add(2, start * MIB, CONTENT[:MIB])
    assert windows.line(1, 0) is None
    assert windows.size_for(1, 0) == MIB


def test_a_window_that_is_forgotten_is_read_anew() -> None:
    """Without it there is nothing of the segment."""
    windows = SegmentWindows()
    windows.add(1, 0, b"old\n")
    assert windows.line(1, 0) == b"old"
    windows.forget(1)
    assert windows.line(1, 0) is None
    windows.add(1, 0, b"new\ntorn")
    assert [windows.line(1, 0), windows.line(1, 4), windows.line(1, 9), windows.line(2, 0)] == [
        b"new",
        None,
        None,
        None,
    ]


def test_a_line_that_is_larger_than_all_windows() -> None:
    """It is there, and nothing else is."""
    windows = SegmentWindows()
    windows.add(1, 0, b"a\n")
    windows.add(2, 100, b"y" * (9 * MIB) + b"\n")
    assert windows.line(2, 100) == b"y" * (9 * MIB)
    assert windows.line(1, 0) is None
