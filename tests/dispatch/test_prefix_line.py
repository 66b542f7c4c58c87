"""The gate with `affinity: prefix`: who goes next is who an endpoint has the beginning of; nobody is forgotten."""

from __future__ import annotations

import asyncio

import pytest

from batchchat.core.attempt import MaxUsage, Request
from batchchat.core.conversation import Key
from batchchat.dispatch import prefix_line
from batchchat.dispatch.gate import Closed, Gate
from batchchat.dispatch.lane import Lane
from batchchat.dispatch.prefix_line import PrefixLine, look_ahead
from batchchat.policy.concurrency import Concurrency
from batchchat.policy.decision import Halt
from tests import virtual_time
from tests.dispatch.made import accepted

MAX_USAGE = MaxUsage()


def request(name: str) -> Request:
    """The row `a1` has the context `a` and the question 1."""
    messages = [{"role": "system", "content": name[0]}, {"role": "user", "content": name}]
    return Request(Key(name), 0, "m", messages, b"x" * 100, 1)


class Rows:
    """Rows that ask for a permit; `went` are those that got one, with the lane."""

    def __init__(self, *ceilings: int) -> None:
        self.lanes = [Lane((Concurrency(ceiling),), name=str(number)) for number, ceiling in enumerate(ceilings)]
        self.went: list[tuple[str, str]] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.gate = Gate((), virtual_time.now, self._stopped, self.lanes, line=PrefixLine(self.lanes))

    def _stopped(self, halt: Halt) -> None:
        raise AssertionError(halt)

    async def ask(self, *names: str, again: bool = False) -> None:
        for name in names:
            self.tasks.append(asyncio.create_task(self._wait(name, again)))
        await idle()

    async def _wait(self, name: str, again: bool) -> None:
        lane = await self.gate.acquire(MAX_USAGE, again=again, request=request(name))
        self.went.append((name, lane.name))

    async def answer(self, name: str) -> None:
        lane = next(lane for went, lane in reversed(self.went) if went == name)
        self.gate.release(MAX_USAGE, accepted(request(name)), lane=self.lanes[int(lane)])
        await idle()


async def idle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_free_slot_is_given_what_goes_on_where_it_is() -> None:
    async def main() -> list[str]:
        rows = Rows(1)
        await rows.ask("a1", "b1", "a2", "b2", "a3")
        for name in ("a1", "a2", "a3", "b1"):
            await rows.answer(name)
        return [name for name, _ in rows.went]

    assert virtual_time.run(main()) == ["a1", "a2", "a3", "b1", "b2"]


def test_each_endpoint_goes_on_with_its_own() -> None:
    async def main() -> list[tuple[str, str]]:
        rows = Rows(1, 1)
        await rows.ask("a1", "b1", "b2", "a2", "b3", "a3")
        for name in ("b1", "a1", "a2", "b2"):
            await rows.answer(name)
        return rows.went

    went = virtual_time.run(main())
    assert sorted(name for name, _ in went) == ["a1", "a2", "a3", "b1", "b2", "b3"]
    assert len({(name[0], lane) for name, lane in went}) == 2


def test_what_failed_goes_before_and_to_where_it_was() -> None:
    """Where there is room; and to another endpoint where that has much less to do."""

    async def main() -> list[tuple[str, str]]:
        rows = Rows(9, 9)
        await rows.ask("a1", "b1")
        await rows.ask("a1", again=True)
        await rows.ask(*(f"a{number}" for number in range(2, 9)), again=True)
        return rows.went

    went = virtual_time.run(main())
    lane_of_a = went[0][1]
    assert went[2] == ("a1", lane_of_a)
    assert [lane for _, lane in went[2:]].count(lane_of_a) < 7


def test_a_row_that_is_cancelled_waits_no_more() -> None:
    async def main() -> tuple[list[str], int]:
        rows = Rows(1)
        await rows.ask("a1", "a2", "b1")
        rows.tasks[1].cancel()
        await idle()
        waiting = rows.gate.waiting
        await rows.answer("a1")
        return [name for name, _ in rows.went], waiting

    assert virtual_time.run(main()) == (["a1", "b1"], 1)


def test_a_closed_gate_turns_all_away() -> None:
    async def main() -> None:
        rows = Rows(1)
        await rows.ask("a1", "a2", "b1")
        rows.gate.close()
        await idle()
        assert rows.gate.waiting == 0
        for task in rows.tasks[1:]:
            with pytest.raises(Closed):
                await task

    virtual_time.run(main())


def test_no_more_rows_are_taken_than_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefix_line, "_MAX_BYTES", 250)

    async def main() -> list[bool]:
        rows, states = Rows(1), []
        for name in ("a1", "a2", "a3", "a4"):
            await rows.ask(name)
            room = asyncio.create_task(rows.gate.room())
            await idle()
            states.append(room.done())
        await rows.answer("a1")
        await idle()
        states.append(room.done())
        return states

    assert virtual_time.run(main()) == [True, True, True, False, True]


def test_how_many_rows_wait_depends_on_how_many_are_in_flight() -> None:
    assert [look_ahead(concurrency) for concurrency in (1, 200, 10_000)] == [500, 800, 10_000]
