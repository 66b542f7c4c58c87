"""The parts never come to more than the cap."""

from __future__ import annotations

from decimal import Decimal

from batchchat.cluster.messages import UsdReport
from batchchat.cluster.usd_lessor import UsdLessor


def usd(amount: float | str) -> Decimal:
    return Decimal(str(amount))


def report(cap: float = 0, settled: float = 0, reserved: float = 0, needed: float = 0) -> UsdReport:
    return UsdReport(usd(cap), usd(0), usd(settled), usd(reserved), usd(needed), usd(needed))


def test_nothing_is_granted_before_all_journals_are_counted() -> None:
    lessor = UsdLessor(usd(10), ["a", "b"])
    lessor.report("a", report(needed=1))
    assert lessor.lacks("a")
    lessor.judge("a")
    assert not lessor.is_spent_up
    lessor.report("b", report(cap=9.5, settled=9.5))
    assert lessor.lacks("a")
    lessor.report("a", report(needed=0.5))
    assert not lessor.lacks("a")
    lessor.grant("a", 2)
    assert lessor.granted("a") == usd(0.5)
    assert lessor.claimed_usd == 10


def test_what_was_spent_apart_counts() -> None:
    lessor = UsdLessor(usd(10), ["a"], spent_usd=usd(9))
    lessor.report("a", report(needed=2))
    assert lessor.lacks("a")


def test_a_killed_workers_part_counts_until_its_journal_is_replayed() -> None:
    lessor = UsdLessor(usd(10), ["a", "b"])
    lessor.report("a", report(needed=8))
    lessor.report("b", report(needed=4))
    lessor.grant("a", 2)
    lessor.end("a", is_replaced=True)
    assert lessor.lacks("b")
    lessor.judge("b")
    assert not lessor.is_spent_up, "what it did not spend will be free"
    lessor.begin("a")
    lessor.report("a", report(cap=5, settled=5))
    assert not lessor.lacks("b")


def test_the_part_of_a_worker_that_is_not_replaced_is_gone() -> None:
    lessor = UsdLessor(usd(10), ["a", "b"])
    lessor.report("a", report(needed=8))
    lessor.report("b", report(needed=4))
    lessor.grant("a", 2)
    lessor.end("a", is_replaced=False)
    lessor.judge("b")
    assert lessor.is_spent_up
    assert not lessor.lacks("b"), "it is not kept waiting"
    lessor.grant("b", 2)
    assert lessor.granted("b") == 0


def test_nothing_ends_while_what_is_in_flight_may_free_money() -> None:
    lessor = UsdLessor(usd(10), ["a", "b"])
    lessor.report("a", report(cap=8, reserved=8))
    lessor.report("b", report(needed=4))
    lessor.judge("b")
    assert not lessor.is_spent_up
    lessor.report("a", report(cap=8, settled=7))
    lessor.judge("b")
    assert not lessor.is_spent_up, "it may give back the rest"
    lessor.report("a", report(cap=7, settled=7))
    lessor.judge("b")
    assert lessor.is_spent_up


def test_a_worker_that_counts_more_than_its_part_is_counted_so() -> None:
    """Answers were dearer than reserved; what it lacks itself is granted of what is counted already."""
    lessor = UsdLessor(usd(10), ["a", "b"])
    lessor.report("a", report(cap=4, settled=6))
    lessor.report("b", report(needed=5))
    assert lessor.lacks("b")
    lessor.report("a", report(cap=4, settled=6, needed=2.5))
    assert not lessor.lacks("a")
    lessor.grant("a", 2)


def test_a_request_without_a_bound_never_fits() -> None:
    lessor = UsdLessor(usd(10), ["a"])
    lessor.report("a", UsdReport(needed=Decimal("Infinity"), wanted=Decimal("Infinity")))
    assert lessor.lacks("a")
    lessor.judge("a")
    assert lessor.is_spent_up


def test_what_stands_alone_at_two_workers_does_not_stand_alone() -> None:
    """Twenty workers with an answer each have seen what the price really is."""
    lessor = UsdLessor(usd(10), [])
    for number in range(19):
        lessor.report(str(number), UsdReport(answers=1, outlier=usd("1.6") + number % 2))
        assert lessor.is_learning
    assert lessor.learned.max_ratio == usd("2.6")
    lessor.report("19", UsdReport(answers=1, max_ratio=usd("2.7")))
    assert not lessor.is_learning
    lessor.report("18", UsdReport(answers=5, outlier=usd(30)))
    lessor.report("17", UsdReport(answers=5, outlier=usd(30)))
    assert lessor.learned.max_ratio == usd("2.7"), "over a long run each judges by its own last answers"
    assert lessor.learned.answers == 28


def test_what_was_on_the_way_to_a_worker_that_has_settled_is_free() -> None:
    """It has ended without hearing of it, and says so by its last report; of a killed one nobody knows."""
    lessor = UsdLessor(usd(10), ["a", "b"])
    lessor.report("b", report(needed=4))
    lessor.report("a", report(needed=8))
    lessor.grant("a", 2)
    lessor.report("a", report(cap=1, settled=1))
    lessor.end("a", is_replaced=True)
    assert lessor.lacks("b")
    assert lessor.claimed_usd == 9
    lessor.end("a", is_replaced=False, has_settled=True)
    assert not lessor.lacks("b")
    assert lessor.claimed_usd == 1
