"""The gate never lets in more than its policies allow, forgets nobody, and lets nobody overtake."""

from __future__ import annotations

import asyncio
import random

import pytest
import uvloop

from batchchat.core.attempt import Attempt, MaxUsage
from batchchat.dispatch.gate import Closed, Gate
from batchchat.policy.concurrency import Concurrency
from batchchat.policy.decision import ADMIT, Decision, Delay, Halt, Policy
from tests import virtual_time
from tests.dispatch.made import accepted, refused
from tests.dispatch.made import request as sent

MAX_USAGE = MaxUsage()


class Scripted:
    """A policy that answers what it is told to, and counts what it was told."""

    def __init__(self, answer: Decision = ADMIT) -> None:
        self.answer = answer
        self.held = 0
        self.settled: list[Attempt | None] = []

    def check(self, now: float, max_usage: MaxUsage) -> Decision:
        return self.answer

    def acquire(self, now: float, max_usage: MaxUsage) -> None:
        self.held += 1

    def release(self, now: float, max_usage: MaxUsage, attempt: Attempt | None, record: int | None = None) -> None:
        self.settled.append(attempt)


def gate(*policies: Policy) -> tuple[Gate, list[Halt]]:
    stops: list[Halt] = []
    return Gate(policies, virtual_time.now, stops.append), stops


async def idle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class Line:
    """Tasks that ask for a permit, and the order in which they got it."""

    def __init__(self, through: Gate) -> None:
        self.gate = through
        self.order: list[str] = []

    async def join(self, name: str, *, again: bool = False) -> asyncio.Task[None]:
        async def wait() -> None:
            await self.gate.acquire(MAX_USAGE, again=again)
            self.order.append(name)

        task = asyncio.create_task(wait())
        await idle()
        return task


def test_who_waited_longest_goes_first_and_retries_before_fresh_rows() -> None:
    """Of fresh rows and of retries the first goes first; a retry overtakes fresh rows and no other retry."""

    async def main() -> list[str]:
        through, _ = gate(Concurrency(1))
        await through.acquire(MAX_USAGE)
        line = Line(through)
        tasks = [await line.join(name, again=name.startswith("again")) for name in ("a", "b", "again1", "again2", "c")]
        for _ in tasks:
            through.release(MAX_USAGE, None)
            await idle()
        return line.order

    assert virtual_time.run(main()) == ["again1", "again2", "a", "b", "c"]


def test_after_a_failure_new_rows_go_before_the_next_retry() -> None:
    """Seven of them, as long as nothing but failures comes back; an answer gives the retries their turn again."""

    async def main() -> list[str]:
        through, _ = gate(Concurrency(1, adaptive=False))
        await through.acquire(MAX_USAGE)
        line = Line(through)
        names = [f"again{number}" for number in range(5)] + [f"new{number}" for number in range(16)]
        for name in names:
            await line.join(name, again=name.startswith("again"))
        for request in range(len(names)):
            is_answered = request in {0, 1, 18}
            through.release(MAX_USAGE, accepted(sent("a")) if is_answered else refused(sent("a")))
            await idle()
        return line.order

    assert virtual_time.run(main()) == [
        *("again0", "again1"),
        *(f"new{number}" for number in range(7)),
        "again2",
        *(f"new{number}" for number in range(7, 14)),
        "again3",
        *("again4", "new14", "new15"),
    ]


def test_a_permit_that_gets_free_is_not_snatched_from_who_waits() -> None:
    """One that settles and asks again at once stands behind the one that waited, so nobody starves."""

    async def main() -> list[str]:
        through, _ = gate(Concurrency(1))
        await through.acquire(MAX_USAGE)
        line = Line(through)
        waiting = await line.join("waited")
        through.release(MAX_USAGE, None)
        again = asyncio.create_task(through.acquire(MAX_USAGE))  # before the one that waited could run
        await idle()
        assert not again.done()
        through.release(MAX_USAGE, None)
        await asyncio.gather(waiting, again)
        return line.order

    assert virtual_time.run(main()) == ["waited"]


def test_a_cancelled_waiter_is_forgotten() -> None:
    """Cancelled in the same moment in which a permit gets free, it breaks nothing and its turn goes on."""

    async def main() -> tuple[list[str], int]:
        through, _ = gate(Concurrency(1))
        await through.acquire(MAX_USAGE)
        line = Line(through)
        first, second = await line.join("first"), await line.join("second")
        first.cancel()
        through.release(MAX_USAGE, None)
        results = await asyncio.gather(first, second, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        return line.order, through.in_flight

    assert virtual_time.run(main()) == (["second"], 1)


def test_a_permit_given_to_one_that_is_cancelled_goes_on() -> None:
    """A waiter that was let in and cancelled before it could run gives its permit to the next."""

    async def main() -> tuple[list[str], int]:
        through, _ = gate(Concurrency(1))
        await through.acquire(MAX_USAGE)
        line = Line(through)
        first, second = await line.join("first"), await line.join("second")
        through.release(MAX_USAGE, None)
        first.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        return line.order, through.in_flight

    assert virtual_time.run(main()) == (["second"], 1)


def test_closing_turns_everybody_away() -> None:
    """Who waits, who comes later and who was just let in and has not run are told so; no permit is kept."""

    async def main() -> int:
        through, _ = gate(Concurrency(1))
        await through.acquire(MAX_USAGE)
        line = Line(through)
        tasks = [await line.join("let in"), await line.join("waits"), await line.join("again", again=True)]
        through.release(MAX_USAGE, None)
        through.close()
        results = await asyncio.gather(*tasks, through.acquire(MAX_USAGE), return_exceptions=True)
        assert [type(result) for result in results] == [Closed] * 4
        assert line.order == []
        return through.in_flight

    assert virtual_time.run(main()) == 0


def test_a_wait_in_seconds_ends_by_itself() -> None:
    """A policy that says when to ask again is asked then, though nothing settles."""

    async def main() -> float:
        slow = Scripted(Delay(0.05))
        through, _ = gate(slow)
        asyncio.get_running_loop().call_later(0.12, setattr, slow, "answer", ADMIT)
        start = virtual_time.now()
        await asyncio.gather(*(through.acquire(MAX_USAGE) for _ in range(3)))
        assert slow.held == through.in_flight == through.max_in_flight == 3
        return virtual_time.now() - start

    assert virtual_time.run(main()) == pytest.approx(0.15)


def test_a_wait_may_be_shorter_than_the_loop_can_tell() -> None:
    """There is no timer of uvloop for what is due within half a millisecond."""

    async def main() -> int:
        slow = Scripted(Delay(0.0001))
        through = Gate([slow], asyncio.get_running_loop().time, lambda _halt: None)
        tasks = [asyncio.create_task(through.acquire(MAX_USAGE)) for _ in range(3)]
        for _ in range(3):
            await asyncio.sleep(0)
        slow.answer = ADMIT
        await asyncio.gather(*tasks)
        return through.in_flight

    assert uvloop.run(main()) == 3


def test_the_next_in_line_is_asked_when_the_head_goes_away() -> None:
    """A small request behind one that may not go is let in when that one is cancelled."""

    class Small(Scripted):
        def check(self, now: float, max_usage: MaxUsage) -> Decision:
            return Delay() if max_usage.prompt_tokens else ADMIT

    async def main() -> None:
        through, _ = gate(Small())
        large = asyncio.create_task(through.acquire(MaxUsage(prompt_tokens=9)))
        await idle()
        small = asyncio.create_task(through.acquire(MAX_USAGE))
        await idle()
        assert not small.done()
        large.cancel()
        await asyncio.wait_for(small, 1)
        assert large.cancelled()

    virtual_time.run(main())


def test_all_policies_admit_or_none_holds() -> None:
    """A policy that would let a request go holds nothing while another refuses, and hears of each end."""

    async def main() -> None:
        willing, unwilling = Scripted(), Scripted(Delay())
        through, _ = gate(willing, unwilling)
        task = asyncio.create_task(through.acquire(MAX_USAGE))
        await idle()
        assert (willing.held, unwilling.held) == (0, 0)
        unwilling.answer = ADMIT
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await through.acquire(MAX_USAGE)
        through.release(MAX_USAGE, None)
        assert (willing.held, unwilling.held) == (1, 1)
        assert willing.settled == unwilling.settled == [None]

    virtual_time.run(main())


def test_a_stop_is_told_once_and_closes() -> None:
    """The first Stop is handed on, everybody else is turned away without another word."""

    async def main() -> list[Halt]:
        policy = Scripted(Delay())
        through, stops = gate(policy)
        tasks = [asyncio.create_task(through.acquire(MAX_USAGE)) for _ in range(3)]
        await idle()
        policy.answer = Halt("enough")
        results = await asyncio.gather(through.acquire(MAX_USAGE, again=True), *tasks, return_exceptions=True)
        assert [type(result) for result in results] == [Closed] * 4
        return stops

    assert virtual_time.run(main()) == [Halt("enough")]


@pytest.mark.parametrize("seed", range(8))
def test_no_wakeup_is_lost_under_random_cancels(seed: int) -> None:
    """Hundreds of tasks that come, send, are cancelled and come again all end, and the ceiling always holds."""
    chance = random.Random(seed)
    ceiling = chance.randint(1, 5)

    async def main() -> tuple[int, int]:
        through, _ = gate(Concurrency(ceiling), Scripted())
        ended = 0

        async def one(number: int) -> None:
            nonlocal ended
            await through.acquire(MAX_USAGE, again=number % 3 == 0)
            try:
                assert through.in_flight <= ceiling
                for _ in range(chance.randint(0, 3)):
                    await asyncio.sleep(0)
            finally:
                through.release(MAX_USAGE, None)
            ended += 1

        tasks = []
        cancelled = 0
        for number in range(500):
            tasks.append(asyncio.create_task(one(number)))
            if chance.random() < 0.3:
                cancelled += chance.choice(tasks).cancel()
            if chance.random() < 0.5:
                await asyncio.sleep(0)
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
        assert through.in_flight == 0
        assert through.max_in_flight <= ceiling
        return ended, sum(task.cancelled() for task in tasks)

    ended, cancelled = virtual_time.run(main())
    assert ended + cancelled == 500
    assert ended > 100
