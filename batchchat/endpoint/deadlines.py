"""How long an attempt may take: one timer for all that are under way.

All get the same time, so the oldest ends first, and only that one needs a timer. `asyncio.timeout` sets and cancels one
for each, which takes 6 µs an attempt; this takes 1.
"""

from __future__ import annotations

import asyncio
import math
from types import TracebackType
from typing import Any, Self

__all__ = ["Deadline", "Deadlines"]


class Deadline:
    """The end of one attempt of `task`, `at` seconds of the event loop's clock; used by that task.

    What waits inside `with deadline:` ends with a `TimeoutError` when the time is up, or at once where it was up
    before. aiohttp's readers take it as their timer.
    """

    __slots__ = ("_cancelling", "_is_waiting", "_running", "_task", "at", "is_over")

    def __init__(self, at: float, task: asyncio.Task[Any], running: dict[Deadline, None]) -> None:
        self._task = task
        self._running = running
        self._cancelling = 0
        self._is_waiting = False
        self.at = at
        self.is_over = False

    def forget(self) -> None:
        """The attempt has ended."""
        self._running.pop(self, None)

    def end(self) -> None:
        """The time is up."""
        self.is_over = True
        if self._is_waiting:
            self._task.cancel()

    def assert_timeout(self) -> None:
        """Raise `TimeoutError` where the time is up; the name is aiohttp's."""
        if self.is_over:
            raise TimeoutError

    def __enter__(self) -> Self:
        self.assert_timeout()
        self._cancelling = self._task.cancelling()
        self._is_waiting = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_waiting = False
        # A task that somebody else has cancelled as well is to end.
        if self.is_over and kind is asyncio.CancelledError and self._task.uncancel() <= self._cancelling:
            raise TimeoutError from error


class Deadlines:
    """The deadlines of attempts that may take `total_s` each; None: as long as they like.

    Made and used in one event loop, which is asked for once: Python 3.11 makes a system call (`getpid`) each time.
    """

    def __init__(self, total_s: float | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._total_s = math.inf if total_s is None else total_s
        self._running: dict[Deadline, None] = {}  # the oldest first
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> Deadline:
        """The deadline of an attempt of the current task, which begins now."""
        loop = self._loop
        task = asyncio.current_task(loop)
        assert task is not None
        deadline = Deadline(loop.time() + self._total_s, task, self._running)
        self._running[deadline] = None
        if self._timer is None and deadline.at < math.inf:
            self._timer = loop.call_at(deadline.at, self._end_due)
        return deadline

    def _end_due(self) -> None:
        """End those whose time is up, and come back for the next."""
        loop = self._loop
        now = loop.time()
        self._timer = None
        for deadline in list(self._running):
            if deadline.at > now:
                self._timer = loop.call_at(deadline.at, self._end_due)
                return
            deadline.forget()
            deadline.end()
