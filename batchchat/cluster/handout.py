"""The rows of a run on their way to its workers: the run reads its input once, and each row is handed to one worker.

A row stays its partition's until it has a record. What a worker that is gone has left is handed to the partition's next
one first, with all that was recorded of it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from batchchat.cluster.assignment import RowsHanded, RowsWanted
from batchchat.cluster.handed_row import packed
from batchchat.cluster.partition_shares import PartitionShares
from batchchat.core.conversation import Key
from batchchat.dispatch.work import Work
from batchchat.execution.feed import Feed

__all__ = ["Handout"]

_MAX_BYTES = 1 << 20
"""Of the rows that are handed over at once."""
_MAX_ROWS = 256
"""So many take some 15 ms to read: the other workers, and whoever looks at the run, must not wait long."""


class _Handed(NamedTuple):
    """A row that a worker of the partition `number` has."""

    number: int
    work: Work


class Handout:
    """Hands out the rows of `feed` to `partitions` partitions, `workers` at a time.

    `room` returns when another row may be taken. What is raised while the input is read or a record is written, `begin`
    and `hand` raise.
    """

    def __init__(self, feed: Feed, partitions: int, workers: int, room: Callable[[], Awaitable[None]]) -> None:
        self._feed = feed
        self._extent, whole = feed.extent()
        self._shares = PartitionShares(partitions, workers, whole)
        self._room = room
        self._workers = workers
        self._handed: dict[Key, _Handed] = {}
        self._due: dict[int, deque[Work]] = {}
        self._taking = asyncio.Lock()

    async def begin(self, stopped: Callable[[], bool]) -> int | None:
        """The number of a partition for which there is a row; None where there is none."""
        async with self._taking:
            if not self._shares.has_next:
                return None
            before = self._extent()
            if (work := await self._take(stopped)) is None:
                return None
            number = self._shares.begin()
            self._shares.add(number, self._extent() - before)
            self._due[number] = deque([work])
            return number

    async def hand(self, number: int, wanted: RowsWanted, stopped: Callable[[], bool]) -> RowsHanded:
        """As many rows as are `wanted`, or fewer, for the worker of the partition `number`; none where it had all."""
        rows, size, max_ahead = list[bytes](), 0, self._max_ahead()
        ahead = wanted.ahead if max_ahead is None else min(wanted.ahead, max_ahead)
        if not (count := min(wanted.needed + ahead, _MAX_ROWS)):
            return RowsHanded((), max_ahead=0)

        def has_space() -> bool:
            return len(rows) < count and size < _MAX_BYTES and not stopped()

        while has_space() and self._due[number]:
            if (due := self._feed.again(self._due[number].popleft())) is not None:
                rows.append(self._give(number, due))
                size += len(rows[-1])
        async with self._taking:
            while has_space() and self._shares.has_room(number) and not (rows and self._feed.is_waiting):
                before = self._extent()
                work = await self._take(stopped)
                self._shares.add(number, self._extent() - before)
                if work is None:
                    break
                rows.append(self._give(number, work))
                size += len(rows[-1])
        return RowsHanded(rows, is_last=not rows, max_ahead=max_ahead)

    def finished(self, key: Key) -> None:
        """The row of `key` has a record."""
        self._handed.pop(key, None)

    def ended(self, number: int, writer: int) -> None:
        """The worker of the partition `number` is gone, and what it has written as `writer` was taken in."""
        self._feed.writer_ended(writer)
        own = [key for key, handed in self._handed.items() if handed.number == number]
        self._due[number].extendleft(reversed([self._handed.pop(key).work for key in own]))

    def close(self) -> None:
        """No further partition begins."""
        self._shares.close()

    def _max_ahead(self) -> int | None:
        """How many rows a worker may have that it does not wait for; None where it is not known how many are left.

        Half of its even part of those: another worker might send the last ones sooner.
        """
        left = self._feed.left_to_take()
        return None if left is None else max(left, 0) // (2 * self._workers)

    async def _take(self, stopped: Callable[[], bool]) -> Work | None:
        await self._room()
        return await self._feed.take(stopped)

    def _give(self, number: int, work: Work) -> bytes:
        self._handed[work.script.row.key] = _Handed(number, work)
        return packed(work, self._feed.accepted(work))
