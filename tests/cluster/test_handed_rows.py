"""What a worker takes its rows from: it asks the run for them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from batchchat.cluster import handed_rows
from batchchat.cluster.assignment import RowsHanded, RowsWanted
from batchchat.cluster.handed_row import packed, unpacked
from batchchat.cluster.handed_rows import HandedRows
from batchchat.core.conversation import Key, Row
from batchchat.core.row_history import AcceptedReply, RowHistory
from batchchat.dispatch.work import Work
from batchchat.execution.scripts import scripts_for
from batchchat.pricing.for_job import rates_for
from batchchat.sources.json_value import parse_object
from tests.acceptance.job import PATIENCE_S
from tests.job.given import MOCK, load

JOB = load(MOCK)
SCRIPTS = scripts_for(JOB, rates_for(JOB))


def handed(*numbers: int) -> list[bytes]:
    """The rows with these numbers, as they come from the run."""
    rows = (Row(Key(f"{n}"), n, f"in:{n}", [{"role": "user", "content": "Hi"}]) for n in numbers)
    return [packed(Work(SCRIPTS.script_for(row, SCRIPTS.expansion.variant_of(row.key)), 0.0), []) for row in rows]


class Worker:
    """The rows of one, what it has asked for, and the ids of what it has taken."""

    def __init__(self) -> None:
        self.asked: list[RowsWanted] = []
        self.ids: list[str | None] = []
        self.is_stopped = False
        self.now = 0.0
        self.refused: set[str] = set()
        self.rows = HandedRows(SCRIPTS, self.asked.append, self.is_refused, lambda: self.now)

    def is_refused(self, work: Work) -> bool:
        return work.script.row.key.id in self.refused

    async def take(self) -> None:
        work = await self.rows.take(lambda: self.is_stopped)
        self.ids.append(None if work is None else work.script.row.key.id)

    async def answered(self, *numbers: int) -> None:
        """Take a row, for which it has to wait until the run hands it these."""
        taking = asyncio.create_task(self.take())
        await settle()
        self.rows.hear(RowsHanded(handed(*numbers)))
        await taking
        await settle()


def play(scene: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scene, PATIENCE_S))


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_it_asks_once_for_all_who_wait() -> None:
    """And again for those who got none, until there are no more."""

    async def scene() -> None:
        worker = Worker()
        async with asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(worker.take())
            await settle()
            assert worker.asked == [RowsWanted(5, 0)]
            worker.rows.hear(RowsHanded(handed(0, 1, 2), max_ahead=0))
            await settle()
            assert (worker.ids, worker.asked[1:]) == (["0", "1", "2"], [RowsWanted(2, 0)])
            worker.rows.hear(RowsHanded((), is_last=True))
        assert worker.ids == ["0", "1", "2", None, None]
        assert worker.rows.taken == 3
        assert await worker.rows.at_end()
        assert len(worker.asked) == 2

    play(scene())


def test_it_has_rows_ahead() -> None:
    """As many as it takes in two seconds, and the run allows: it asks for others when half of them are taken."""

    async def scene() -> None:
        worker = Worker()
        await worker.answered(0, 1, 2)
        for _ in range(2):
            await worker.take()
        worker.now = 1.5
        await worker.answered(3, 4, 5, 6, 7)
        assert worker.asked == [RowsWanted(1, 0), RowsWanted(1, 4)]
        await worker.take()
        await settle()
        assert len(worker.asked) == 2  # three of four are there still
        worker.now = 2.0
        await worker.take()
        await worker.take()
        await settle()
        assert worker.asked[2:] == [RowsWanted(0, 15, 1)]  # four rows in half a second, and one is there
        worker.rows.hear(RowsHanded(handed(8), max_ahead=1))
        await worker.take()
        await settle()
        assert len(worker.asked) == 3
        await worker.take()
        await settle()
        assert worker.asked[3:] == [RowsWanted(0, 1)]
        worker.rows.hear(RowsHanded((), is_last=True))
        await worker.take()
        assert worker.ids[-2:] == ["8", None]

    play(scene())


def test_long_rows_are_not_hoarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """None is asked for ahead while those that are there have so many bytes."""
    monkeypatch.setattr(handed_rows, "_MAX_BYTES_AHEAD", 2 * len(handed(0)[0]))

    async def scene() -> None:
        worker = Worker()
        await worker.answered(0, 1, 2)
        for _ in range(2):
            await worker.take()
        worker.now = 0.01
        await worker.answered(3, 4, 5)
        assert worker.asked[1:] == [RowsWanted(1, 256)]
        await worker.take()
        await settle()
        assert worker.asked[2:] == [RowsWanted(0, 255, 1)]

    play(scene())


def test_who_waits_is_woken_where_nothing_is_sent_any_more() -> None:
    """By the run, or since this worker has stopped; what is handed over then stays where it is."""

    async def scene() -> None:
        for is_own in (False, True):
            worker = Worker()
            async with asyncio.TaskGroup() as group:
                for _ in range(3):
                    group.create_task(worker.take())
                await settle()
                worker.is_stopped = is_own
                worker.rows.wake() if is_own else worker.rows.end()
            assert worker.ids == [None] * 3
            worker.rows.hear(RowsHanded(handed(7)))
            assert not await worker.rows.at_end()

    play(scene())


def test_a_row_without_an_attempt_left_is_not_given() -> None:
    """It counts as taken, and as finished without being sent."""

    async def scene() -> None:
        worker = Worker()
        worker.refused = {"0", "2"}
        await worker.answered(0, 1, 2)
        taking = asyncio.create_task(worker.take())
        await settle()
        worker.rows.hear(RowsHanded((), is_last=True))
        await taking
        assert (worker.ids, worker.rows.taken, worker.rows.kept) == (["1", None], 3, 2)

    play(scene())


def test_whether_all_was_sent_is_for_the_run_to_say() -> None:
    async def scene() -> None:
        for last in (True, False):
            worker = Worker()
            asking = asyncio.create_task(worker.rows.at_end())
            await settle()
            assert worker.asked == [RowsWanted(1, 0)]
            worker.rows.hear(RowsHanded(() if last else handed(0), is_last=last))
            assert await asking is last

    play(scene())


def test_a_row_arrives_as_it_was() -> None:
    """With all its numbers as they are written, what it has used up, and the answers that it has to its first turns."""
    job = load(f"{MOCK}matrix: {{params.temperature: [0, 1]}}\nsamples: 2\nexpect: {{matches: y.s}}\n")
    scripts = scripts_for(job, rates_for(job))
    carried = parse_object(b'{"big": 12345678901234567890123, "x": 1.10, "nan": NaN, "t": {"y": [null, "\\u00e9"]}}')
    row = Row(
        Key("a"),
        3,
        "in.jsonl:4",
        [{"role": "user", "content": "One"}],
        params={"seed": 7},
        passthrough=carried,
        turns=({"role": "user", "content": "Two"},),
    )
    reply = AcceptedReply({"text": "yes", "finish_reason": "stop"}, {"prompt_tokens": 3, "completion_tokens": 1}, 5.0)
    for expanded, variant in scripts.expansion.rows(row):
        script = scripts.script_for(expanded, variant)
        work = Work(script, 0.0, history=RowHistory({"timeout": 1}, failed=True, accepted={0: reply}))
        copy = unpacked(packed(work, [reply]), scripts)
        assert repr(copy.script.row) == repr(expanded)  # NaN is not equal to itself
        assert (copy.script.identity, copy.history, copy.spend) == (script.identity, work.history, work.spend)
        (attempt,) = copy.attempts
        assert attempt.reply is not None
        assert attempt.reply.text == "yes"
        request = script.next([attempt])
        assert request == copy.script.next(copy.attempts)
        assert getattr(request, "step", None) == 1
