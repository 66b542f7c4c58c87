"""What --resend asks for, and how it goes on after a stop."""

from __future__ import annotations

from batchchat.core.conversation import Key
from batchchat.execution.resend import NO_RESEND, IdList, Resend
from batchchat.store.index import Index


def wanted(resend: Resend) -> list[str]:
    """The ids of those rows that it asks for, of one of each kind."""
    index = Index()
    rows = {"a": ("answered", False, ""), "cut": ("answered", True, ""), "bad": ("failed", False, "bad_request")}
    rows |= {"big": ("failed", False, "too_large"), "no": ("invalid", False, "invalid_input")}
    for at, (id_, (status, cut_off, kind)) in enumerate(rows.items()):
        index.finish(index.add(Key(id_)), status, 1, at * 10, cut_off=cut_off, error_kind=kind)
    return [id_ for at, id_ in enumerate(rows) if resend.wants(Key(id_), at, index)]


def test_what_is_asked_for() -> None:
    """Failures, a kind of them, cut-off answers, listed rows; an invalid row is read again in any case."""
    assert wanted(NO_RESEND) == []
    assert wanted(Resend(failed=True)) == ["bad", "big"]
    assert wanted(Resend(kinds=frozenset({"too_large", "invalid_input"}))) == ["big"]
    assert wanted(Resend(cut_off=True)) == ["cut"]
    ids = IdList("ids.txt", ["bad", "a", "a", "nowhere"])
    assert wanted(Resend(id_lists=(ids,))) == ["a", "bad"]
    assert (len(ids), ids.absent) == (3, 1)


def test_answers_since_the_same_command_began_are_not_asked_for_again() -> None:
    """Failures still are: they may be why it was stopped."""
    listed = Resend(failed=True, id_lists=(IdList("x", ["a", "cut", "bad"]),))
    assert wanted(listed) == ["a", "cut", "bad", "big"]
    label = listed.label
    assert listed.going_on([(0, label), (4, []), (5, label), (30, label)]).since == 5
    assert wanted(listed.going_on([(5, label)])) == ["a", "bad", "big"]
    assert listed.going_on([(5, label), (30, None)]) is listed
    assert Resend(failed=True).going_on([(5, []), (9, None)]).since is None


def test_a_list_is_known_by_its_ids() -> None:
    """In any order, whatever its file is called."""
    first, second = IdList("x", ["a", "b"]), IdList("y", ["b", "a"])
    assert first.digest == second.digest != IdList("x", ["a"]).digest
