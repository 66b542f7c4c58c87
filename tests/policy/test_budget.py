"""The cap: reserved before sending, settled after, never passed while answers cost no more than they can."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.core.attempt import Action, Attempt, Billed, Cost, MaxUsage, Request, Usage, Verdict
from batchchat.core.conversation import ErrorKind, Key
from batchchat.core.uncertain_cost import UncertainCost
from batchchat.policy.budget import SPENT, Budget, PriceRatio, enough_usd
from batchchat.policy.decision import ADMIT, Delay, Halt

REQUEST = Request(Key("1"), 0, "m", [], b"{}", 1)
KNOWN = PriceRatio("p", 20, Decimal(1))


def usd(text: str | int) -> Decimal:
    return Decimal(text)


def asking(cost: str | int | None) -> MaxUsage:
    return MaxUsage(1, 1, None if cost is None else usd(cost))


def computed(model: str, usage: Usage) -> Decimal | None:
    """The price of these tests: a dollar a token of the prompt."""
    return None if usage.prompt_tokens is None else Decimal(usage.prompt_tokens)


def ended(cost: str | int | None = None, billed: Billed = Billed.YES, tokens: int | None = None) -> Attempt:
    verdict = Verdict(Action.ACCEPT if billed is Billed.YES else Action.RETRY, billed=billed, kind=ErrorKind.OTHER)
    paid = None if cost is None else Cost(usd(cost), "reported")
    return Attempt(REQUEST, verdict, 0, 0, 0, 200, usage=Usage(tokens), cost=paid)


REFUSED, BROKEN = ended(billed=Billed.NO), ended(billed=Billed.MAYBE)


def budget(cap: str | int, learned: PriceRatio = KNOWN, **given_: Any) -> Budget:
    return Budget(usd(cap), computed, learned=learned, **given_)


def sent(policy: Budget, cost: str | int, attempt: Attempt | None) -> None:
    max_usage = asking(cost)
    assert policy.check(0, max_usage) is ADMIT
    policy.acquire(0, max_usage)
    policy.release(0, max_usage, attempt)


def test_a_request_is_admitted_when_its_worst_case_fits() -> None:
    """To the cent; and what it really cost takes the place of its reservation."""
    policy, max_usage = budget(10), asking(6)
    assert policy.check(0, max_usage) is ADMIT
    policy.acquire(0, max_usage)
    assert policy.check(0, asking(4)) is ADMIT
    assert isinstance(policy.check(0, asking("4.01")), Delay)
    policy.release(0, max_usage, ended("2.5"))
    assert policy.counted_usd == usd("2.5")
    assert policy.check(0, asking("7.5")) is ADMIT


def test_it_stops_only_when_nothing_in_flight_could_free_money() -> None:
    """While an answer is awaited a row that does not fit waits; then the run stops, and says for how much."""
    policy, max_usage = budget(10), asking(6)
    policy.acquire(0, max_usage)
    assert isinstance(policy.check(0, asking(5)), Delay)
    policy.release(0, max_usage, ended(6))
    assert policy.check(0, asking(5)) == Halt(SPENT, usd=usd(5))
    assert policy.check(0, asking(4)) is ADMIT


@pytest.mark.parametrize(
    ("attempt", "counted"),
    [
        (ended(2), 2),
        (REFUSED, 0),
        (BROKEN, 6),
        (ended(2, Billed.MAYBE), 8),
        (ended(None), 6),
        (None, 6),
    ],
    ids=["paid", "refused", "broke off", "broke off, and cost", "told no cost", "cut off by us"],
)
def test_what_an_attempt_leaves_counted(attempt: Attempt | None, counted: int) -> None:
    """Its cost where that is known; its worst case where it was or may have been billed; else nothing."""
    policy = budget(10)
    sent(policy, 6, attempt)
    assert policy.counted_usd == counted


def test_earlier_runs_count() -> None:
    """What they paid, and, at the highest ratio so far, the most they may have paid."""
    policy = budget(20, PriceRatio("p", 20, usd("1.5")), paid_usd=usd(3), uncertain=UncertainCost({"p": usd(4)}))
    assert policy.counted_usd == 9
    assert budget(20, PriceRatio(), paid_usd=usd(3), uncertain=UncertainCost({"p": usd(4)})).counted_usd == 7


def test_the_first_twenty_answers_go_slowly_and_at_twice_the_price() -> None:
    """At most eight in flight, each reserved double, until twenty have settled; refusals are no answers."""
    policy, max_usages = budget(1000, PriceRatio("p")), [asking(1) for _ in range(9)]
    for max_usage in max_usages[:8]:
        assert policy.check(0, max_usage) is ADMIT
        policy.acquire(0, max_usage)
    assert policy.counted_usd == 16
    assert isinstance(policy.check(0, max_usages[8]), Delay)
    policy.release(0, max_usages[0], REFUSED)
    assert policy.check(0, max_usages[8]) is ADMIT
    for max_usage in max_usages[1:8]:
        policy.release(0, max_usage, ended(1, tokens=1))
    for number in range(13):
        assert policy.ratio == 2, number
        sent(policy, 1, ended(1, tokens=1))
    assert not policy.is_learning
    assert policy.ratio == 1
    assert policy.learned == PriceRatio("p", 20, usd(1))


def test_an_answer_above_the_price_raises_all_reservations() -> None:
    """Also of what is in flight already, once a second one shows it; a cheaper one lowers nothing below the price."""
    policy, waiting = budget(100), asking(10)
    policy.acquire(0, waiting)
    sent(policy, 10, ended(1, tokens=2))
    assert policy.counted_usd == 11
    sent(policy, 10, ended(9, tokens=6))
    assert policy.ratio == 1
    sent(policy, 10, ended(0, tokens=6))
    sent(policy, 10, ended("1.6", tokens=1))
    assert policy.ratio == usd("1.5")
    assert policy.counted_usd == usd("11.6") + 15
    assert not policy.overruns
    sent(policy, 10, ended("15.5", tokens=10))
    assert (policy.overruns, policy.overrun_usd) == (1, usd("0.5"))


def test_one_dear_answer_does_not_end_the_job() -> None:
    """A fee of a cent among answers of thousandths of one: it is counted and told, and nothing more is reserved."""
    policy, request = budget(1), REQUEST._replace(max_usage=asking("0.0001"))
    for number in range(2_000):
        sent(policy, "0.0001", ended("0.01" if number == 50 else "0.000015")._replace(request=request))
    assert policy.ratio == 1
    assert policy.outlier == 100
    assert (policy.overruns, policy.overrun_usd) == (1, usd("0.0099"))
    assert policy.counted_usd == usd("0.01") + 1_999 * usd("0.000015")


def test_a_price_that_rises_is_reserved_after_its_second_answer() -> None:
    """At the third of them where two hundred have been seen; and it stays so."""
    for before, needed in ((0, 2), (100, 2), (300, 3)):
        policy = budget(10_000)
        for _ in range(before):
            sent(policy, 1, ended(1, tokens=1))
        for number in range(1, 6):
            sent(policy, 2, ended("1.8", tokens=1))
            assert policy.ratio == (usd("1.8") if number >= needed else 1), (before, number)
        for _ in range(500):
            sent(policy, 1, ended(1, tokens=1))
        assert policy.ratio == usd("1.8")


def test_a_computed_cost_beyond_the_worst_case_raises_the_ratio() -> None:
    """Reasoning that was billed beyond `max_tokens`: the cost is as its tokens say, and still more than it could be."""
    policy = budget(100)
    for _ in range(2):
        dear = Request(Key("1"), 0, "m", [], b"{}", 1, asking(1))
        sent(policy, 1, ended(3, tokens=3)._replace(request=dear))
    assert policy.ratio == 3
    assert (policy.overruns, policy.overrun_usd) == (2, usd(4))


@given(
    st.lists(st.tuples(st.integers(1, 20), st.integers(0, 60)), max_size=300),
    st.integers(1, 200),
    st.sampled_from([KNOWN, PriceRatio("p")]),
)
def test_the_cap_holds_within_what_is_told(rows: list[tuple[int, int]], cap: int, learned: PriceRatio) -> None:
    """Answers that cost up to three times their worst case: what goes beyond the cap is in the overruns told."""
    policy, paid = budget(cap, learned), Decimal(0)
    for worst, tenths in rows:
        if policy.check(0, asking(worst)) is not ADMIT:
            break
        cost = Decimal(worst) * tenths / 20
        request = Request(Key("1"), 0, "m", [], b"{}", 1, asking(worst))
        sent(policy, worst, ended(str(cost))._replace(request=request))
        paid += cost
        assert paid <= cap + policy.overrun_usd


def test_a_row_without_a_bound_is_never_admitted() -> None:
    """Whatever the cap: it would be none."""
    assert isinstance(budget(10**9).check(0, asking(None)), Halt)


# A request: its worst case, the share of it that is billed in truth, and what came of it.
attempts = st.tuples(st.integers(1, 40), st.integers(0, 100), st.sampled_from(["paid", "lost", "free", "untold"]))
moves = st.lists(attempts | st.integers(0, 20), max_size=120)


@given(moves, st.integers(1, 400), st.sampled_from([KNOWN, PriceRatio("p")]))
def test_the_cap_holds_for_any_interleaving(
    played: list[tuple[int, int, str] | int], cap: int, learned: PriceRatio
) -> None:
    """Requests go and end in any order, are paid, lost or refused: the provider's own sum never passes the cap."""
    policy = budget(cap, learned)
    flying: list[tuple[MaxUsage, Decimal, str]] = []
    truly_billed = Decimal(0)
    for move in played:
        if isinstance(move, tuple):
            worst, share, end = move
            max_usage = asking(worst)
            decision = policy.check(0, max_usage)
            assert not (isinstance(decision, Halt) and flying)
            if decision is ADMIT:
                policy.acquire(0, max_usage)
                flying.append((max_usage, Decimal(worst) * share / 100, end))
        elif flying:
            max_usage, cost, end = flying.pop(move % len(flying))
            truly_billed += 0 if end == "free" else cost
            said = {"paid": ended(str(cost)), "lost": BROKEN, "free": REFUSED, "untold": ended(None)}[end]
            policy.release(0, max_usage, said)
        in_flight = sum((cost for _, cost, _ in flying), Decimal(0))
        assert truly_billed + in_flight <= policy.counted_usd <= cap or policy.counted_usd == 0
        assert truly_billed + in_flight <= cap


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(1, 100)), min_size=1, max_size=80), st.integers(20, 200))
def test_no_more_than_one_reservation_is_left_unused(rows: list[tuple[int, int]], cap: int) -> None:
    """One after the other: when it stops, what is left is less than the next row's worst case."""
    policy = budget(cap)
    for worst, share in rows:
        decision = policy.check(0, asking(worst))
        if isinstance(decision, Halt):
            assert cap - policy.counted_usd < worst
            return
        sent(policy, worst, ended(str(Decimal(worst) * share / 100)))


@pytest.mark.parametrize(
    ("cap", "counted_and_next", "answered_and_left", "enough"),
    [
        ("20", ("19.9", "0.01"), (1000, 500), "32"),  # 19.9 + 19.9 / 1000 * 500 * 1.2, rounded up to two digits
        ("0.5", ("0.4999", "0.001"), (10, 0), "0.53"),  # never the cap it had
        ("0.5", ("0", "0.7"), (0, 10), "1.2"),  # nothing answered: the next row, and as much again as the cap
        ("0.000123", ("0.0001", "0.00002"), (10, 10), "0.00024"),
    ],
)
def test_the_cap_it_proposes_is_enough(
    cap: str, counted_and_next: tuple[str, str], answered_and_left: tuple[int, int], enough: str
) -> None:
    """By the mean of the answers so far and a fifth more, in two digits, and never below what stopped it."""
    (counted, next_), (answered, left) = counted_and_next, answered_and_left
    assert enough_usd(usd(cap), usd(counted), usd(next_), answered=answered, left=left) == usd(enough)
