"""How many rows an input has, as far as that is known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from batchchat.execution.input_total import InputTotal


def test_each_row_of_the_input_becomes_so_many() -> None:
    """As far as they were counted when it was opened; to the row once it was read."""
    source: Any = SimpleNamespace(rows_total=100, estimated_rows=lambda rows_read: None)
    total = InputTotal(source, rows_each=3)
    assert (total.rows(7), total.is_counted) == ((300, False), True)
    total.counted = 306
    assert total.rows(7) == (306, False)


def test_what_is_not_known_is_estimated() -> None:
    """From what was read of it; there are at least as many as that."""
    source: Any = SimpleNamespace(rows_total=None, estimated_rows=lambda rows_read: rows_read * 10)
    total = InputTotal(source, rows_each=2)
    assert (total.rows(8), total.is_counted) == ((80, True), False)
    total.at_least = 90
    assert total.rows(8) == (90, True)
