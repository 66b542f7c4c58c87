"""When no new rows are taken because too many are being tried again: rows alive are bounded, whatever the input."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from batchchat.dispatch.request_line import NEW_ROWS_PER_RETRY

__all__ = ["Recovery"]

_MAX_RECOVERY_ROWS, _MAX_RECOVERY_BYTES = 20_000, 256 << 20


class Recovery:
    """Counts the rows in recovery, and says when no new ones are taken.

    That is where there are more than `min_rows` and as many as were answered within the last minute or two: an endpoint
    that answers gets new rows however many fail, and one that answers nothing no more than seven with each retry
    that fails, in the gate's order: a new row may be answered where those before it are refused for something in
    themselves. And where their requests take more than 256 MiB.
    """

    def __init__(self, min_rows: int, clock: Callable[[], float]) -> None:
        self.rows = 0
        self._min_rows = min_rows
        self._clock = clock
        self._bytes = 0
        self._minute, self._answers, self._answers_before = 0, 0, 0
        self._failed_retries = 0  # since the latest answer
        self._changed = asyncio.Event()

    def is_full(self) -> bool:
        """Whether no new rows are to be taken."""
        if self.rows <= self._min_rows:
            return self._bytes > _MAX_RECOVERY_BYTES and self.rows > 0
        self._count_minutes()
        room = self._min_rows + self._answers + self._answers_before + NEW_ROWS_PER_RETRY * self._failed_retries
        return self.rows > min(room, _MAX_RECOVERY_ROWS) or self._bytes > _MAX_RECOVERY_BYTES

    def count_answer(self) -> None:
        """A row was answered."""
        self._count_minutes()
        self._answers += 1
        self._failed_retries = 0

    def begin(self, size: int) -> None:
        """A row begins to recover, whose request has `size` bytes."""
        self.rows += 1
        self._bytes += size

    def end(self, size: int, _task: asyncio.Task[None]) -> None:
        """A row's recovery is over."""
        self.rows -= 1
        self._bytes -= size
        self._changed.set()

    def wake(self) -> None:
        """Let those who wait look again."""
        self._changed.set()

    def count_failure(self) -> None:
        """A row in recovery failed again."""
        self._failed_retries += 1
        self._changed.set()

    async def changed(self) -> None:
        """Returns at the next end of a recovery, or `wake`."""
        self._changed.clear()
        await self._changed.wait()

    def _count_minutes(self) -> None:
        minute = int(self._clock() // 60)
        if minute != self._minute:
            self._answers_before = self._answers if minute == self._minute + 1 else 0
            self._minute, self._answers = minute, 0
