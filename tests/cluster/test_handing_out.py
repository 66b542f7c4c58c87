"""Workers that take rows from a run, and are killed at random."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from batchchat.cluster.assignment import RowsWanted
from batchchat.cluster.handed_rows import HandedRows
from batchchat.cluster.handout import Handout
from batchchat.core.conversation import Key
from batchchat.execution.feed import Feed
from batchchat.execution.input_total import InputTotal
from batchchat.execution.scripts import scripts_for
from batchchat.execution.tasks import ResumeRules, tasks
from batchchat.pricing.for_job import rates_for
from batchchat.store.ledger import Ledger
from tests.acceptance.job import PATIENCE_S
from tests.execution.opened import opened
from tests.job.given import MOCK, load

JOB = load(MOCK)
SCRIPTS = scripts_for(JOB, rates_for(JOB))


def never() -> bool:
    """Nothing stops the search for a row."""
    return False


class Run:
    """Rows that `workers` workers send, in `partitions` partitions. `random` decides who is killed, and when."""

    def __init__(self, folder: Path, random: Random, rows: int, partitions: int, workers: int) -> None:
        self.random = random
        self.workers = workers
        source = opened(folder, *({"id": f"{n}", "prompt": "Hi"} for n in range(rows)))
        ledger, total = Ledger(folder), InputTotal(source)
        feed = Feed(tasks(source, SCRIPTS, ledger.index, ResumeRules()), ledger, lambda _: None, total, unsendable=None)

        async def room() -> None:
            await asyncio.sleep(0)

        self.handout = Handout(feed, partitions, workers, room)
        self.in_flight: set[Key] = set()
        self.sent, self.broken_off, self.finished = Counter[Key](), Counter[Key](), Counter[Key]()
        self.started = 0

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(self.workers):
                group.create_task(self._run_partitions())

    async def _run_partitions(self) -> None:
        while (number := await self.handout.begin(never)) is not None:
            while await self._run_worker(number):
                pass

    async def _run_worker(self, number: int) -> bool:
        """Whether the worker was killed; it has up to four rows in flight at a time."""
        self.started += 1
        asking: list[asyncio.Task[None]] = []
        own = set[Key]()
        is_gone = False

        def ask(wanted: RowsWanted) -> None:
            if not is_gone:
                asking.append(asyncio.create_task(answer(wanted)))

        async def answer(wanted: RowsWanted) -> None:
            handed = await self.handout.hand(number, wanted, never)
            await self._some_turns()
            rows.hear(handed)

        rows = HandedRows(SCRIPTS, ask, lambda _: False)
        slots = [asyncio.create_task(self._send(rows, own)) for _ in range(self.random.randint(1, 4))]
        lives_for = self.random.choice([0, 3, 30, None])
        if lives_for is None:
            await asyncio.wait(slots)
        else:
            await self._some_turns(lives_for)
        is_gone = True
        is_killed = not all(slot.done() for slot in slots)
        for task in [*slots, *asking]:
            task.cancel()
        await asyncio.wait([*slots, *asking])
        self.in_flight -= own
        self.broken_off.update(own)
        self.handout.ended(number, self.started)
        for task in slots:
            assert task.cancelled() or task.exception() is None, task.exception()
        return is_killed

    async def _send(self, rows: HandedRows, own: set[Key]) -> None:
        while (work := await rows.take(never)) is not None:
            key = work.script.row.key
            assert key not in self.in_flight, "two workers have it"
            assert not self.finished[key]
            self.in_flight.add(key)
            own.add(key)
            self.sent[key] += 1
            await self._some_turns()
            self.in_flight.remove(key)
            own.remove(key)
            self.finished[key] += 1
            self.handout.finished(key)

    async def _some_turns(self, most: int = 6) -> None:
        for _ in range(self.random.randint(0, most)):
            await asyncio.sleep(0)


def played(make: Callable[[Path], Run]) -> Run:
    with tempfile.TemporaryDirectory() as folder:
        run = make(Path(folder))
        asyncio.run(asyncio.wait_for(run.run(), PATIENCE_S))
    return run


@settings(deadline=None, max_examples=60)
@given(st.integers(), st.integers(1, 120), st.integers(1, 9), st.integers(1, 4))
def test_each_row_is_sent_once_but_for_kills(seed: int, rows: int, partitions: int, workers: int) -> None:
    """Whoever is killed, and when: a row is one worker's at a time, and sent again only if it was in flight then."""
    partitions = max(partitions, workers)
    run = played(lambda folder: Run(folder, Random(seed), rows, partitions, workers))
    keys = {Key(f"{n}") for n in range(rows)}
    assert run.finished == Counter(keys)
    assert run.sent == run.finished + run.broken_off
