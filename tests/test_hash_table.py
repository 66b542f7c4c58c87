"""The table that numbers hashes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchchat.hash_table import HashTable, stable_hash64

_hashes = st.integers(0, 2**64 - 1)


@given(st.lists(_hashes | st.integers(0, 8).map(lambda n: n << 40)))
def test_it_numbers_like_a_dict(keys: list[int]) -> None:
    """Members are numbered in order of first sight, also where their low bits are the same."""
    table, model = HashTable(), dict[int, int]()
    for key in keys:
        is_new = key not in model
        assert table.add(key) == (model.setdefault(key, len(model)), is_new)
    assert len(table) == len(model)
    assert {key: table.find(key) for key in model} == model


@given(st.sets(_hashes, max_size=5), _hashes)
def test_what_was_not_added_is_not_found(keys: set[int], other: int) -> None:
    """None is the answer for a hash that was never added."""
    table = HashTable()
    for key in keys:
        table.add(key)
    assert (table.find(other) is None) == (other not in keys)


def test_it_grows() -> None:
    """Members keep their numbers over many growths."""
    table = HashTable()
    keys = [stable_hash64(str(number).encode()) for number in range(20_000)]
    assert [table.add(key) for key in keys] == [(number, True) for number in range(20_000)]
    assert [table.find(key) for key in keys] == list(range(20_000))


def test_the_hash_is_fixed() -> None:
    """Journals hold these hashes, so they may never change."""
    assert f"{stable_hash64(b'batchchat'):016x}" == "3adf2e117c1fb757"
    assert 0 <= stable_hash64(b"") < 2**64
