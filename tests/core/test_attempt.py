"""What the attempts of a row used up, summed."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from batchchat.core.attempt import NOTHING_SPENT, Action, Ask, Billed, Cost, Exchange, Request, Spent, Verdict
from batchchat.core.conversation import ErrorKind, Key

REQUEST = Request(Key("1"), 0, "m", [], b"{}", 1, Ask(cost_usd=Decimal("0.5")))

costs = st.none() | st.decimals(0, 1000, places=12)
attempts = st.lists(st.tuples(st.sampled_from(Billed), costs, st.sampled_from(ErrorKind)), max_size=12)


def exchange(billed: Billed, cost: Decimal | None) -> Exchange:
    paid = None if cost is None else Cost(cost, "reported")
    return Exchange(REQUEST, Verdict(Action.RETRY, billed=billed), 0, 0, 0, cost=paid)


def spent(made: list[tuple[Billed, Decimal | None, ErrorKind]]) -> Spent:
    total = NOTHING_SPENT
    for billed, cost, kind in made:
        total = total.plus(exchange(billed, cost)).because_of(kind)
    return total


@given(attempts)
def test_attempts_are_summed(made: list[tuple[Billed, Decimal | None, ErrorKind]]) -> None:
    """Attempts, those that may have been billed, what was reported, exactly, and what for they were made."""
    total = spent(made)
    known = [Fraction(cost) for _, cost, _ in made if cost is not None]
    assert total.attempts == len(made) == sum(total.retries.values())
    assert total.possibly_billed == sum(billed is Billed.MAYBE for billed, _, _ in made)
    assert (None if total.cost_usd is None else Fraction(total.cost_usd)) == (sum(known) if known else None)
    assert total.possibly_billed_usd == Decimal("0.5") * total.possibly_billed
    untold = sum(billed is Billed.YES and cost is None for billed, cost, _ in made)
    assert total.unreported_usd == Decimal("0.5") * untold
    kinds = [kind.value for _, _, kind in made]
    assert total.retries == {kind: kinds.count(kind) for kind in kinds}


@given(attempts, attempts)
def test_sums_of_two_runs_are_the_sum_of_all(
    before: list[tuple[Billed, Decimal | None, ErrorKind]], after: list[tuple[Billed, Decimal | None, ErrorKind]]
) -> None:
    """What earlier runs spent and what this one did add up; neither is changed by it."""
    first, second = spent(before), spent(after)
    assert first + second == spent(before + after)
    assert (first, second) == (spent(before), spent(after))


def test_an_attempt_without_a_bound_stands_beside_the_sum_of_the_others() -> None:
    """What had a bound counts with it, whatever else broke off: a cap must not forget it for the one that had none."""
    unbounded = Request(Key("1"), 0, "m", [], b"{}", 1)
    spent = NOTHING_SPENT.cut(REQUEST)
    assert (spent.attempts, spent.possibly_billed, spent.possibly_billed_usd) == (1, 1, Decimal("0.5"))
    both = spent.cut(unbounded)
    assert (both.possibly_billed, both.possibly_billed_usd, both.unbounded) == (2, Decimal("0.5"), 1)
    assert (both + spent).possibly_billed_usd == 1
    assert (both + both).unbounded == 2
    broke_off = exchange(Billed.MAYBE, None)._replace(request=unbounded)
    assert spent.plus(broke_off) == both


def test_nothing_spent_stays_nothing() -> None:
    """The shared beginning is not changed by what begins with it."""
    NOTHING_SPENT.because_of(ErrorKind.TIMEOUT)
    NOTHING_SPENT.plus(exchange(Billed.MAYBE, Decimal(1)))
    assert Spent() == NOTHING_SPENT
    assert NOTHING_SPENT.cost_usd is None
