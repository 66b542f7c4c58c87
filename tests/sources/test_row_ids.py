"""What each row is called."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.core.bad import Bad
from batchchat.sources.row_ids import ColumnIds, ContentIds, parse_id, request_digest
from tests.sources.folder import user


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a", "a"),
        (7, "7"),
        (-(2**70), str(-(2**70))),
        ("é", "é"),
        ("", Bad("`id` is empty. It takes text or a whole number.")),
        (None, Bad("`id` is null. It takes text or a whole number.")),
        (True, Bad("`id` is true. It takes text or a whole number.")),
        (1.0, Bad("`id` is 1.0, a number. It takes text or a whole number.")),
        ([1], Bad("`id` is [1], a list. It takes text or a whole number.")),
        ("a\ud800", Bad('`id` is "a\ufffd", which holds half of a surrogate pair.')),
    ],
)
def test_a_cell_as_an_id(value: Any, expected: Any) -> None:
    """Text and whole numbers are ids; nothing else is, nor what can't be written as UTF-8."""
    assert parse_id(value, "id") == expected


_NASTY = ["a", "a#f:1", "a#f:2", "a#f:3", "a#f:3#f:3", "f:1", "f:2", "f:2#f:2", "1", "2"]


@given(st.lists(st.sampled_from(_NASTY), max_size=30), st.lists(st.integers(1, 3), min_size=30, max_size=30))
def test_given_ids_are_unique(wanted: list[str], gaps: list[int]) -> None:
    """Whatever ids are given, those handed out are unique; the first keeps its own, and a later one is told where."""
    ids, line = ColumnIds(), 0
    first: dict[str, str] = {}
    for name, gap in zip(wanted, gaps, strict=False):
        line += gap
        claimed, error = ids.claim(name, "f", line)
        assert claimed not in first
        if name in first:
            assert claimed.startswith(f"{name}#f:{line}")
            assert error == Bad(f'duplicate id "{name}", first used at {first[name]}')
        else:
            assert (claimed, error) == (name, None)
        first[claimed] = f"f:{line}"


def test_the_first_of_a_repeated_id_is_named_over_files() -> None:
    """Its place is known in whichever file it stands."""
    ids = ColumnIds()
    assert ids.claim("a", "one", 5) == ("a", None)
    assert ids.claim("b", "two", 1) == ("b", None)
    assert ids.claim("a", "two", 2) == ("a#two:2", Bad('duplicate id "a", first used at one:5'))
    assert ids.claim("b", "one", 1) == ("b#one:1", Bad('duplicate id "b", first used at two:1'))


def test_a_long_id_is_shortened_in_the_sentence_alone() -> None:
    """What is told is short, what is claimed is whole."""
    ids = ColumnIds()
    ids.claim("x" * 500, "f", 1)
    name, error = ids.claim("x" * 500, "f", 2)
    assert name == "x" * 500 + "#f:2"
    assert error == Bad(f'duplicate id "{"x" * 58}…, first used at f:1')


@given(st.lists(st.sampled_from("abc")), st.randoms())
def test_hashed_ids_are_unique_and_independent_of_position(texts: list[str], random: Any) -> None:
    """However the rows are ordered, the set of ids is the same, and each conversation has the same ones."""

    def ids_of(order: list[str]) -> dict[str, str]:
        ids = ContentIds()
        return {ids.claim(request_digest(user(text), {}, None)): text for text in order}

    shuffled = list(texts)
    random.shuffle(shuffled)
    assert ids_of(shuffled) == ids_of(texts)
    assert len(ids_of(texts)) == len(texts)


def test_hashed_ids_are_fixed() -> None:
    """Journals know rows by them, so that they may never change; key order plays no part."""
    ids = ContentIds()
    same = [{"content": "hi", "role": "user"}]
    claimed = [ids.claim(request_digest(messages, {}, None)) for messages in (user("hi"), same, user("hi"))]
    assert claimed == ["82148ae815149c82", "82148ae815149c82-2", "82148ae815149c82-3"]


def test_equal_prompts_with_parameters_of_their_own_are_told_apart_by_them() -> None:
    """Whichever comes first: a sweep over temperatures or models has an id for each of its rows."""
    sweep: list[tuple[dict[str, Any], str | None]] = [({"seed": 1}, None), ({"seed": 2}, None), ({}, "m"), ({}, None)]

    def ids_of(order: list[tuple[dict[str, Any], str | None]]) -> dict[str, str]:
        ids = ContentIds()
        return {str(own): ids.claim(request_digest(user("hi"), *own)) for own in order}

    assert ids_of(sweep) == ids_of(sweep[::-1])
    assert len(set(ids_of(sweep).values())) == len(sweep)
    assert not any("-" in id_ for id_ in ids_of(sweep).values())
