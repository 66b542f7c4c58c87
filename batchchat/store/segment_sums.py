"""CRC-32 of what segments begin with: whether they are, up to a place, what they were.

A line's own checksum says that it is whole, and nothing of lines that were taken out, added or put in another order.
1 GB takes a third of a second where it is in memory; two segments are read at once.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from batchchat.store.segments import offset_of, segment_of, segment_path, segments

__all__ = ["SegmentSums"]

_BLOCK = 1 << 20
_AT_ONCE = 2
_WORTH_THREADS = 16 << 20

Sums = dict[int, tuple[int, int]]
"""For each segment's number, how many of its bytes were summed, and their CRC-32."""


class SegmentSums:
    """The sums of the segments in `folder`; no byte is read twice."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sums: Sums = {}
        self.sizes: dict[int, int] = {}
        """The bytes of segments that were read whole: what another process adds to one is not of the journal read."""

    def up_to(self, end: int) -> Sums | None:
        """The sums of the journal up to the offset `end`; None where a line does not end there.

        Raises `OSError` where it can't be read.
        """
        last, sizes = segment_of(end), dict[int, int]()
        for number in segments(self._folder):
            if number <= last:
                whole = self.sizes.get(number) or segment_path(self._folder, number).stat().st_size
                sizes[number] = offset_of(end) if number == last else whole
        if last not in sizes or not self._ends_line(last, sizes[last]):
            return None
        return self._read(sizes)

    def match(self, sums: Mapping[int, tuple[int, int]]) -> bool:
        """Whether the journal begins with the segments of `sums`, which only the last of them is longer than."""
        present = segments(self._folder)
        if not sums or present[: len(sums)] != sorted(sums):
            return False
        *closed, last = sorted(sums)
        try:
            for number in closed:
                if segment_path(self._folder, number).stat().st_size != sums[number][0]:
                    return False
            if segment_path(self._folder, last).stat().st_size < sums[last][0]:
                return False
            return self._read({number: size for number, (size, _) in sums.items()}) == dict(sums)
        except OSError:
            return False

    def _read(self, sizes: Mapping[int, int]) -> Sums | None:
        if sum(sizes.values()) < _WORTH_THREADS:
            self._sums |= {number: self._sum(number, size) for number, size in sizes.items()}
        else:
            with ThreadPoolExecutor(_AT_ONCE, "sums") as threads:
                self._sums |= zip(sizes, threads.map(self._sum, sizes, sizes.values()), strict=True)
        whole = all(self._sums[number][0] == size for number, size in sizes.items())
        return {number: self._sums[number] for number in sizes} if whole else None

    def _sum(self, number: int, size: int) -> tuple[int, int]:
        """The sum of the first `size` bytes of the segment, of fewer where it has fewer."""
        at, crc = self._sums.get(number, (0, 0))
        if at > size:
            at = crc = 0
        block = bytearray(_BLOCK)
        with memoryview(block) as view, segment_path(self._folder, number).open("rb", buffering=0) as file:
            file.seek(at)
            while at < size and (count := file.readinto(view[: size - at])):
                crc, at = zlib.crc32(view[:count], crc), at + count
        return at, crc

    def _ends_line(self, number: int, size: int) -> bool:
        with segment_path(self._folder, number).open("rb") as file:
            return not size or (file.seek(size - 1) == size - 1 and file.read(1) == b"\n")
