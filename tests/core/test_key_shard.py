"""Which rows a shard has, and its part of limits and money."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from batchchat.core.key_shard import KeyShard


def shards(of: int) -> list[KeyShard]:
    return [KeyShard(number, of) for number in range(1, of + 1)]


@pytest.mark.parametrize("of", [1, 4, 7])
def test_each_key_is_in_one_shard(of: int) -> None:
    """Whatever the keys are, and about as many in each."""
    keys = [f"r{n:04}" for n in range(2000)] + ["in.jsonl:3", "ключ", "half \ud800 of a pair", ""]
    counts = Counter(shard.number for key in keys for shard in shards(of) if shard.has(key))
    assert counts.total() == len(keys)
    assert min(counts.values()) > len(keys) / of * 0.8


def test_a_key_stays_where_it_is() -> None:
    """Of all processes and versions the same: an answer that is paid for would else be paid for once more."""
    found = {key: next(shard.number for shard in shards(4) if shard.has(key)) for key in ("r0000", "r0001", "é", "x:1")}
    assert found == {"r0000": 2, "r0001": 1, "é": 4, "x:1": 4}


@pytest.mark.parametrize(("total", "of", "parts"), [(200, 4, [50] * 4), (7, 3, [3, 2, 2]), (2, 3, [1, 1, 0])])
def test_parts_of_a_count_add_up(total: int, of: int, parts: list[int]) -> None:
    """What does not divide goes to the first shards."""
    assert [shard.part_of_count(total) for shard in shards(of)] == parts


@pytest.mark.parametrize("usd", ["10", "0.01", "4.9981", "0.0000001", "1E+3", "12345.67"])
def test_parts_of_money_add_up(usd: str) -> None:
    """To the last digit, and none is more than a unit over the others."""
    parts = [shard.part_of_usd(Decimal(usd)) for shard in shards(3)]
    assert sum(parts) == Decimal(usd)
    assert max(parts) - min(parts) <= Decimal("0.000001")


@pytest.mark.parametrize(
    ("path", "expected"), [("out/x.parquet", "out/x-2-of-4.parquet"), ("out/parts", "out/parts-2-of-4")]
)
def test_the_output_is_beside_the_jobs(path: str, expected: str) -> None:
    """A file or a folder, as the job's is."""
    assert KeyShard(2, 4).output(Path(path)) == Path(expected)
