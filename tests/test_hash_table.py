"""The table that numbers hashes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.hash_table import HashTable, grown, stable_hash64, zeros

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


@given(st.lists(st.integers(0, 255), max_size=40), st.integers(0, 9000), st.booleans())
def test_a_column_that_grows_has_zeros_behind_its_values(values: list[int], more: int, is_looked_at: bool) -> None:
    """Whether its pages can move or not; who looks at the shorter one still sees what was in it."""
    column = zeros("B", len(values))
    column[:] = bytes(values)
    view = column[:] if is_looked_at else None
    longer = grown(column, len(values) + more)
    assert (longer.format, longer.tolist()) == ("B", [*values, *[0] * more])
    assert view is None or view.tolist() == values


GROWTH = """
from batchchat.hash_table import grown, zeros

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

column = zeros("Q", 1 << 20)
for number in range(0, 1 << 18, 512):
    column[number] = 1
before = resident()
column = grown(column, 1 << 21)
print(resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux" or not Path("/proc/self/statm").exists(), reason="pages move on Linux")
def test_a_column_that_grows_takes_no_memory_for_what_was_never_written() -> None:
    """A quarter of it was: a copy would have taken all 8 MiB."""
    measured = subprocess.run([sys.executable, "-c", GROWTH], capture_output=True, text=True, check=True)
    assert int(measured.stdout) < 1 << 18
