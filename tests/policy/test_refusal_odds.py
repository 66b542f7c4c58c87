"""How likely it is that rows are themselves the cause of their refusals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.core.conversation import Key
from batchchat.policy.refusal_odds import RefusalOdds


def odds(answered: int = 0, refusals: int = 0) -> RefusalOdds:
    """After `answered` rows were answered, which had been refused `refusals` times before."""
    known = RefusalOdds()
    for number in range(answered):
        known.add_answer(number, refusals // answered + (number < refusals % answered))
    return known


def verdict(known: RefusalOdds) -> tuple[bool, bool]:
    """Whether there are bad rows, and whether there is an outage."""
    return known.has_bad_rows, known.is_outage


@given(answered=st.integers(0, 500), refusals=st.integers(0, 500), contradicted=st.integers(0, 40))
def test_each_contradicted_refusal_makes_it_likelier(answered: int, refusals: int, contradicted: int) -> None:
    """It is a probability, whatever is known so far, and never falls with another refusal."""
    known = odds(answered, refusals if answered else 0)
    assert 0 < known.of_row(contradicted) <= known.of_row(contradicted + 1) <= 1


@given(answered=st.integers(1, 300), fewer=st.integers(0, 300), more=st.integers(1, 300))
def test_where_good_rows_are_refused_more_often_a_refusal_says_less(answered: int, fewer: int, more: int) -> None:
    """The background is the share of the requests of answered rows that were refused."""
    quiet, noisy = odds(answered, fewer), odds(answered, fewer + more)
    assert 0 < quiet.background < noisy.background < 1
    assert noisy.background == pytest.approx((fewer + more) / (answered + fewer + more), abs=1 / answered)
    assert quiet.of_row(3) > noisy.of_row(3)


def test_rows_that_were_given_up_make_the_next_likelier_to_be_bad() -> None:
    """And with many answered rows a row that was not contradicted is taken for a good one."""
    known = odds(1_000, 100)
    assert verdict(known) == (False, False)
    before = known.of_row(1)
    for _ in range(50):
        known.add_given_up()
    assert verdict(known) == (True, False)
    assert known.of_row(1) > 10 * before
    assert known.of_row(0) < 0.1


def test_good_rows_that_are_refused_with_the_bad_ones_are_an_outage() -> None:
    """Bad rows alone are none, however many are left and however often they are refused; three others with them are."""
    known = odds(1_000, 20)
    for row in range(20):
        known.move_row(None, 0)
        known.move_row(0, 3)
        known.add_refusal(Key(f"bad{row}"), 2_000 + row, 3)
    for row in range(20):
        known.add_refusal(Key(f"bad{row}"), 3_000 + row, 3)
    assert verdict(known) == (True, False)
    for row in range(3):
        known.move_row(None, 0)
        known.add_refusal(Key(f"good{row}"), 4_000 + row, 0)
    assert verdict(known) == (True, True)
    for row in range(3):
        known.remove_refusal(Key(f"good{row}"))
    assert verdict(known) == (True, False)


def test_a_lost_connection_is_no_rows_fault() -> None:
    """Two rows that do not reach the endpoint are an outage, whatever else is known of them."""
    known = odds(100)
    for _ in range(100):
        known.add_given_up()
    for row in range(2):
        known.add_lost_connection(Key(str(row)), 200 + row)
    assert known.is_outage


def test_an_answer_takes_back_the_refusals_sent_before_it() -> None:
    """What was sent after it may still be an outage."""
    known = odds(1_000)
    for row in range(4):
        known.add_refusal(Key(str(row)), 2_000 + row, 0)
    assert verdict(known) == (False, True)
    known.add_answer(2_001, 0)
    assert known.refused_since_answer() == [(Key("2"), 2_002), (Key("3"), 2_003)]
    known.add_answer(2_004, 0)
    assert known.refused_since_answer() == []
    assert verdict(known) == (False, False)


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["refused", "lost", "forgotten"])), max_size=60))
def test_what_is_taken_back_leaves_nothing(steps: list[tuple[int, str]]) -> None:
    """Rows refused, lost and forgotten in any order: when none is left, nothing of them counts."""
    known = odds(50, 5)
    for number, (row, what) in enumerate(steps):
        if what == "refused":
            known.add_refusal(Key(str(row)), 100 + number, row)
        elif what == "lost":
            known.add_lost_connection(Key(str(row)), 100 + number)
        else:
            known.remove_refusal(Key(str(row)))
    since = known.refused_since_answer()
    assert sorted(number for _, number in since) == [number for _, number in since]
    for row in range(6):
        known.remove_refusal(Key(str(row)))
    assert known.refused_since_answer() == []
    assert not known.is_outage
