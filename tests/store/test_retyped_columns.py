"""Carried cells whose column has lost its type."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from batchchat.store.retyped_columns import RetypedColumns
from tests.store.given import answered

MILLIS, MICROS = pa.timestamp("ms"), pa.timestamp("us")


def spelled(spelling: RetypedColumns, at: int, **carried: Any) -> Any:
    return spelling.of(at, answered("a", carried=carried)).get("carried")


def test_a_cell_is_written_by_the_type_its_run_declared() -> None:
    """The same integer is another moment in another run; what needs no type, or was declared by none, stays."""
    spelling = RetypedColumns([(10, {"t": MILLIS, "n": pa.int8()}), (20, {"t": MICROS}), (30, {})], frozenset())
    assert spelling.names == {"t"}
    assert spelled(spelling, 11, t=1500, n=7) == {"t": "1970-01-01T00:00:01.500", "n": 7}
    assert spelled(spelling, 29, t=1500, n=7) == {"t": "1970-01-01T00:00:00.001500", "n": 7}
    assert spelled(spelling, 31, t="2024", n=7) == {"t": "2024", "n": 7}
    assert spelled(spelling, 11, t=None) == {"t": None}


def test_a_column_that_has_its_type_is_as_it_was_kept() -> None:
    """Its cells become cells of that type again."""
    spelling = RetypedColumns([(10, {"t": MILLIS})], frozenset({"t"}))
    row = answered("a", carried={"t": 1500})
    assert spelling.of(11, row) is row
    assert spelling.names == set()
