"""The tasks of one loop: started together, waited for together, and what goes wrong in one ends all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

__all__ = ["TaskSet"]


class TaskSet:
    """Tasks that end by themselves, or are cancelled all at once; `broken` is called when one of them raises."""

    def __init__(self, broken: Callable[[], None]) -> None:
        self.cancelled = False
        self._broken = broken
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._defect: BaseException | None = None

    def __len__(self) -> int:
        """How many have not ended."""
        return len(self._tasks)

    def start(self, coroutine: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run `coroutine` as one of the tasks."""
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def cancel(self) -> None:
        """Cancel all of them."""
        self.cancelled = True
        for task in self._tasks:
            task.cancel()

    async def ended(self) -> None:
        """Returns once all have ended."""
        await self._idle.wait()

    def raise_defect(self) -> None:
        """Raise what the first of them raised, if one did."""
        if self._defect is not None:
            raise self._defect

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error: BaseException | None
        if task.cancelled():
            error = None if self.cancelled else RuntimeError("a row was cancelled, and not by us")
        else:
            error = task.exception()
        if error is not None:
            self._defect = self._defect or error
            self._broken()
        if not self._tasks:
            self._idle.set()
