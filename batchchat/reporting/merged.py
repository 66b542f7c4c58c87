"""What is said of a merge of shards."""

from __future__ import annotations

from batchchat.results.merge import Merged
from batchchat.text import numbers
from batchchat.text.run_sentence import answered_words

__all__ = ["merged_text"]


def merged_text(merged: Merged) -> str:
    """`4 shards, 12,474 of 12,480 rows answered for $6.2841`."""
    figures = merged.figures
    shards = numbers.quantity(merged.shards, "shard")
    if merged.shards != merged.of:
        shards = f"{numbers.count(merged.shards)} of {numbers.quantity(merged.of, 'shard')}"
    usd = figures.paid_usd
    money = "" if usd is None else f" for {numbers.money(usd)}{' (mock)' if figures.of_mock else ''}"
    return f"{shards}, {answered_words(figures.rows)}{money}"
