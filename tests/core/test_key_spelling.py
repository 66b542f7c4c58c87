"""A row's key as one text and back."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchchat.core.conversation import Key
from batchchat.core.key_spelling import key_of_spelling, spelled_key

PARTS = st.text(alphabet="a#%/0123 \n", max_size=6)
KEYS = st.builds(Key, PARTS.filter(bool), PARTS, st.integers(0, 12))


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (Key("q1"), "q1"),
        (Key("repo#12"), "repo#12"),
        (Key("q1", "", 2), "q1##2"),
        (Key("q1", "a/b", 0), "q1#a/b#0"),
        (Key("q1", "50%#", 1), "q1#50%25%23#1"),
        (Key("a#b#3"), "a#b#3##0"),
        (Key("a#b#03"), "a#b#03"),
    ],
)
def test_spellings(key: Key, text: str) -> None:
    """The first sample without a matrix is its id; the others name all three."""
    assert spelled_key(key) == text
    assert key_of_spelling(text) == key


@given(KEYS)
def test_a_spelling_is_read_back(key: Key) -> None:
    """Whatever the id and the variant hold."""
    assert key_of_spelling(spelled_key(key)) == key


@given(KEYS, KEYS)
@example(Key("a", "b", 1), Key("a#b#1"))
@example(Key("a", "b", 0), Key("a#b#0"))
def test_no_two_keys_share_a_spelling(left: Key, right: Key) -> None:
    """Unique keys give unique ids."""
    assert (spelled_key(left) == spelled_key(right)) == (left == right)


@given(PARTS)
def test_any_text_is_read(text: str) -> None:
    """One that no key is spelled as is an id."""
    assert key_of_spelling(text).id == text or spelled_key(key_of_spelling(text)) == text
