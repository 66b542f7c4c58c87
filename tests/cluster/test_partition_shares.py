"""How an input is split into partitions."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchchat.cluster.partition_shares import PartitionShares


@given(st.integers(1, 40), st.integers(1, 8), st.lists(st.integers(0, 9), max_size=200), st.randoms())
def test_all_of_the_input_is_some_partitions(count: int, workers: int, sizes: list[int], random: object) -> None:
    """Whoever takes what next: none but the last has more than its part, and a block that began within it."""
    shares, active, taken = PartitionShares(count, workers, sum(sizes)), list[int](), dict[int, list[int]]()
    for size in sizes:
        while len(active) < workers and shares.has_next:
            active.append(shares.begin())
            taken[active[-1]] = []
        number = random.choice(active)  # type: ignore[attr-defined]
        shares.add(number, size)
        taken[number].append(size)
        active = [number for number in active if shares.has_room(number)]
        assert active or shares.has_next or not sum(sizes) or sum(map(sum, taken.values())) == sum(sizes)
    if count > workers:
        share = -(-sum(sizes) // count)
        for number, blocks in taken.items():
            assert number == count - 1 or sum(blocks[:-1]) < max(share, 1)


def test_no_more_partitions_than_workers() -> None:
    """Each takes what it can."""
    shares = PartitionShares(2, 2, 10)
    assert [shares.begin(), shares.begin(), shares.has_next] == [0, 1, False]
    shares.add(0, 9)
    assert shares.has_room(0)


def test_each_begins_once_and_none_once_that_is_closed() -> None:
    """They are numbered from 0."""
    shares = PartitionShares(3, 1, 9)
    assert [shares.begin(), shares.begin(), shares.has_next] == [0, 1, True]
    shares.add(1, 2)
    assert shares.has_room(1)
    shares.add(1, 1)
    assert not shares.has_room(1)
    shares.close()
    assert not shares.has_next
