"""The text of a key names that key and no other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.core.conversation import Key
from batchchat.core.custom_id import custom_id_of, key_of_custom_id

ids = st.text() | st.sampled_from(["a", "a [#0]", "a [x#1]", "a [#0] [#0]", "a [#1]\n", " [#0]", "[#0]"])
keys = st.builds(Key, ids, st.text() | st.text("%[]# 2A"), st.integers(0, 999_999_999))


@given(key=keys | ids.map(Key))
def test_a_key_is_read_back(key: Key) -> None:
    """Whatever stands in the id and the variant."""
    assert key_of_custom_id(custom_id_of(key)) == key


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (Key("q7"), "q7"),
        (Key("q7", "", 2), "q7 [#2]"),
        (Key("q7", "gpt-4o, t=0.7", 2), "q7 [gpt-4o, t=0.7#2]"),
        (Key("q7", "a#b", 0), "q7 [a%23b#0]"),
        (Key("q7 [#2]"), "q7 [#2] [#0]"),
    ],
)
def test_how_it_reads(key: Key, text: str) -> None:
    """A plain id is its own text, as a provider's file has it."""
    assert custom_id_of(key) == text
