"""Slots are leased to another only when they are free."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.cluster.messages import Ask
from batchchat.cluster.slot_lessor import SlotLessor, fair_shares


def asking(worker: str, wanted: int, held: int = 0, heard: int = 0) -> Ask:
    return Ask(worker, 1, 1, heard, held, wanted)


@given(
    capacity=st.integers(-5, 1000),
    wanted=st.dictionaries(st.text(max_size=3), st.integers(0, 500), min_size=1, max_size=9),
)
def test_shares_are_fair(capacity: int, wanted: dict[str, int]) -> None:
    """No more than there is and than is wanted, nothing left that is wanted, and none has less than another wants."""
    shares = fair_shares(capacity, wanted)
    assert sum(shares.values()) == min(max(0, capacity), sum(wanted.values()))
    assert all(0 <= shares[worker] <= wanted[worker] for worker in wanted)
    short = [shares[worker] for worker in wanted if shares[worker] < wanted[worker]]
    assert not short or min(short) >= max(shares.values()) - 1


def test_a_slot_moves_once_it_is_confirmed_to_be_free() -> None:
    lessor = SlotLessor(10.0, 60.0)
    lessor.report(0.0, asking("a", 8))
    assert lessor.grant(0.0, "a", 1, 8) == 8
    lessor.report(1.0, asking("b", 8))
    assert lessor.grant(1.0, "b", 1, 8) == 0
    lessor.report(2.0, asking("a", 8, held=8, heard=1))
    assert lessor.grant(2.0, "a", 2, 8) == 4
    lessor.report(3.0, asking("b", 8, heard=1))
    assert lessor.grant(3.0, "b", 2, 8) == 0, "a may not have heard, or have eight in flight"
    lessor.report(4.0, asking("a", 8, held=6, heard=2))
    assert lessor.grant(4.0, "a", 3, 8) == 4
    lessor.report(5.0, asking("b", 8, heard=2))
    assert lessor.grant(5.0, "b", 3, 8) == 2


def test_what_an_unheard_grant_allows_counts() -> None:
    """A worker that reports none may be about to hear of five."""
    lessor = SlotLessor(10.0, 60.0)
    lessor.report(0.0, asking("a", 5))
    assert lessor.grant(0.0, "a", 1, 8) == 5
    lessor.report(1.0, asking("a", 0))
    assert lessor.grant(1.0, "a", 2, 8) == 0
    lessor.report(2.0, asking("b", 8))
    assert lessor.grant(2.0, "b", 1, 8) == 3
    lessor.report(3.0, asking("a", 0, heard=2))
    assert lessor.grant(3.0, "b", 2, 8) == 8


def test_a_silent_worker_keeps_its_slots_until_its_requests_have_ended() -> None:
    lessor = SlotLessor(10.0, 60.0)
    lessor.report(0.0, asking("a", 8))
    lessor.grant(0.0, "a", 1, 8)
    assert lessor.has_ended(10.2, "a")
    lessor.report(60.0, asking("b", 8))
    assert lessor.grant(60.0, "b", 1, 8) == 0
    assert not lessor.has_ended(60.0, "b")
    lessor.report(72.0, asking("b", 8))
    assert lessor.grant(72.0, "b", 2, 8) == 8


def test_the_slots_of_an_ended_process_linger() -> None:
    lessor = SlotLessor(10.0, 60.0)
    for worker in "ab":
        lessor.report(0.0, asking(worker, 4))
        lessor.grant(0.0, worker, 1, 8)
    lessor.forget(1.0, "a", 2.0)
    lessor.forget(1.0, "b", None)
    lessor.report(2.0, asking("c", 8))
    assert lessor.grant(2.0, "c", 1, 8) == 0
    assert lessor.grant(3.1, "c", 2, 8) == 4
    lessor.report(72.0, asking("c", 8))
    assert lessor.grant(72.0, "c", 3, 8) == 8


def test_fewer_slots_are_taken_back_as_they_become_free() -> None:
    lessor = SlotLessor(10.0, 60.0)
    lessor.report(0.0, asking("a", 8))
    assert lessor.grant(0.0, "a", 1, 8) == 8
    lessor.report(1.0, asking("a", 8, held=8, heard=1))
    assert lessor.grant(1.0, "a", 2, 3) == 3


class AddsUp(SlotLessor):
    """Adds up over all workers at each ask."""

    def grant(self, now: float, worker: str, number: int, total: int) -> int:
        claims = {
            name: account.claim if now < account.ends_at + self._attempt_s else 0
            for name, account in self._accounts.items()
        }
        live = {name: account.wanted for name, account in self._accounts.items() if now < account.ends_at}
        lost = sum(claim for name, claim in claims.items() if name not in live)
        lingering = self._still_lingering(now)
        share = fair_shares(total - lost - lingering, live)[worker]
        free = total - lingering - sum(claims.values()) + claims[worker]
        granted = super().grant(now, worker, number, total)
        assert granted == max(0, min(share, free))
        return granted


@pytest.mark.parametrize("seed", range(20))
def test_sums_that_are_kept_are_those_over_all_workers(seed: int) -> None:
    """Whoever asks, is silent, ends, comes back, or is read from what was written down."""
    random, lessor, now = Random(seed), AddsUp(1.0, 2.0), 0.0
    for number in range(1, 400):
        now += random.choice([0.0, 0.01, 0.1, 1.5]) * random.random()
        worker = random.choice("abcdef")
        if random.random() < 0.05:
            lessor.forget(now, worker, random.choice([None, 0.3]))
        elif random.random() < 0.02:
            written = lessor.state()
            lessor = AddsUp(1.0, 2.0)
            lessor.resume(written)
        else:
            heard = number - random.randint(1, 30)
            lessor.report(now, asking(worker, random.randint(0, 6), random.randint(0, 4), heard))
            lessor.grant(now, worker, number, random.choice([8, 8, 8, 3]))
