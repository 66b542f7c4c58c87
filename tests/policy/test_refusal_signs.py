"""Refusals by chance, and those that are a limit."""

from __future__ import annotations

from random import Random

import pytest

from batchchat.policy.concurrency import Concurrency
from batchchat.policy.refusal_signs import RefusalSigns
from tests.policy.simulated import Answer, Run, answered, refused, simulate


def play(share: float, slots: int, seed: int) -> Run:
    random = Random(seed)

    def server(now: float, in_flight: int, row: int) -> Answer:
        if in_flight >= slots or random.random() < share:
            return refused()
        return answered(6.0 * random.uniform(0.5, 1.5))

    return simulate(server, [Concurrency(200)], rows=2000, workers=200, seed=seed)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("slots", [10**9, 40])
@pytest.mark.parametrize("share", [0.05, 0.1, 0.2])
def test_refusals_at_random_cost_no_throughput(share: float, slots: int, seed: int) -> None:
    """One in twenty to one in five at random, alone and beside a limit: nine tenths are answered as soon as without."""
    quiet, noisy = (sorted(play(refused_share, slots, seed).ends)[1800] for refused_share in (0.0, share))
    assert quiet / noisy > 0.9


def test_two_in_succession_are_a_sign_where_nothing_was_refused() -> None:
    """And one is not; nor are two that are a minute apart."""
    signs = RefusalSigns()
    for number in range(200):
        signs.add_sent(number / 10)
    assert not signs.add_refusal(20.0, 0.02, is_starting=False)
    assert not signs.add_refusal(80.0, 0.02, is_starting=False)
    signs.add_sent(80.1)
    assert signs.add_refusal(80.12, 0.02, is_starting=False)


def test_the_refusals_of_a_burst_come_first_and_are_not_all_of_it() -> None:
    """Thirty-two are sent at once; the six that are refused settle before any is answered."""
    signs = RefusalSigns()
    for _ in range(32):
        signs.add_sent(0.0)
    assert not any(signs.add_refusal(0.02, 0.02, is_starting=True) for _ in range(6))
    assert 0.1 < signs.background < 0.25


def test_a_share_that_stays_at_a_lower_ceiling_becomes_the_background() -> None:
    """One in five is refused after the cut as before it; nearly all is another limit, and none is none."""
    signs = RefusalSigns()
    for number in range(400):
        signs.add_sent(number / 10)
    signs.add_refusal(40.0, 0.02, is_starting=False)
    assert signs.background < 0.02
    signs.begin_level()
    for number in range(60):
        signs.add_sent(50 + number)
        if number % 5 == 0:
            signs.add_refusal(50.02 + number, 0.02, is_starting=False)
    assert signs.learn_level()
    assert signs.background == pytest.approx(0.2)
    signs.begin_level()
    assert not signs.learn_level()
