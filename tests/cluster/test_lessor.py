"""One lessor, several workers."""

from __future__ import annotations

from decimal import Decimal

from batchchat.cluster.lessor import LeaseTerms, Lessor
from batchchat.cluster.messages import Ask, CreditReport, Grant, UsdReport


def ask(
    worker: str, number: int, wanted: int = 8, *, incarnation: int = 1, held: int = 0, heard: int = 0, needed: float = 0
) -> Ask:
    credit = CreditReport(needed=needed, wanted=needed)
    usd = UsdReport(needed=Decimal(str(needed)), wanted=Decimal(str(needed)))
    return Ask(worker, incarnation, number, heard, held, wanted, credit, credit, usd)


def answer(lessor: Lessor, now: float, question: Ask) -> Grant:
    grant = lessor.answer(now, question)
    assert grant is not None
    return grant


def test_what_is_not_newer_is_not_answered() -> None:
    lessor = Lessor(LeaseTerms(8, 60.0), ["a"])
    assert answer(lessor, 0.0, ask("a", 2)).ask_number == 2
    assert lessor.answer(0.1, ask("a", 2)) is None
    assert lessor.answer(0.1, ask("a", 1)) is None
    assert answer(lessor, 0.2, ask("a", 3)).number == 2
    assert answer(lessor, 0.3, ask("a", 1, incarnation=2)).number == 1
    assert lessor.answer(0.4, ask("a", 9)) is None


def test_a_process_that_has_ended_is_not_answered() -> None:
    lessor = Lessor(LeaseTerms(8, 60.0), ["a"])
    answer(lessor, 0.0, ask("a", 1))
    lessor.end(0.1, "a", 0.0, is_replaced=True)
    assert lessor.answer(0.2, ask("a", 2)) is None
    assert answer(lessor, 0.3, ask("a", 1, incarnation=2)).slots == 8


def test_a_replacement_that_nobody_announced_waits_for_the_slots_of_the_first() -> None:
    lessor = Lessor(LeaseTerms(8, 60.0), ["a"])
    assert answer(lessor, 0.0, ask("a", 1)).slots == 8
    assert answer(lessor, 0.1, ask("a", 1, incarnation=2)).slots == 0
    assert answer(lessor, 72.0, ask("a", 2, incarnation=2, heard=1)).slots == 8


def test_eight_in_all_until_the_price_is_learned() -> None:
    lessor = Lessor(LeaseTerms(100, 60.0, max_cost_usd=Decimal(10)), ["a", "b"])
    slots = answer(lessor, 0.0, ask("a", 1, 100)).slots
    assert slots == 8
    assert answer(lessor, 0.0, ask("b", 1, 100)).slots == 0
    assert answer(lessor, 0.1, ask("a", 2, 100, held=8, heard=1)).slots == 4
    learned = UsdReport(answers=20, max_ratio=Decimal("1.5"))
    grant = answer(lessor, 0.2, ask("b", 2, 100, heard=1)._replace(usd=learned))
    assert (grant.answers, grant.max_ratio) == (20, Decimal("1.5"))
    assert grant.slots == 50


def test_needs_are_met_together_in_the_order_in_which_they_came() -> None:
    """Who lacks tokens is not granted requests, and who comes later waits for it, though it needs less."""
    lessor = Lessor(LeaseTerms(8, 60.0, requests_per_minute=600, tokens_per_minute=600), ["a", "b"])

    def needing(worker: str, number: int, tokens: float) -> Ask:
        return Ask(worker, 1, number, number - 1, 0, 4, CreditReport(needed=1, wanted=1), CreditReport(needed=tokens))

    first = answer(lessor, 0.0, needing("b", 1, 8.0))
    assert (first.requests, first.tokens) == (1, 8)
    lacking = answer(lessor, 0.0, needing("a", 1, 6.0))
    assert (lacking.requests, lacking.tokens) == (0, 0)
    spent = Ask("b", 1, 2, 1, 0, 4, CreditReport(1, 0, 1, 1, 1), CreditReport(8, 0, 8, 1, 1))
    assert answer(lessor, 0.1, spent).tokens == 8
    assert answer(lessor, 0.5, needing("a", 2, 6.0)).tokens == 6
    assert answer(lessor, 0.6, spent._replace(number=3)).tokens == 9


def test_more_slots_and_fewer_can_be_set_meanwhile() -> None:
    lessor = Lessor(LeaseTerms(8, 60.0), ["a"])
    assert answer(lessor, 0.0, ask("a", 1, 100)).slots == 8
    lessor.slots = 20
    assert answer(lessor, 0.1, ask("a", 2, 100, held=8, heard=1)).slots == 20
    lessor.slots = 5
    assert answer(lessor, 0.2, ask("a", 3, 100, held=20, heard=2)).slots == 5


def test_a_worker_that_ended_unasked_has_settled_nothing() -> None:
    """What an earlier incarnation held may have been spent, although the later one ended well."""
    lessor = Lessor(LeaseTerms(8, 60.0, max_cost_usd=Decimal(10)))
    answer(lessor, 0.0, ask("a", 1, needed=8))
    lessor.end(0.1, "a", 0.0, is_replaced=True)
    lessor.end(0.2, "a", 0.0, is_replaced=False, has_settled=True)
    assert answer(lessor, 0.3, ask("b", 1, needed=4)).usd == 0
    lessor = Lessor(LeaseTerms(8, 60.0, max_cost_usd=Decimal(10)))
    answer(lessor, 0.0, ask("a", 1, needed=8))
    answer(lessor, 0.1, ask("a", 2))
    lessor.end(0.2, "a", 0.0, is_replaced=False, has_settled=True)
    assert answer(lessor, 0.3, ask("b", 1, needed=4)).usd == 4
