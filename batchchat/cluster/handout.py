"""The rows of a run on their way to its workers: the run reads its input once, and each row is handed to one worker.

A row stays its partition's until it has a record. What a worker that is gone has left is handed to the partition's next
one first, with all that was recorded of it.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from batchchat.cluster.assignment import RowsHanded, RowsWanted
from batchchat.cluster.handed_row import packed
from batchchat.cluster.partition_shares import PartitionShares
from batchchat.core.conversation import Key
from batchchat.dispatch.work import Work
from batchchat.errors import InputError
from batchchat.execution.feed import Feed

__all__ = ["Handout"]

_MAX_BYTES = 1 << 20
"""Of the rows that are handed over at once."""
_MAX_ROWS = 256
"""So many take some 15 ms to read: the other workers, and whoever looks at the run, must not wait long."""
_SEARCH_S = 0.02
"""How long others are looked for where there is a row by now."""


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
        self._broken: InputError | None = None

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
        ahead = wanted.ahead if max_ahead is None else min(wanted.ahead, max(0, max_ahead - wanted.present))
        if not (count := min(wanted.needed + ahead, _MAX_ROWS)):
            return RowsHanded((), max_ahead=max_ahead)
        search_ends = math.inf

        def is_done() -> bool:
            """Whether what is there is to be sent now: rows to be sent may be rare among those that are kept."""
            is_full = len(rows) >= count or size >= _MAX_BYTES
            return is_full or stopped() or (bool(rows) and time.monotonic() > search_ends)

        while not is_done() and self._due[number]:
            rows.append(self._give(number, self._feed.again(self._due[number].popleft())))
            size += len(rows[-1])
        if is_done() or (rows and self._taking.locked()):
            return RowsHanded(rows, is_last=not rows, max_ahead=max_ahead)
        async with self._taking:
            search_ends = time.monotonic() + _SEARCH_S
            while not is_done() and self._shares.has_room(number) and not (rows and self._feed.is_waiting):
                before = self._extent()
                try:
                    work = await self._take(is_done)
                except InputError:
                    if not rows:
                        raise
                    break  # those that were read are sent
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
        return None if left is None else left // (2 * self._workers)

    @property
    def is_at_end(self) -> bool:
        """Whether no row is left to be handed over, but those that a worker leaves."""
        return self._feed.is_at_end

    async def _take(self, stopped: Callable[[], bool]) -> Work | None:
        if self._broken is not None:
            raise self._broken
        await self._room()
        try:
            return await self._feed.take(stopped)
        except InputError as error:
            self._broken = error
            raise

    def _give(self, number: int, work: Work) -> bytes:
        self._handed[work.script.row.key] = _Handed(number, work)
        return packed(work, self._feed.accepted(work))
