"""A job's limits hold by the server's count whatever becomes of messages and workers, and all work ends."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from batchchat.cluster import lessor as lessor_module
from batchchat.cluster.credit_lessor import CreditLessor
from batchchat.cluster.lease import Lease
from batchchat.cluster.lessor import LeaseTerms, Lessor
from batchchat.cluster.messages import Ask, Grant
from batchchat.cluster.slot_lessor import SlotLessor
from batchchat.cluster.usd_lessor import UsdLessor
from tests.cluster import simulated
from tests.cluster.simulated import USD_PER_TOKEN, Faults, Simulation, rows

BAD_WIRE = Faults(until=20, lost=0.2, doubled=0.2, max_delay_s=0.5, cuts=4, pauses=2, clocks_differ=True)
KILLS = Faults(until=15, lost=0.1, doubled=0.1, max_delay_s=0.02, kills=6, cuts=1, clocks_differ=True)
SEEDS = range(3)


def slots(seed: int, faults: Faults = BAD_WIRE) -> Simulation:
    """Requests that take longer than a lease, at a server that takes six."""
    random = Random(seed)
    shards = [rows(random, 25, seconds=7.0) for _ in range(3)]
    return Simulation(LeaseTerms(6, attempt_s=8.0, lease_s=2.0), shards, faults, seed=seed)


def requests(seed: int, faults: Faults = BAD_WIRE) -> Simulation:
    random = Random(seed)
    shards = [rows(random, 50, seconds=0.3) for _ in range(3)]
    return Simulation(LeaseTerms(20, 8.0, requests_per_minute=300, lease_s=2.0), shards, faults, seed=seed)


def tokens(seed: int, faults: Faults = BAD_WIRE) -> Simulation:
    """Requests of up to half of what the bucket holds."""
    random = Random(seed)
    shards = [rows(random, 40, seconds=0.3, max_tokens=100, refused=0) for _ in range(3)]
    return Simulation(LeaseTerms(20, 8.0, tokens_per_minute=6000, lease_s=2.0), shards, faults, seed=seed)


def large_requests(seed: int, faults: Faults = BAD_WIRE) -> Simulation:
    """Requests larger than the bucket among small ones: each waits until it is full, and leaves it in debt."""
    random = Random(seed)
    shards = [rows(random, count, max_tokens=size, refused=0) for count, size in ((12, 20), (5, 400), (5, 400))]
    terms = LeaseTerms(20, 8.0, requests_per_minute=600, tokens_per_minute=3000, lease_s=2.0)
    return Simulation(terms, shards, faults, seed=seed, max_overdraft=200 - 50)


def budget(seed: int, faults: Faults = KILLS, ratio: str = "1") -> Simulation:
    """A budget for about half of the rows, whose price is what it should be, or more."""
    random = Random(seed)
    shards = [rows(random, 40, seconds=2.0, ratio=ratio) for _ in range(4)]
    cap_usd = sum((row.cost_usd for shard in shards for row in shard), Decimal(0)) / 2
    return Simulation(LeaseTerms(12, 8.0, max_cost_usd=cap_usd, lease_s=2.0), shards, faults, seed=seed)


def dearer_budget(seed: int, faults: Faults = KILLS) -> Simulation:
    return budget(seed, faults, "1.6")


SCENARIOS = (slots, requests, tokens, large_requests, budget, dearer_budget)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("faults", [BAD_WIRE, KILLS], ids=["bad wire", "kills"])
def test_limits_hold_and_work_ends(scenario: Callable[[int, Faults], Simulation], faults: Faults, seed: int) -> None:
    """The server refuses to be sent more than it may; what is left undone is what the budget does not reach to."""
    simulation = scenario(seed, faults).run(600)
    left = {name for name, journal in simulation.journals.items() if journal.left}
    assert left <= simulation.halted
    assert bool(left) == (simulation.terms.max_cost_usd is not None)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("scenario", [budget, dearer_budget])
def test_a_budget_is_used_up(scenario: Callable[[int, Faults], Simulation], seed: int) -> None:
    """Without kills, what is left at the end is less than the next request may cost."""
    simulation = scenario(seed, BAD_WIRE).run(600)
    max_cost_usd = simulation.terms.max_cost_usd
    assert max_cost_usd is not None
    assert simulation.lessor.is_spent_up
    broken = sum((journal.maybe_usd for journal in simulation.journals.values()), Decimal(0))
    largest = 100 * USD_PER_TOKEN * 2
    assert max_cost_usd - simulation.server.billed_usd <= largest + broken * 2


class ReadAnew(Lessor):
    """A lessor that is written down and read after each answer, as one in a file of leases is."""

    def answer(self, now: float, ask: Ask) -> Grant | None:
        lessor = Lessor(self._of, ())
        lessor.resume(json.loads(json.dumps(self.state(now))))
        grant = lessor.answer(now, ask)
        kept = json.loads(json.dumps(lessor.state(now)))
        Lessor.__init__(self, self._of, ())
        self.resume(kept)
        return grant

    def __init__(self, terms: LeaseTerms, workers: Iterable[str]) -> None:
        super().__init__(terms, workers)
        self._of = terms


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("scenario", [slots, requests, tokens, large_requests])
def test_a_lessor_that_is_read_anew_for_each_ask(
    scenario: Callable[[int], Simulation], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limits hold and all work ends, with lost messages, too."""
    monkeypatch.setattr(simulated, "Lessor", ReadAnew)
    simulation = scenario(seed).run(600)
    assert isinstance(simulation.lessor, ReadAnew)
    assert not any(journal.left for journal in simulation.journals.values())


def test_two_that_work_alike_share_alike() -> None:
    """Each has about half of the slots, and both together what one would have."""
    random = Random(1)
    simulation = Simulation(LeaseTerms(40, 20.0), [rows(random, 600), rows(random, 600)]).run(100)
    busy_s = simulation.server.busy_s
    assert busy_s["w0"] == pytest.approx(busy_s["w1"], rel=0.1)
    assert sum(busy_s.values()) / 40 > 0.85 * simulation.took_s


def test_who_works_has_what_others_leave() -> None:
    """Beside one with a row now and then, a worker with many has nearly all slots."""
    random = Random(1)
    simulation = Simulation(LeaseTerms(40, 20.0), [rows(random, 1000), rows(random, 5)]).run(100)
    assert sum(simulation.server.busy_s.values()) / 40 > 0.88 * simulation.took_s


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("per_minute", [30, 60, 120, 1200])
def test_a_rate_is_used(workers: int, per_minute: int) -> None:
    """However many share it, nearly as many go as in one process."""
    random = Random(1)
    terms = LeaseTerms(40, 20.0, requests_per_minute=per_minute)
    count = max(12, per_minute // 4)
    simulation = Simulation(terms, [rows(random, count // workers, refused=0) for _ in range(workers)]).run(200)
    burst = max(1, per_minute // 60)
    assert simulation.took_s - 2 < (count - burst) * 60 / per_minute / 0.94


def test_tokens_are_used() -> None:
    random = Random(1)
    terms = LeaseTerms(40, 20.0, tokens_per_minute=60_000)
    simulation = Simulation(terms, [rows(random, 80, max_tokens=400, refused=0) for _ in range(3)]).run(200)
    assert simulation.took_s - 2 < (simulation.server.tokens - 1000) / 1000 / 0.94


def no_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slots are leased anew at the end of a lease, not when what was sent under it has ended."""
    monkeypatch.setattr(lessor_module, "SlotLessor", lambda lease_s, attempt_s: SlotLessor(lease_s, 0.0))


def any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker applies whichever grant comes."""
    hear = Lease.hear

    def hear_any(self: Lease, now: float, grant: Grant) -> bool:
        newest, self._heard = self._heard, 0
        is_applied = hear(self, now, grant)
        self._heard = max(newest, self._heard)
        return is_applied

    monkeypatch.setattr(Lease, "hear", hear_any)


def uncounted_credits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What workers hold and have not spent is granted again."""
    monkeypatch.setattr(CreditLessor, "_free", lambda self, now: self._bucket.level(now))


def revived_credits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written off with a lease that ended is the worker's again when it comes back."""
    write_off = CreditLessor.write_off

    def write_off_for_now(self: CreditLessor, now: float, worker: str) -> None:
        write_off(self, now, worker)
        if worker in self._accounts:
            self._accounts[worker].is_void = False

    monkeypatch.setattr(CreditLessor, "write_off", write_off_for_now)


def forgotten_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """The money of a worker that was killed counts as free until it is replaced."""

    def forget(self: UsdLessor, worker: str, *, is_replaced: bool, has_settled: bool) -> None:
        self.begin(worker)

    monkeypatch.setattr(UsdLessor, "end", forget)


def held_and_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who lacks one thing keeps what it has of another."""
    ask = Lease.ask

    def ask_and_keep(self: Lease, now: float, waiting: int, ceiling: int) -> Any:
        rates = {"requests": self._requests, "tokens": self._tokens}
        plenty = {name: (rate, rate._held) for name, rate in rates.items() if rate is not None and not rate.is_short}
        message: Any = ask(self, now, waiting, ceiling)
        for name, (rate, held) in plenty.items() if ceiling else ():
            rate._held = held
            report = getattr(message, name)._replace(held=held, needed=0.0, wanted=0.0)
            message = message._replace(**{name: report})
        return message

    monkeypatch.setattr(Lease, "ask", ask_and_keep)


@pytest.mark.parametrize(
    ("break_it", "scenario", "faults", "complaint"),
    [
        (no_linger, slots, BAD_WIRE, "in flight"),
        (any_order, requests, BAD_WIRE, "requests too many"),
        (uncounted_credits, requests, BAD_WIRE, "requests too many"),
        (revived_credits, requests, BAD_WIRE, "requests too many"),
        (forgotten_dead, budget, KILLS, "over the budget"),
        (held_and_waited, large_requests, Faults(), "work does not end"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_broken_protocol_is_caught(
    break_it: Callable[[pytest.MonkeyPatch], None],
    scenario: Callable[[int, Faults], Simulation],
    faults: Faults,
    complaint: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The simulation can fail: with a rule left out a limit is passed, or work does not end."""
    break_it(monkeypatch)

    def run_all() -> None:
        for seed in range(30):
            scenario(seed, faults).run(100)

    with pytest.raises(AssertionError, match=complaint):
        run_all()


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(300))
def test_anything_may_happen(seed: int) -> None:
    """All limits at once, of all sizes, with all faults."""
    random = Random(seed)
    faults = Faults(
        until=20,
        lost=random.choice([0, 0.2, 0.6]),
        doubled=0.2,
        max_delay_s=random.choice([0.01, 0.5, 3.0]),
        kills=random.choice([0, 6]),
        cuts=random.choice([0, 4]),
        pauses=random.choice([0, 3]),
        clocks_differ=True,
        exits_are_noticed=random.random() < 0.5,
    )
    tokens_per_minute = random.choice([None, 3000, 60000])
    terms = LeaseTerms(
        random.choice([1, 3, 20]),
        20.0,
        random.choice([None, 30, 600]),
        tokens_per_minute,
        random.choice([None, Decimal("0.05"), Decimal("0.02")]),
        lease_s=3.0,
    )
    shards = [
        rows(
            random,
            60,
            seconds=random.choice([1, 10]),
            max_tokens=random.choice([20, 100, 400]),
            ratio=random.choice(["1", "1.6", "0.7"]),
            refused=0 if tokens_per_minute else 0.05,
        )
        for _ in range(random.randint(1, 5))
    ]
    largest = max(row.tokens for shard in shards for row in shard)
    overdraft = max(0.0, largest - max(1, (tokens_per_minute or 0) / 60))
    simulation = Simulation(terms, shards, faults, seed=seed, max_overdraft=overdraft).run(6000)
    assert all(not journal.left for name, journal in simulation.journals.items() if name not in simulation.halted)
