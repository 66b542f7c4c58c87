"""Where each row stands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.core.conversation import Key, Status
from batchchat.store.index import Index

_keys = st.builds(
    Key,
    st.text(st.sampled_from("a\x1f\ud8001"), max_size=4),
    st.text(st.sampled_from("a\x1f1"), max_size=2),
    st.integers(0, 2),
)


@given(st.lists(_keys))
def test_each_key_has_one_entry(keys: list[Key]) -> None:
    """Entries are numbered in order of first sight; no two keys share one, whatever stands in their ids."""
    index = Index()
    entries = [index.add(key) for key in keys]
    first_seen = list(dict.fromkeys(keys))
    assert entries == [first_seen.index(key) for key in keys]
    assert [index.find(key) for key in keys] == entries
    assert len(index) == len(first_seen)
    assert index.find(Key("nowhere")) is None


def test_an_entry_begins_without_a_record() -> None:
    """A key just seen is not finished, and not in the input."""
    index = Index()
    entry = index.add(Key("a"))
    assert (index.status(entry), index.is_in_input(entry), list(index.finished())) == ("", False, [])
    assert list(index.offsets_in_order("input")) == []


def test_a_finished_row_is_found_again() -> None:
    """Status, fingerprint and journal offset are those of the last record, at full width."""
    index = Index()
    entry = index.add(Key("a", "v", 3))
    index.finish(entry, Status.FAILED, 1, 2)
    index.finish(entry, "answered", 2**64 - 1, 2**63)
    assert (index.status(entry), index.fingerprint(entry), index.journal_offset(entry)) == (
        "answered",
        2**64 - 1,
        2**63,
    )
    assert list(index.finished()) == [entry]


@given(st.lists(st.tuples(st.integers(-1, 9), st.booleans()), max_size=30))
def test_rows_come_in_the_order_of_the_input(rows: list[tuple[int, bool]]) -> None:
    """Finished rows of the input come by ordinal, equals by first sight; others do not come."""
    index = Index()
    for number, (ordinal, done) in enumerate(rows):
        entry = index.add(Key(str(number)))
        if ordinal >= 0:
            index.set_ordinal(entry, ordinal)
        if done:
            index.finish(entry, "answered", 0, number)
    wanted = sorted((ordinal, entry) for entry, (ordinal, done) in enumerate(rows) if done and ordinal >= 0)
    assert list(index.offsets_in_order("input")) == [entry for _, entry in wanted]
    assert list(index.offsets_in_order("completion")) == sorted(entry for _, entry in wanted)
    assert sorted(index.finished_in(range(len(index)))) == wanted


def test_a_row_placed_twice_counts_once() -> None:
    """A second reading of the input moves a row, and does not double it."""
    index = Index()
    entry = index.add(Key("a"))
    index.set_ordinal(entry, 5)
    index.set_ordinal(entry, 6)
    index.finish(entry, "answered", 0, 7)
    assert list(index.offsets_in_order("input")) == [7]


def test_rows_may_be_added_once_the_order_was_read() -> None:
    """What was read of the order does not lock the index."""
    index = Index()
    for number in range(3):
        entry = index.add(Key(str(number)))
        index.set_ordinal(entry, number)
        index.finish(entry, "answered", 0, number)
    order = index.offsets_in_order("input")
    index.set_ordinal(index.add(Key("new")), 3)
    assert list(order) == [0, 1, 2]


def test_who_follows_the_index_is_told_of_each_finished_row() -> None:
    """With its place in the input and that of its record in the journal; a row that is finished again, once more."""
    index, noted = Index(), list[tuple[int, int]]()
    index.on_finished = lambda ordinal, offset: noted.append((ordinal, offset))
    entry = index.add(Key("a"))
    index.set_ordinal(entry, 5)
    index.finish(entry, "failed", 0, 70)
    index.finish(entry, "answered", 0, 90)
    assert noted == [(5, 70), (5, 90)]


def test_an_amendment_is_no_new_end_of_a_row() -> None:
    """The row was finished where its own record is, under whatever key, until it is finished again."""
    index = Index()
    first, second = index.add(Key("a")), index.add(Key("b"))
    assert not index.was_finished_since(first, 0)
    index.finish(first, "answered", 7, 10)
    index.finish(second, "answered", 8, 11)
    index.amend(first, 20)
    assert (index.journal_offset(first), index.was_finished_since(first, 11)) == (20, False)
    assert (index.was_finished_since(first, 10), index.was_finished_since(second, 11)) == (True, True)
    third = index.add(Key("c"))
    index.move(first, third)
    index.amend(third, 30)
    assert not index.was_finished_since(first, 0)
    assert (index.was_finished_since(third, 10), index.was_finished_since(third, 11)) == (True, False)
    index.finish(third, "answered", 9, 40)
    assert index.was_finished_since(third, 40)


RESIDENT = """
import sys
from batchchat.core.conversation import Key
from batchchat.store.index import Index

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

index, before = Index(), resident()
for number in range(100_000):
    index.set_ordinal(index.add(Key(str(number))), number)
    index.finish(number, "answered", number, number)
    index.set_passthrough(number, eval(sys.argv[1]))
print((resident() - before) / len(index))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="there is no /proc")
@pytest.mark.parametrize(
    ("passthrough", "bound"),
    [
        pytest.param('{"n": number}', 51, id="passthrough"),  # 47.5: 37 of columns, and 10.5 of slots
        pytest.param("{}", 43, id="none"),  # 39.5
    ],
)
def test_a_row_takes_as_much_memory_as_its_columns(passthrough: str, bound: int) -> None:
    """Of those that have values. With arrays that were appended to in turn, and all columns written, it took 76."""
    command = [sys.executable, "-c", RESIDENT, passthrough]
    measured = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(measured.stdout) <= bound


def test_a_row_that_loses_its_passthrough_columns_is_noted_so() -> None:
    """That a row has none is known as well as what it has."""
    index = Index()
    entry = index.add(Key("a"))
    index.finish(entry, "answered", 0, 1)
    assert not index.has_other_passthrough(entry, {})
    assert index.has_other_passthrough(entry, {"n": 1})
    index.set_passthrough(entry, {"n": 1})
    assert not index.has_other_passthrough(entry, {"n": 1})
    assert index.has_other_passthrough(entry, {})
    index.set_passthrough(entry, {})
    assert not index.has_other_passthrough(entry, {})
