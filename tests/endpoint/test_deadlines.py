"""A deadline ends what waits inside it, as `asyncio.timeout` does, with one timer for all."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from batchchat.endpoint.deadlines import Deadlines


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(coroutine, 5))


def test_each_ends_when_its_own_time_is_up() -> None:
    """One that began later ends later; one that was forgotten does not end."""

    async def main() -> None:
        deadlines, ended = Deadlines(0.05), list[str]()

        async def attempt(name: str, begins_s: float, lasts_s: float) -> None:
            await asyncio.sleep(begins_s)
            deadline = deadlines.begin()
            try:
                with deadline:
                    await asyncio.sleep(lasts_s)
                ended.append(f"{name} done")
            except TimeoutError:
                ended.append(f"{name} over")
            deadline.forget()

        await asyncio.gather(attempt("first", 0, 1), attempt("short", 0, 0.01), attempt("later", 0.03, 1))
        assert ended == ["short done", "first over", "later over"]
        assert not deadlines._running

    run(main())


def test_a_time_that_was_up_outside_ends_the_next_wait() -> None:
    """What is not waited for in a block is not cut off; the next block is."""

    async def main() -> None:
        deadline = Deadlines(0.01).begin()
        with deadline:
            pass
        await asyncio.sleep(0.03)
        with pytest.raises(TimeoutError):
            deadline.assert_timeout()
        with pytest.raises(TimeoutError), deadline:
            raise AssertionError("the block was entered")

    run(main())


def test_a_task_that_is_cancelled_meanwhile_stays_cancelled() -> None:
    """Whoever cancels the task at the same moment means it to end: no `TimeoutError` takes the place of that."""

    async def main() -> None:
        async def attempt() -> None:
            with Deadlines(0.02).begin():
                await asyncio.sleep(1)

        for wait_s in (0.0, 0.005):
            task = asyncio.create_task(attempt())
            await asyncio.sleep(wait_s)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        async def cancelled_twice() -> None:
            deadline = Deadlines(1).begin()
            task = asyncio.current_task()
            assert task is not None
            with deadline:
                task.cancel()
                deadline.end()
                await asyncio.sleep(1)

        with pytest.raises(asyncio.CancelledError):
            await asyncio.create_task(cancelled_twice())

    run(main())


def test_without_a_total_there_is_no_timer() -> None:
    """None is for ever."""

    async def main() -> None:
        deadlines = Deadlines(None)
        with deadlines.begin():
            await asyncio.sleep(0)
        assert deadlines._timer is None

    run(main())
