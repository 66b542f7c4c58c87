"""Workers under one lessor in virtual time: their real gates and policies, and a server that counts for itself.

Messages are lost, late, doubled and out of order; workers are cut off, killed and replaced; the parent pauses; clocks
differ. The server checks each limit at each request that comes, by its own count alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from random import Random
from typing import Any

from batchchat.cluster.lease import Lease
from batchchat.cluster.leased_policies import LeasedBudget
from batchchat.cluster.lessor import LeaseTerms, Lessor
from batchchat.cluster.messages import Ask, Grant
from batchchat.core.attempt import Action, Attempt, Billed, Cost, MaxUsage, Request, Scope, Usage, Verdict
from batchchat.core.conversation import ErrorKind, Key
from batchchat.core.uncertain_cost import UncertainCost
from batchchat.dispatch.gate import Closed, Gate
from batchchat.policy.budget import PriceRatio
from batchchat.policy.concurrency import Concurrency
from batchchat.policy.decision import Halt
from batchchat.policy.spend_holds import HoldLevel, SpendHolds
from batchchat.policy.token_bucket import Bucket
from tests import virtual_time

__all__ = ["Faults", "SimulatedRow", "Simulation", "rows"]

PRICE = "p"
USD_PER_TOKEN = Decimal("0.00001")
NO_USD = Decimal(0)
NOTHING_LEARNED = PriceRatio(PRICE)
ANSWERED, MAYBE, REFUSED = (
    Verdict(Action.ACCEPT, billed=Billed.YES),
    Verdict(Action.FAIL_ROW, billed=Billed.MAYBE, kind=ErrorKind.CONNECTION),
    Verdict(Action.RETRY, Scope.ENDPOINT, Billed.NO, ErrorKind.RATE_LIMIT),
)
LATENCY_S = 0.005
SYNC_S = 0.004


def computed(model: str, usage: Usage) -> Decimal | None:
    return None if usage.total_tokens is None else usage.total_tokens * USD_PER_TOKEN


@dataclass(frozen=True)
class SimulatedRow:
    """A row of one request, which takes the server `seconds` and uses `tokens` of at most `max_tokens`.

    It is billed at `ratio` times the price. `refusals` go before the answer; one that `breaks` is billed and not heard
    of.
    """

    seconds: float
    max_tokens: int
    tokens: int
    ratio: Decimal
    refusals: int
    breaks: bool

    @property
    def cost_usd(self) -> Decimal:
        return self.tokens * USD_PER_TOKEN * self.ratio


def rows(
    random: Random,
    count: int,
    *,
    seconds: float = 1.0,
    max_tokens: int = 100,
    used: float = 0.5,
    ratio: str = "1",
    refused: float = 0.05,
    broken: float = 0.05,
) -> list[SimulatedRow]:
    """`count` rows of all sizes up to `max_tokens` and `seconds`, of which they use the share `used`.

    What is charged for a request before its answer is half of what it may use: with that share, no tokens are charged
    too much or too little, but for those of requests that are `refused`.
    """
    result = []
    for _ in range(count):
        tokens = 2 * random.randint(1, max(1, max_tokens // 2))
        result.append(
            SimulatedRow(
                seconds=seconds * random.choice((0.05, 0.3, 1.0)),
                max_tokens=tokens,
                tokens=round(tokens * used),
                ratio=Decimal(ratio),
                refusals=int(random.random() < refused),
                breaks=random.random() < broken,
            )
        )
    return result


@dataclass(frozen=True)
class Faults:
    """What goes wrong until `until`, in seconds; all is well afterwards. Probabilities are for each message."""

    until: float = 0.0
    lost: float = 0.0
    doubled: float = 0.0
    max_delay_s: float = 0.001
    kills: int = 0
    cuts: int = 0
    pauses: int = 0
    clocks_differ: bool = False
    exits_are_noticed: bool = True


class Server:
    """Counts what it serves. With `max_overdraft` a request may use so many tokens more than the bucket holds."""

    def __init__(self, terms: LeaseTerms, max_overdraft: float) -> None:
        self.terms = terms
        self.max_overdraft = max_overdraft
        self.in_flight = self.max_in_flight = self.served = 0
        self.tokens = 0
        self.billed_usd = self.in_flight_usd = NO_USD
        self.busy_s: dict[str, float] = {}
        self._requests = self._bucket(terms.requests_per_minute)
        self._tokens = self._bucket(terms.tokens_per_minute)

    @staticmethod
    def _bucket(per_minute: float | None) -> Bucket | None:
        return None if per_minute is None else Bucket(per_minute)

    def start(self, worker: str, row: SimulatedRow) -> Callable[[bool], None]:
        """A request comes. To be called when it has ended, with whether it is billed."""
        now, cost_usd = virtual_time.now(), row.cost_usd
        self.in_flight += 1
        self.in_flight_usd += cost_usd
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        assert self.in_flight <= self.terms.slots, f"{self.in_flight} in flight"
        if self._requests is not None:
            self._requests.take(now, 1)
            assert self._requests.level(now) >= -0.01, f"{-self._requests.level(now)} requests too many"
        if self._tokens is not None:
            self._tokens.take(now, row.tokens)
            assert self._tokens.level(now) >= -0.01 - self.max_overdraft, f"{-self._tokens.level(now)} tokens too many"
        if self.terms.max_cost_usd is not None:
            assert self.billed_usd + self.in_flight_usd <= self.terms.max_cost_usd, "over the budget"

        def end(is_billed: bool) -> None:
            self.in_flight -= 1
            self.in_flight_usd -= cost_usd
            self.billed_usd += cost_usd if is_billed else NO_USD
            self.served += 1
            self.tokens += row.tokens
            self.busy_s[worker] = self.busy_s.get(worker, 0.0) + virtual_time.now() - now

        return end


@dataclass
class Journal:
    """What a worker's folder keeps over its incarnations; what is not synced at a kill is lost."""

    left: deque[SimulatedRow]
    paid_usd: Decimal = NO_USD
    maybe_usd: Decimal = NO_USD
    at_risk_usd: Decimal = NO_USD
    hold_usd: Decimal = NO_USD
    learned: PriceRatio = NOTHING_LEARNED
    records: int = 0
    unsynced: deque[tuple[int, Callable[[], None]]] = field(default_factory=deque)

    def append(self, apply: Callable[[], None]) -> int:
        self.records += 1
        self.unsynced.append((self.records, apply))
        return self.records

    def sync(self, number: int) -> None:
        while self.unsynced and self.unsynced[0][0] <= number:
            self.unsynced.popleft()[1]()

    def replay(self) -> None:
        self.unsynced.clear()
        self.at_risk_usd += self.hold_usd
        self.hold_usd = NO_USD


class Worker:
    """One incarnation: its lease, its gate, and as many tasks as may be in flight."""

    def __init__(self, simulation: Simulation, name: str, incarnation: int, journal: Journal) -> None:
        self.name = name
        self._simulation = simulation
        self._incarnation = incarnation
        self._journal = journal
        random, terms = simulation.random, simulation.terms
        differ = simulation.faults.clocks_differ
        self._clock_at, self._clock_rate = (
            (random.uniform(-1e6, 1e6), random.uniform(0.996, 1.004)) if differ else (0.0, 1.0)
        )
        self.lease = Lease(
            name,
            incarnation,
            requests_per_minute=terms.requests_per_minute,
            tokens_per_minute=terms.tokens_per_minute,
            budget=self._budget(),
        )
        self.lease.wake = self._ask_in_time
        self._timer: asyncio.TimerHandle | None = None
        self._holds = SpendHolds(self._hold)
        policies = [Concurrency(terms.slots, adaptive=False), *self.lease.policies]
        if self._leased_budget is not None:
            policies += [self._leased_budget, self._holds]
        self.halted = False
        self.gate = Gate(policies, self.clock, self._halt)
        self.queue = deque(journal.left)
        self._open: dict[int, tuple[asyncio.TimerHandle, Callable[[bool], None]]] = {}
        self._last_ask = 0
        self._is_done = False
        self.tasks = [asyncio.ensure_future(self._run())]
        self._ask_in_time()

    def _budget(self) -> LeasedBudget | None:
        journal = self._journal
        self._leased_budget = None
        if self._simulation.terms.max_cost_usd is not None:
            self._leased_budget = LeasedBudget(
                computed,
                paid_usd=journal.paid_usd,
                uncertain=UncertainCost(
                    {PRICE: journal.at_risk_usd}, journal.maybe_usd, {PRICE: journal.learned.max_ratio}
                ),
                learned=journal.learned,
            )
        return self._leased_budget

    def clock(self) -> float:
        return self._clock_at + self._clock_rate * virtual_time.now()

    def _ask_in_time(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        delay_s = self.lease.ask_in_s(self.clock())
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._ask)

    def _halt(self, halt: Halt) -> None:
        assert halt.usd is not None
        self.halted = True

    async def _run(self) -> None:
        work = [asyncio.ensure_future(self._work()) for _ in range(self._simulation.tasks_each)]
        self.tasks += work
        await asyncio.gather(*work)
        await asyncio.sleep(2 * SYNC_S)
        self._hold(HoldLevel(0, NO_USD))  # nothing is in flight any more
        await asyncio.sleep(2 * SYNC_S)
        self._is_done = True
        final = self._ask()
        while self._last_ask < final:  # the last ask gives all back: it must have come
            await asyncio.sleep(0.2)
            self._ask()
        self._stop_asking()
        self._simulation.finished(self)

    def _ask(self) -> int:
        lease, now = self.lease, self.clock()
        ask = lease.last_ask(now) if self._is_done else lease.ask(now, self.gate.waiting, self._simulation.terms.slots)
        self._simulation.send_ask(ask)
        self._ask_in_time()
        return ask.number

    def _stop_asking(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def hear(self, grant: Grant) -> None:
        if self.lease.hear(self.clock(), grant):
            self._last_ask = grant.ask_number
            self.gate.recheck()

    async def _work(self) -> None:
        with suppress(Closed):
            while self.queue:
                row = self.queue.popleft()
                await self._attempts(row)

    async def _attempts(self, row: SimulatedRow) -> None:
        max_usage = MaxUsage(row.max_tokens, 0, row.max_tokens * USD_PER_TOKEN)
        for refusal in range(row.refusals + 1):
            await self.gate.acquire(max_usage, again=refusal > 0)
            is_last = refusal == row.refusals
            await self._served(row if is_last else replace(row, seconds=0.02, tokens=0), is_billed=is_last)
            verdict = REFUSED if not is_last else MAYBE if row.breaks else ANSWERED
            number = self._record(row, verdict)
            self.gate.release(max_usage, self._attempt(row, verdict, max_usage), number)

    async def _served(self, row: SimulatedRow, *, is_billed: bool) -> None:
        loop, answer = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()
        end = self._simulation.server.start(self.name, row)

        def ended() -> None:
            del self._open[id(answer)]
            end(is_billed)
            answer.set_result(None)

        self._open[id(answer)] = (loop.call_later(row.seconds, ended), end)
        await answer
        await asyncio.sleep(LATENCY_S)

    def _attempt(self, row: SimulatedRow, verdict: Verdict, max_usage: MaxUsage) -> Attempt:
        request = Request(Key("1"), 0, "m", [], b"{}", 1, max_usage)
        usage = Usage(total_tokens=0 if verdict is REFUSED else row.tokens)
        cost = Cost(row.cost_usd, "reported") if verdict is ANSWERED else None
        return Attempt(request, verdict, 0, 0, 0, 200, usage=None if verdict is MAYBE else usage, cost=cost)

    def _record(self, row: SimulatedRow, verdict: Verdict) -> int | None:
        if verdict is REFUSED:
            return None
        journal = self._journal

        def apply() -> None:
            journal.left.remove(row)
            if verdict is MAYBE:
                journal.maybe_usd += row.max_tokens * USD_PER_TOKEN
            else:
                journal.paid_usd += row.cost_usd

        return self._append(apply)

    def _hold(self, level: HoldLevel) -> int:
        journal, budget = self._journal, self._leased_budget

        def apply() -> None:
            journal.hold_usd = level.usd
            if budget is not None:
                journal.learned = budget.learned

        return self._append(apply)

    def _append(self, apply: Callable[[], None]) -> int:
        number = self._journal.append(apply)
        self._simulation.later(SYNC_S, self._synced, number)
        return number

    def _synced(self, number: int) -> None:
        if self._simulation.workers.get(self.name) is self:
            self._journal.sync(number)
            self._holds.synced(number)
            self.gate.recheck()

    def kill(self, linger_s: float) -> None:
        """The process is gone. The server notices within `linger_s`, and may bill what was in flight."""
        random = self._simulation.random
        for task in self.tasks:
            task.cancel()
        self._stop_asking()
        for timer, end in self._open.values():
            timer.cancel()
            self._simulation.later(random.uniform(0, linger_s), end, random.random() < 0.5)
        self._open.clear()


class Simulation:
    """`shards` are each worker's rows. `run` raises AssertionError where a limit is passed or work does not end.

    A worker has as many requests at hand as there are slots, or `tasks_each`.
    """

    def __init__(
        self,
        terms: LeaseTerms,
        shards: Iterable[list[SimulatedRow]],
        faults: Faults = Faults(),
        *,
        seed: int = 0,
        max_overdraft: float = 0.0,
        tasks_each: int | None = None,
    ) -> None:
        self.random = Random(seed)
        self.tasks_each = terms.slots if tasks_each is None else tasks_each
        self.terms = terms
        self.faults = faults
        self.server = Server(terms, max_overdraft)
        self.journals = {f"w{number}": Journal(deque(shard)) for number, shard in enumerate(shards)}
        self.lessor = Lessor(terms, self.journals)
        self.workers: dict[str, Worker] = {}
        self.halted: set[str] = set()
        self.took_s = 0.0
        self.messages = 0
        self._incarnations = dict.fromkeys(self.journals, 0)
        self._done: set[str] = set()
        self._cut_until: dict[str, float] = {}
        self._paused_until = 0.0

    def run(self, max_s: float) -> Simulation:
        """Until all work has ended, which takes `max_s` simulated seconds at most."""
        virtual_time.run(self._run(max_s))
        return self

    async def _run(self, max_s: float) -> None:
        self._failure = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().set_exception_handler(self._failed)
        for name in self.journals:
            self._start(name)
        self._plan_faults()
        while len(self._done) < len(self.journals):
            left = {name: len(journal.left) for name, journal in self.journals.items()}
            assert virtual_time.now() < max_s, f"work does not end: {left}"
            await asyncio.wait(
                (self._failure, *(task for worker in self.workers.values() for task in worker.tasks)),
                timeout=0.5,
                return_when=asyncio.FIRST_EXCEPTION,
            )
            self._raise_failures()
        self.took_s = virtual_time.now()

    def _failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not self._failure.done():
            self._failure.set_exception(context.get("exception") or AssertionError(context["message"]))

    def _raise_failures(self) -> None:
        if self._failure.done():
            self._failure.result()
        for worker in self.workers.values():
            for task in worker.tasks:
                if task.done() and not task.cancelled():
                    task.result()

    def later(self, seconds: float, call: Callable[..., object], *arguments: object) -> None:
        asyncio.get_running_loop().call_later(seconds, call, *arguments)

    def _start(self, name: str) -> None:
        self._incarnations[name] += 1
        journal = self.journals[name]
        journal.replay()
        self.workers[name] = Worker(self, name, self._incarnations[name], journal)

    def finished(self, worker: Worker) -> None:
        self._done.add(worker.name)
        if worker.halted:
            self.halted.add(worker.name)
        del self.workers[worker.name]
        self.lessor.end(virtual_time.now(), worker.name, 0.0, is_replaced=False)

    def send_ask(self, ask: Ask) -> None:
        self._transmit(ask.worker, self._answer, ask)

    def _answer(self, ask: Ask) -> None:
        if virtual_time.now() < self._paused_until:
            self.later(self._paused_until - virtual_time.now(), self._answer, ask)
            return
        grant = self.lessor.answer(virtual_time.now(), ask)
        if grant is not None:
            self._transmit(ask.worker, self._hear, grant)

    def _hear(self, grant: Grant) -> None:
        if (worker := self.workers.get(grant.worker)) is not None:
            worker.hear(grant)

    def _transmit(self, worker: str, deliver: Callable[[Any], None], message: Ask | Grant) -> None:
        faults, random, now = self.faults, self.random, virtual_time.now()
        is_faulty = now < faults.until
        self.messages += 1
        if now < self._cut_until.get(worker, 0.0) or (is_faulty and random.random() < faults.lost):
            return
        for _ in range(1 + (is_faulty and random.random() < faults.doubled)):
            delay_s = random.uniform(0, faults.max_delay_s) if is_faulty else random.uniform(0.0001, 0.001)
            self.later(delay_s, deliver, message)

    def _plan_faults(self) -> None:
        faults, random = self.faults, self.random
        for plan, count in ((self._kill, faults.kills), (self._cut, faults.cuts), (self._pause, faults.pauses)):
            for _ in range(count):
                self.later(random.uniform(0, faults.until), plan, random.choice(list(self.journals)))

    def _cut(self, name: str) -> None:
        self._cut_until[name] = virtual_time.now() + self.random.uniform(0.5, 3) * self.terms.lease_s

    def _pause(self, name: str) -> None:
        self._paused_until = virtual_time.now() + self.random.uniform(0.1, 2) * self.terms.lease_s

    def _kill(self, name: str) -> None:
        worker = self.workers.pop(name, None)
        if worker is None:
            return
        linger_s = self.random.uniform(0, 1)
        worker.kill(linger_s)
        if self.faults.exits_are_noticed:
            self.later(self.random.uniform(0, 1), self._notice, name, self._incarnations[name])
        self.later(self.random.uniform(0.5, 5), self._start, name)

    def _notice(self, name: str, incarnation: int) -> None:
        if incarnation == self._incarnations[name]:
            self.lessor.end(virtual_time.now(), name, 1.0, is_replaced=True)
