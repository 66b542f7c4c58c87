"""What the attempts of a row used up, summed."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from batchchat.core.attempt import NO_SPEND, Action, Attempt, Billed, Cost, MaxUsage, Request, Spend, Verdict
from batchchat.core.conversation import ErrorKind, Key

REQUEST = Request(Key("1"), 0, "m", [], b"{}", 1, MaxUsage(cost_usd=Decimal("0.5")))

costs = st.none() | st.decimals(0, 1000, places=12)
attempts = st.lists(st.tuples(st.sampled_from(Billed), costs, st.sampled_from(ErrorKind)), max_size=12)


def attempt(billed: Billed, cost: Decimal | None) -> Attempt:
    paid = None if cost is None else Cost(cost, "reported")
    return Attempt(REQUEST, Verdict(Action.RETRY, billed=billed), 0, 0, 0, cost=paid)


def spend(made: list[tuple[Billed, Decimal | None, ErrorKind]]) -> Spend:
    total = NO_SPEND
    for billed, cost, kind in made:
        total = total.with_attempt(attempt(billed, cost)).with_retry(kind)
    return total


@given(attempts)
def test_attempts_are_summed(made: list[tuple[Billed, Decimal | None, ErrorKind]]) -> None:
    """Attempts, those that may have been billed, what was reported, exactly, and what for they were made."""
    total = spend(made)
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
    first, second = spend(before), spend(after)
    assert first + second == spend(before + after)
    assert (first, second) == (spend(before), spend(after))


def test_an_attempt_without_a_bound_stands_beside_the_sum_of_the_others() -> None:
    """What had a bound counts with it, whatever else broke off: a cap must not forget it for the one that had none."""
    unbounded = Request(Key("1"), 0, "m", [], b"{}", 1)
    spend = NO_SPEND.with_cancelled(REQUEST)
    assert (spend.attempts, spend.possibly_billed, spend.possibly_billed_usd) == (1, 1, Decimal("0.5"))
    both = spend.with_cancelled(unbounded)
    assert (both.possibly_billed, both.possibly_billed_usd, both.unbounded) == (2, Decimal("0.5"), 1)
    assert (both + spend).possibly_billed_usd == 1
    assert (both + both).unbounded == 2
    broke_off = attempt(Billed.MAYBE, None)._replace(request=unbounded)
    assert spend.with_attempt(broke_off) == both


def test_nothing_spent_stays_nothing() -> None:
    """The shared beginning is not changed by what begins with it."""
    NO_SPEND.with_retry(ErrorKind.TIMEOUT)
    NO_SPEND.with_attempt(attempt(Billed.MAYBE, Decimal(1)))
    assert Spend() == NO_SPEND
    assert NO_SPEND.cost_usd is None
