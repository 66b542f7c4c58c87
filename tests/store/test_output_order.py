"""Which rows of an unfinished run stand fast in its output."""

from __future__ import annotations

import tracemalloc
from array import array

from hypothesis import given
from hypothesis import strategies as st

from batchchat.store.output_order import CompletionOrder, InputOrder

_MOST = st.integers(1, 5)


@given(st.permutations(range(12)), st.lists(st.integers(0, 3), min_size=12, max_size=12), _MOST)
def test_rows_are_taken_in_the_order_of_the_input(finished: list[int], pauses: list[int], most: int) -> None:
    """Whatever the order in which they end: each once, none before those before it, all once all are there."""
    order, taken, noted = InputOrder(), list[int](), set[int]()
    for ordinal, takes in zip(finished, pauses, strict=True):
        order.note(ordinal, 100 + ordinal)
        noted.add(ordinal)
        settled = next(n for n in range(13) if n not in noted)
        assert order.settled == settled - len(taken)
        for _ in range(takes):
            rows = order.take(most)
            assert len(rows) == min(most, settled - len(taken))
            taken += rows
    while rows := order.take(most):
        taken += rows
    assert taken == [100 + ordinal for ordinal in range(12)]
    assert not order.is_broken


def test_the_first_of_many_rows_settles_all_behind_it() -> None:
    """However many rows ended before the one that held them up, and however they are taken."""
    order, rows = InputOrder(), 50_000
    for ordinal in range(rows - 1, 0, -1000):
        order.note(ordinal, ordinal)
    order.note(0, 0)
    assert order.settled == 1
    for ordinal in range(1, rows):
        if (rows - 1 - ordinal) % 1000:
            order.note(ordinal, ordinal)
    assert order.settled == rows
    assert order.take(10_000) == array("Q", range(10_000))
    assert order.take(rows) == array("Q", range(10_000, rows))
    assert (order.settled, order.is_broken) == (0, False)


def test_a_row_that_ends_again_counts_as_it_is_now() -> None:
    """Until it was taken; then what was taken is not what the output will have."""
    order = InputOrder()
    for ordinal, offset in ((1, 10), (0, 20), (1, 30), (0, 40)):
        order.note(ordinal, offset)
    assert (list(order.take(5)), order.settled, order.is_broken) == ([40, 30], 0, False)
    order.note(2, 50)
    order.note(1, 60)
    assert order.is_broken


@given(st.lists(st.integers(0, 9), max_size=6, unique=True), st.lists(st.integers(0, 2), max_size=9), _MOST)
def test_rows_are_taken_in_the_order_of_the_journal(before: list[int], pauses: list[int], most: int) -> None:
    """Those of earlier runs first."""
    order, taken = CompletionOrder(array("Q", sorted(before))), list[int]()
    for number, takes in enumerate(pauses):
        order.note(7, 100 + number)
        for _ in range(takes):
            taken += order.take(most)
        assert order.settled == len(before) + number + 1 - len(taken)
    while rows := order.take(most):
        taken += rows
    assert taken == [*sorted(before), *range(100, 100 + len(pauses))]
    assert not order.is_broken


def test_several_writers_have_no_order_of_completion() -> None:
    """Each has segments of its own: which row is next in the journal is known once all have ended."""
    order = CompletionOrder(array("Q"))
    order.note(0, 2 << 40)
    order.note(1, 3 << 40)
    assert not order.is_broken
    order.note(2, (2 << 40) + 500)
    assert order.is_broken


def test_rows_that_were_taken_take_no_memory() -> None:
    """A block of 64 KB and what lies between the ends, however many rows there are."""
    order = InputOrder()
    tracemalloc.start()
    for ordinal in range(100_000):
        order.note(ordinal ^ 7, ordinal)
        if ordinal % 5000 == 4999:
            order.take(5000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 300_000


def test_rows_that_are_far_ahead_take_no_memory() -> None:
    """One row may be tried for as long as millions behind it take."""
    order = InputOrder()
    order.note(0, 10)
    order.note(4_000_000_000, 20)
    assert (list(order.take(9)), order.is_broken) == ([10], True)
