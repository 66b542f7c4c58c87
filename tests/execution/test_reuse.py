"""Which answers other rows may take over."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from batchchat.core.conversation import Key
from batchchat.execution.reuse import FreeAnswers
from batchchat.store.index import Index


def index_of(fingerprints: Iterable[int], statuses: Iterable[str] = ()) -> Index:
    """An index of finished rows, none of which is in the input."""
    index, given_statuses = Index(), list(statuses)
    for at, fingerprint in enumerate(fingerprints):
        status = given_statuses[at] if at < len(given_statuses) else "answered"
        index.finish(index.add(Key(str(at))), status, fingerprint, at)
    return index


def test_an_answer_is_taken_once() -> None:
    """Equal requests take the answers there are, and no more; what nobody wants is not free."""
    free = FreeAnswers(index_of([7, 7, 8]), [7, 7, 7], [])
    assert len(free) == 2
    assert not free.is_free(2)
    assert sorted(entry for entry in (free.take(7), free.take(7)) if entry is not None) == [0, 1]
    assert (free.take(7), free.take(8), free.take(9)) == (None, None, None)
    assert not free.is_free(0)


def test_only_answers_of_rows_that_are_gone_or_changed() -> None:
    """A row in the input keeps its own answer; a failure is no answer; those of gone rows are taken first."""
    index = index_of([5, 5, 5, 6], ["answered", "failed", "answered", "answered"])
    index.set_ordinal(2, 0)
    index.set_ordinal(3, 1)
    free = FreeAnswers(index, [5, 6], [2])
    assert len(free) == 2
    assert [free.take(5), free.take(5), free.take(5), free.take(6)] == [0, 2, None, None]


@given(st.lists(st.integers(0, 5), max_size=30), st.lists(st.integers(0, 5), max_size=30))
def test_as_many_as_both_have(answered: list[int], wanted: list[int]) -> None:
    """Each request gets the lesser of how often it was answered and how often it is wanted, none another's."""
    free = FreeAnswers(index_of(answered), wanted, [])
    taken = [(fingerprint, free.take(fingerprint)) for fingerprint in wanted]
    entries = [entry for _, entry in taken if entry is not None]
    assert len(set(entries)) == len(entries)
    assert all(answered[entry] == fingerprint for fingerprint, entry in taken if entry is not None)
    assert len(entries) == sum(min(answered.count(n), wanted.count(n)) for n in set(wanted))
