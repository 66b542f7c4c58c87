"""One of several parts of an input, each of which is a run of its own: its rows, and its part of the job's limits."""

from __future__ import annotations

from decimal import Decimal
from pathlib import PurePath
from typing import NamedTuple, TypeVar

from batchchat.hash_table import stable_hash64

__all__ = ["KeyShard"]

P = TypeVar("P", bound=PurePath)

_MICROS = Decimal("0.000001")


class KeyShard(NamedTuple):
    """The shard `number`, from 1, of `of`: the input rows whose key's hash falls to it.

    The hash is of the key alone, so a row stays in its shard when others are added or the job changes.
    """

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def has(self, key: str) -> bool:
        """Whether the input row with this key is of the shard."""
        return stable_hash64(key.encode("utf-8", "surrogatepass")) % self.of == self.number - 1

    def part_of_count(self, total: int) -> int:
        """The shard's part of `total`; the parts of all shards add up to it."""
        whole, remaining = divmod(total, self.of)
        return whole + (self.number <= remaining)

    def part_of_usd(self, usd: Decimal) -> Decimal:
        """The same of an amount of money, to a millionth of a dollar or its last digit."""
        unit = min(_MICROS, Decimal(1).scaleb(int(usd.as_tuple().exponent)))
        return self.part_of_count(int(usd / unit)) * unit

    def output(self, path: P) -> P:
        """Where the shard of a job with the output `path` writes: `out/x-2-of-4.parquet` for `out/x.parquet`."""
        return path.with_name(f"{path.stem}-{self.number}-of-{self.of}{path.suffix}")
