"""Which rows share an answer: by what they ask, their sample, and what becomes of them."""

from __future__ import annotations

from batchchat.core.conversation import Key
from batchchat.execution.disposition import Disposition
from batchchat.execution.equal_requests import EqualRequests, SharedSource
from batchchat.store.index import Index

NEW, KEEP, AGAIN = Disposition.SEND_NEW, Disposition.KEEP, Disposition.SEND_AGAIN


def test_a_later_equal_row_shares_what_the_first_comes_to() -> None:
    """The first is sent; another request, and another sample, is another answer."""
    equal = EqualRequests(Index())
    assert equal.source_of(Key("a"), 0, 7, NEW) is None
    assert equal.source_of(Key("b"), 1, 8, NEW) is None
    assert equal.source_of(Key("a", "", 1), 2, 7, NEW) is None
    assert equal.source_of(Key("c"), 3, 7, NEW) == SharedSource(0, sends=True)
    assert equal.source_of(Key("c", "", 1), 4, 7, NEW) == SharedSource(2, sends=True)


def test_rows_that_are_kept() -> None:
    """One whose answer is to its request is a source; one that keeps an answer to another request is none."""
    index = Index()
    for id_ in ("a", "b"):
        index.add(Key(id_))
    equal = EqualRequests(index)
    assert equal.source_of(Key("a"), 0, 7, Disposition.UNDECIDED) is None
    assert equal.source_of(Key("b"), 1, 7, NEW) is None, "the first that is sent"
    assert equal.source_of(Key("a"), 0, 7, KEEP) is None, "a row that is kept is not changed"


def test_a_row_that_is_asked_for_again_is_sent() -> None:
    """Unless the first one is sent again too: then it shares the new answer."""
    index = Index()
    index.add(Key("a"))
    kept = EqualRequests(index)
    kept.source_of(Key("a"), 0, index.fingerprint(0), KEEP)
    assert kept.source_of(Key("b"), 1, index.fingerprint(0), AGAIN) is None
    assert kept.source_of(Key("c"), 2, index.fingerprint(0), NEW) == SharedSource(1, sends=True)
    again = EqualRequests(index)
    again.source_of(Key("a"), 0, 7, AGAIN)
    assert again.source_of(Key("b"), 1, 7, AGAIN) == SharedSource(0, sends=True)


def test_what_was_answered_before_counts_wherever_it_is() -> None:
    """A row that is new in front of an equal one, or takes its place, is not paid; an answer is to its sample."""
    index = Index()
    index.finish(index.add(Key("old")), "answered", 7, 0)
    index.finish(index.add(Key("bad")), "failed", 8, 0)
    index.finish(index.add(Key("old", "", 1)), "answered", 7, 0)
    equal = EqualRequests(index)
    assert equal.source_of(Key("new", "", 1), 5, 7, NEW) == SharedSource(2, sends=False)
    assert equal.source_of(Key("new", "", 2), 6, 7, NEW) is None, "another sample"
    assert equal.source_of(Key("new"), 2, 7, NEW) == SharedSource(0, sends=False)
    assert equal.source_of(Key("newer"), 3, 8, NEW) is None, "what failed is no answer"
    assert equal.source_of(Key("old"), 0, 7, AGAIN) is None, "it is sent"
    assert equal.source_of(Key("next"), 4, 7, AGAIN) == SharedSource(0, sends=True)


def test_a_resend_that_goes_on_shares_what_it_has_got() -> None:
    """Rows that it has not sent yet share an answer that it had before it was stopped, not an older one."""
    index = Index()
    for number, (id_, offset) in enumerate((("old", 1), ("new", 9), ("other", 2))):
        index.finish(index.add(Key(id_)), "answered", 7, offset)
        assert index.find(Key(id_)) == number
    equal = EqualRequests(index, resent_since=5)
    assert equal.source_of(Key("other"), 2, 7, AGAIN) == SharedSource(1, sends=False)
    index.amend(2, 20)
    assert equal.source_of(Key("old"), 0, 7, AGAIN) == SharedSource(1, sends=False), "an amended one is old"
