"""A stable random sample: the rows whose ids, hashed with the seed, have the lowest hashes.

The choice depends only on the seed and the rows' ids. A larger sample contains the smaller one, and rows added to the
input replace few of those chosen. Choosing takes 16 bytes of memory per row of the sample; afterwards only the highest
hash chosen is kept.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

from batchchat.hash_table import stable_hash64

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from batchchat.core.conversation import BadRow, Key, Row

__all__ = ["Sample", "choose", "row_hash"]

_HIGHEST = (1 << 64) - 1
_MIN_HELD = 1024


class Sample:
    """The rows whose hash is at most `bound`; there are `rows` of them."""

    def __init__(self, seed: int, bound: int, rows: int) -> None:
        self.rows = rows
        self._seed = seed
        self._bound = bound

    def select(self, rows: Iterable[Row | BadRow]) -> Iterator[Row | BadRow]:
        """Those of `rows` that are in the sample, in the same order."""
        return (row for row in rows if row_hash(self._seed, row.key) <= self._bound)


def choose(rows: Iterable[Row | BadRow], count: int, seed: int, *, min_held: int = _MIN_HELD) -> Sample:
    """A sample of `count` of `rows`, or of all if there are fewer.

    Hashes that are not among the lowest are dropped once more than `min_held` are held; each time they are sorted.
    """
    held = array("Q")
    bound = _HIGHEST
    for row in rows:
        digest = row_hash(seed, row.key)
        if digest <= bound:
            held.append(digest)
            if len(held) >= 2 * count and len(held) >= min_held:
                held = _lowest(held, count)
                bound = held[-1]
    if len(held) > count:
        held = _lowest(held, count)
        bound = held[-1]
    return Sample(seed, bound, len(held))


def row_hash(seed: int, key: Key) -> int:
    """The hash of a row's id with `seed`. The rows with the lowest hashes are chosen."""
    return stable_hash64(f"{seed}\x1f{key.id}".encode("utf-8", "surrogatepass"))


def _lowest(hashes: array[int], count: int) -> array[int]:
    """The `count` lowest of `hashes` in ascending order, sorted by Arrow without a Python object per hash."""
    import pyarrow as pa
    import pyarrow.compute as pc

    unsorted: Any = pa.Array.from_buffers(pa.uint64(), len(hashes), [None, pa.py_buffer(hashes)])
    order: Any = pc.array_sort_indices(unsorted)
    lowest: Any = unsorted.take(order.slice(0, count))
    return array("Q", memoryview(lowest.buffers()[1]).cast("B")[: 8 * count].tobytes())
