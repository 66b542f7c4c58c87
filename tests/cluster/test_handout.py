"""The rows of a run, handed to its workers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from batchchat.cluster import handout as handout_module
from batchchat.cluster.assignment import RowsHanded, RowsWanted
from batchchat.cluster.handed_row import unpacked
from batchchat.cluster.handout import Handout
from batchchat.core.conversation import BadRow, Key
from batchchat.core.row_history import CANCELLED, SENT
from batchchat.dispatch.work import Work
from batchchat.errors import InputError
from batchchat.execution.feed import Feed
from batchchat.execution.input_total import InputTotal
from batchchat.execution.scripts import scripts_for
from batchchat.execution.tasks import ResumeRules, RowTask, tasks
from batchchat.pricing.for_job import rates_for
from batchchat.store.ledger import Ledger
from tests.execution.opened import opened
from tests.job.given import MOCK, load

JOB = load(MOCK)
SCRIPTS = scripts_for(JOB, rates_for(JOB))
ROWS = [{"id": f"{n}", "prompt": "Hi"} for n in range(10)]


def never() -> bool:
    """Nothing stops the search for a row."""
    return False


async def room() -> None:
    """There always is."""


class Handed:
    """The rows of an input, handed to workers of `partitions` partitions, two at a time."""

    def __init__(
        self,
        folder: Path,
        *rows: Any,
        partitions: int = 2,
        limit: int | None = None,
        breaks_after: int | None = None,
    ) -> None:
        self.ledger = Ledger(folder)
        source = opened(folder, *rows)

        def read() -> Iterator[RowTask | BadRow]:
            yield from islice(tasks(source, SCRIPTS, self.ledger.index, ResumeRules()), breaks_after)
            if breaks_after is not None:
                raise InputError("gone")

        self.feed = Feed(
            read(),
            self.ledger,
            lambda _: None,
            InputTotal(source),
            limit=limit,
            unsendable=None,
        )
        self.handout = Handout(self.feed, partitions, 2, room)

    async def works(self, number: int, count: int) -> list[Work]:
        handed = await self.handout.hand(number, RowsWanted(count, 0), never)
        assert handed.is_last is not bool(handed.rows)
        return [unpacked(row, SCRIPTS) for row in handed.rows]

    async def ids(self, number: int, count: int) -> list[str]:
        return [work.script.row.key.id for work in await self.works(number, count)]


def test_each_row_is_one_workers(tmp_path: Path) -> None:
    """In the order of the input, and each worker gets as many as it asks for."""

    async def play() -> None:
        handed = Handed(tmp_path, *ROWS)
        assert [await handed.handout.begin(never) for _ in range(3)] == [0, 1, None]
        assert await handed.ids(1, 4) == ["1", "2", "3", "4"]
        assert await handed.ids(0, 2) == ["0", "5"]
        assert await handed.ids(0, 99) == ["6", "7", "8", "9"]
        assert await handed.ids(0, 1) == await handed.ids(1, 1) == []
        assert handed.feed.exhausted

    asyncio.run(play())


def test_the_last_rows_are_handed_to_who_waits(tmp_path: Path) -> None:
    """A worker has ahead at most half of its even part of what is left, by the input or by the limit."""

    async def play() -> None:
        for limit, first in ((None, 4), (6, 2)):
            handed = Handed(tmp_path, *[{**ROWS[0], "id": f"{n}"} for n in range(16)], limit=limit)
            await handed.handout.begin(never)
            rows = await handed.handout.hand(0, RowsWanted(1, 9), never)
            assert (len(rows.rows), rows.max_ahead) == (first, first - 1)
        for count in (1, 0):
            rows = await handed.handout.hand(0, RowsWanted(0, 9), never)
            assert (len(rows.rows), rows.max_ahead, rows.is_last) == (count, count, False)
        assert await handed.ids(0, 9) == ["3", "4", "5"]
        assert await handed.handout.hand(0, RowsWanted(1, 5), never) == RowsHanded([], is_last=True, max_ahead=0)

    asyncio.run(play())


def test_a_partition_begins_only_where_there_is_a_row(tmp_path: Path) -> None:
    """What can't be sent is recorded meanwhile."""

    async def play() -> None:
        handed = Handed(tmp_path, "{", ROWS[0], "{")
        assert [await handed.handout.begin(never) for _ in range(2)] == [0, None]
        assert await handed.ids(0, 5) == ["0"]
        limited = Handed(tmp_path, *ROWS, limit=1)
        assert [await limited.handout.begin(never) for _ in range(2)] == [0, None]

    asyncio.run(play())


def test_partitions_have_equal_parts(tmp_path: Path) -> None:
    """A worker that has had its part of the rows gets none, and the next partition has those that come then."""

    async def play() -> None:
        handed = Handed(tmp_path, *ROWS, partitions=5)
        assert [await handed.handout.begin(never) for _ in range(2)] == [0, 1]
        assert await handed.ids(0, 9) == ["0", "2"]
        assert await handed.ids(0, 9) == []
        assert await handed.handout.begin(never) == 2
        assert await handed.ids(2, 9) == ["3", "4"]
        handed.handout.close()
        assert await handed.handout.begin(never) is None

    asyncio.run(play())


def test_what_a_worker_leaves_is_its_partitions_next_ones(tmp_path: Path) -> None:
    """First of all, with what was recorded of it; a row that was being sent again may have been billed."""

    async def play() -> None:
        handed = Handed(tmp_path, *ROWS)
        for _ in range(2):
            await handed.handout.begin(never)
        assert await handed.ids(0, 4) == ["0", "2", "3", "4"]
        assert await handed.ids(1, 1) == ["1"]
        two = handed.handout._handed[Key("2")].work
        step = {"kind": "step", "id": "2", "variant": "", "sample": 0, "fp": f"{two.script.identity:016x}"}
        handed.ledger.apply(0, {**step, "why": "timeout", "attempts": 1, "possibly_billed": 1, "writer": 1})
        handed.ledger.apply(1, {**step, "why": SENT, "writer": 1})
        handed.handout.finished(Key("3"))
        handed.handout.ended(0, 1)
        works = await handed.works(0, 4)
        assert [work.script.row.key.id for work in works] == ["0", "2", "4", "5"]
        assert works[1].history.billed == {"timeout": 1, CANCELLED: 1}
        assert works[1].spend.possibly_billed == 1
        handed.handout.ended(0, 2)
        assert await handed.ids(0, 3) == ["0", "2", "4"]
        assert await handed.ids(1, 1) == ["6"]

    asyncio.run(play())


def test_long_rows_go_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At least one, however long it is."""
    monkeypatch.setattr(handout_module, "_MAX_BYTES", 3000)

    async def play() -> None:
        handed = Handed(tmp_path, *({**row, "prompt": "x" * 2000} for row in ROWS))
        await handed.handout.begin(never)
        assert [await handed.ids(0, 9) for _ in range(2)] == [["0", "1"], ["2", "3"]]

    asyncio.run(play())


def test_an_input_that_breaks_is_no_end(tmp_path: Path) -> None:
    """What was read is sent, by the worker that has it or by its next one; then each that asks for more hears of it."""

    async def play() -> None:
        handed = Handed(tmp_path, *ROWS, breaks_after=6)
        for _ in range(2):
            await handed.handout.begin(never)
        assert await handed.ids(0, 9) == ["0", "2", "3", "4", "5"]
        assert await handed.ids(1, 1) == ["1"]
        for number in range(2):
            with pytest.raises(InputError, match="gone"):
                await handed.works(number, 4)
        assert not handed.feed.exhausted
        handed.handout.ended(0, 1)
        assert await handed.ids(0, 9) == ["0", "2", "3", "4", "5"]

    asyncio.run(play())


def test_rows_that_are_rare_are_handed_over_as_they_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker has all of them, and none waits for the end of the input while there is one."""
    monkeypatch.setattr(handout_module, "_SEARCH_S", 0.0)

    async def play() -> None:
        rare = [{**ROWS[0], "id": f"{n}", **({} if n % 100 == 0 else {"prompt": ""})} for n in range(1000)]
        handed = Handed(tmp_path, *rare)
        for _ in range(2):
            await handed.handout.begin(never)
        read = list[int]()
        for number in (0, 1, 0, 1):
            assert len(await handed.ids(number, 9)) == 1
            read.append(handed.feed.rows_read)
        assert read == [101, 101, 201, 301]

    asyncio.run(play())


def test_nothing_is_handed_over_where_the_run_is_over(tmp_path: Path) -> None:
    """A worker that asks then hears that there is no more, though the input is not at its end."""

    async def play() -> None:
        handed = Handed(tmp_path, *ROWS)
        await handed.handout.begin(never)
        assert (await handed.handout.hand(0, RowsWanted(4, 0), lambda: True)).is_last
        ends = [handed.handout.is_at_end]
        assert await handed.ids(0, 20) == [f"{n}" for n in range(10)]
        assert await handed.ids(0, 1) == []
        assert [*ends, handed.handout.is_at_end] == [False, True]
        limited = Handed(tmp_path, *ROWS, limit=1)
        await limited.handout.begin(never)
        assert limited.handout.is_at_end

    asyncio.run(play())
