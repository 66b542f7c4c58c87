"""Large responses share their memory: each is read, and together they never have more than the bound and one."""

from __future__ import annotations

import asyncio
from typing import Any

from batchchat.endpoint.reading import FREE_BYTES, OpenBody, ReadingMemory


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_whoever_came_first_is_read_on() -> None:
    """Where there is no room the oldest goes on, and the next when it is released; so none waits for ever."""

    async def main() -> list[str]:
        memory, ended = ReadingMemory(10), list[str]()

        async def read(name: str) -> None:
            reader = object()
            for _ in range(4):
                await memory.take(reader, 5)
                await asyncio.sleep(0)
            ended.append(name)
            memory.release(reader)

        await asyncio.wait_for(asyncio.gather(*(read(name) for name in "abcde")), 5)
        return ended

    assert asyncio.run(main()) == ["a", "b", "c", "d", "e"]


def test_a_reader_that_goes_away_frees_its_place() -> None:
    """Cancelled while it waits, or released with bytes: the others go on."""

    async def main() -> None:
        memory = ReadingMemory(10)
        first, second, third = object(), object(), object()
        await memory.take(first, 10)
        waiting = asyncio.create_task(memory.take(second, 5))
        await settle()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        memory.release(second)
        last = asyncio.create_task(memory.take(third, 5))
        await settle()
        assert not last.done()
        memory.release(first)
        await asyncio.wait_for(last, 5)

    asyncio.run(main())


def test_what_waits_to_be_written_counts() -> None:
    """While the journal is behind by more than the bound nobody reads on; when it has written, all look again."""

    async def main() -> None:
        backlog = 11
        memory = ReadingMemory(10)
        memory.count_backlog(lambda: backlog)
        taking = asyncio.create_task(memory.take(object(), 5))
        await settle()
        assert not taking.done()
        backlog = 0
        memory.wake()
        await asyncio.wait_for(taking, 5)

    asyncio.run(main())


def test_what_is_kept_of_a_body_counts_beyond_its_free_bytes() -> None:
    """It may be counted again and again as it grows, and waits where there is no room."""

    class Response:
        headers: dict[str, str] = {}  # noqa: RUF012

    async def main() -> None:
        memory, response = ReadingMemory(10), Response()
        other = object()
        await memory.take(other, 4)
        any_response: Any = response
        body = OpenBody(any_response, 100, memory, object())
        for size in (FREE_BYTES, FREE_BYTES + 2, FREE_BYTES + 6, FREE_BYTES + 6):
            await asyncio.wait_for(body.count(size), 5)
        counting = asyncio.create_task(body.count(FREE_BYTES + 7))
        await settle()
        assert not counting.done()
        memory.release(other)
        await asyncio.wait_for(counting, 5)

    asyncio.run(main())
