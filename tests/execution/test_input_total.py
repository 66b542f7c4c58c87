"""How many rows an input has, as far as that is known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from batchchat.execution.input_total import InputTotal


def test_a_shard_has_its_part_of_what_is_known() -> None:
    """About, since a hash may decide which rows are its own; to the row once they were counted."""
    source: Any = SimpleNamespace(rows_total=100, estimated_rows=lambda rows_read: None)
    assert InputTotal(source, rows_each=3).rows(7) == (300, False)
    total = InputTotal(source, rows_each=3, shards=4)
    assert (total.rows(7), total.is_counted) == ((75, True), True)
    total.counted = 78
    assert total.rows(7) == (78, False)


def test_what_is_not_known_is_estimated() -> None:
    """From what was read of it; there are at least as many as that."""
    source: Any = SimpleNamespace(rows_total=None, estimated_rows=lambda rows_read: rows_read * 10)
    total = InputTotal(source, rows_each=2)
    assert (total.rows(8), total.is_counted) == ((80, True), False)
    total.at_least = 90
    assert total.rows(8) == (90, True)
