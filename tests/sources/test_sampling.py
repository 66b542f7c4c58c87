"""Rows at random that stay the same."""

from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from batchchat.core.conversation import BadRow, Key, Row
from batchchat.sources.sampling import choose
from tests.sources.folder import Folder, user

ROWS = [{"id": f"r{n}", "messages": user(f"hi {n}")} for n in range(200)]


def rows(count: int) -> list[Row | BadRow]:
    return [BadRow(Key(f"r{n}"), n, f"x:{n + 1}", "bad") for n in range(count)]


def chosen(count: int, there: int, seed: int = 0, **sizes: int) -> list[str]:
    every = rows(there)
    sample = choose(every, count, seed, **sizes)
    found = [row.key.id for row in sample.select(every)]
    assert len(found) == sample.rows == min(count, there)
    return found


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 50), st.integers(0, 3))
def test_a_sample_keeps_its_rows(count: int, more: int, there: int, seed: int) -> None:
    """It is the same each time, in input order; a larger one holds it, and so, mostly, does one of a longer input."""
    found = chosen(count, there, seed)
    assert found == sorted(chosen(count, there, seed), key=lambda name: int(name[1:]))
    assert set(found) <= set(chosen(count + more, there, seed))
    longer = chosen(count, there + more, seed)
    assert {name for name in longer if int(name[1:]) < there} <= set(found)


def test_seeds_choose_otherwise() -> None:
    """Each seed has its own rows, and each row is chosen as often as another."""
    times = dict.fromkeys((f"r{n}" for n in range(100)), 0)
    for seed in range(300):
        for name in chosen(10, 100, seed):
            times[name] += 1
    # 300 draws of one in ten: 30 each, with a standard deviation of 5.2.
    assert min(times.values()) > 8
    assert max(times.values()) < 56


def test_a_choice_does_not_depend_on_what_is_held() -> None:
    """The same rows are chosen, however often the hashes that are too high are dropped."""
    for min_held in (1, 20, 5000):
        assert chosen(7, 5000, min_held=min_held) == chosen(7, 5000)


def test_what_is_held_is_bounded() -> None:
    """Of many rows no more than twice as many hashes as rows to choose are held: 16 bytes each, not 8 for every row."""
    count, total = 100, 50_000
    choose(rows(1), 1, 0)  # what is imported and made once
    tracemalloc.start()
    choose((BadRow(Key(f"r{n}"), n, "x:1", "bad") for n in range(total)), count, 0, min_held=1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * total


def test_a_source_reads_the_chosen_alone(folder: Folder) -> None:
    """Ordinals and places are those of the whole input, its number of rows is known, and bad rows are rows."""
    folder.write("a.jsonl", ROWS[:120])
    folder.write("b.jsonl", b"broken\n" * 3)
    folder.write("c.jsonl", ROWS[120:])
    every = {row.key: row for row in folder.rows("*.jsonl", id="id")}
    source = folder.open("*.jsonl", id="id", random=50, seed=3)
    found = list(source.read())
    assert (source.rows_total, len(found), source.bytes_read) == (50, 50, source.bytes_total)
    assert all(every[row.key] == row for row in found)
    assert [row.ordinal for row in found] == sorted(row.ordinal for row in found)
    assert list(source.read()) == found
    assert {row.key for row in folder.rows("*.jsonl", id="id", random=20, seed=3)} < {row.key for row in found}
    whole = folder.open("*.jsonl", id="id", random=1000)
    assert (whole.rows_total, len(list(whole.read()))) == (203, 203)


def test_equal_rows_without_ids_are_rows_of_their_own(folder: Folder) -> None:
    """Where ids are hashes, each of some equal conversations can be chosen."""
    folder.write("a.jsonl", [{"messages": user("same")}] * 40)
    assert len({row.key.id for row in folder.rows("a.jsonl", random=15)}) == 15
