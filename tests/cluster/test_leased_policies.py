"""The budget of a worker: its cap moves, and it halts only when no more will come."""

from __future__ import annotations

from decimal import Decimal

import pytest

from batchchat.cluster.leased_policies import LeasedBudget, LeasedCredits
from batchchat.core.attempt import MaxUsage
from batchchat.core.uncertain_cost import UncertainCost
from batchchat.policy.budget import SPENT, PriceRatio
from batchchat.policy.decision import ADMIT, Delay, Halt

KNOWN = PriceRatio("p", 20, Decimal(1))
DOLLAR = MaxUsage(1, 1, Decimal(1))


def budget(learned: PriceRatio = KNOWN) -> LeasedBudget:
    return LeasedBudget(lambda model, usage: None, paid_usd=Decimal(5), learned=learned)


def grant(policy: LeasedBudget, total: int, learned: PriceRatio = KNOWN, *, is_spent_up: bool = False) -> None:
    policy.apply(Decimal(total), learned, is_spent_up=is_spent_up)


def test_it_begins_with_what_its_journal_says() -> None:
    uncertain = UncertainCost({"p": Decimal(2)}, Decimal(1), {"p": Decimal("1.5")})
    policy = LeasedBudget(lambda model, usage: None, paid_usd=Decimal(5), uncertain=uncertain, learned=KNOWN)
    assert policy.report(0, is_short=False).cap == policy.settled_usd == 8


def test_what_does_not_fit_waits_until_no_more_will_come() -> None:
    policy, lacked = budget(), []
    policy.lack = lambda: lacked.append(True)
    assert policy.check(0, DOLLAR) == Delay()
    assert lacked
    report = policy.report(3, is_short=True)
    assert [report.needed, report.wanted] == [1, 3]
    grant(policy, 1)
    assert policy.check(0, DOLLAR) == ADMIT
    policy.acquire(0, DOLLAR)
    assert policy.check(0, DOLLAR) == Delay()
    grant(policy, 1, is_spent_up=True)
    assert policy.check(0, DOLLAR) == Delay(), "what is in flight may free money"
    policy.release(0, DOLLAR, None)
    assert policy.check(0, DOLLAR) == Halt(SPENT, usd=Decimal(1))


def test_what_is_too_much_is_given_back() -> None:
    policy = budget()
    grant(policy, 10)
    policy.acquire(0, DOLLAR)
    report = policy.report(2, is_short=False)
    assert [report.cap, report.reserved, report.wanted] == [8, 1, 0]
    assert policy.report(0, is_short=False).cap == 6


def test_what_others_have_learned_holds_here() -> None:
    policy = budget(PriceRatio("p"))
    grant(policy, 100, PriceRatio("", 3, Decimal("1.2")))
    assert policy.is_learning
    assert policy.ratio == 2
    for _ in range(8):
        policy.acquire(0, DOLLAR)
    assert policy.check(0, DOLLAR) == Delay()
    grant(policy, 100, PriceRatio("", 20, Decimal("1.6")))
    assert policy.check(0, DOLLAR) == ADMIT, "it is learned"
    assert policy.ratio == Decimal("1.6")
    grant(policy, 100, PriceRatio("", 20, Decimal("1.5")))
    assert policy.ratio == Decimal("1.6")


def test_credits_that_were_charged_too_much_go_to_the_parent() -> None:
    """Its bucket alone knows whether they still fit."""
    credits_ = LeasedCredits(600, lambda: None)
    credits_.apply(10.0, expired=False)
    credits_.take(0.0, 6.0)
    credits_.take(0.0, -4.0)
    report = credits_.report(2, is_short=False)
    assert (report.spent, report.held) == (2.0, 4.0)


def test_a_request_larger_than_the_bucket_needs_a_full_one() -> None:
    credits_ = LeasedCredits(600, lambda: None)
    assert credits_.wait_s(0.0, 70.0) > 0
    assert credits_.report(1, is_short=True).needed == credits_.size == pytest.approx(10)
    credits_.apply(10.0, expired=False)
    assert credits_.wait_s(0.0, 70.0) == 0
    credits_.take(0.0, 70.0)
    report = credits_.report(1, is_short=False)
    assert (report.spent, report.held) == (70.0, 0.0)
