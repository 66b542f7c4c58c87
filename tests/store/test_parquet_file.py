"""A file takes records and journal lines alike, and keeps what a reader looks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from batchchat.arrow.widening import Kind
from batchchat.core.output_columns import METADATA
from batchchat.store import records
from batchchat.store.parquet_file import GroupLimits, ParquetBuilder
from tests.store.given import answered, failed

TOOLS = answered("tools", reply={"tool_calls": [{"id": "c"}]})
ROWS: list[Any] = [*(answered(f"a{n}") for n in range(5)), failed("f"), *(answered(f"b{n}") for n in range(5)), TOOLS]


def line(row: Any) -> bytes:
    return records.encode(row).removesuffix(b"\n")


def write(path: Path, rows: list[Any], slice_rows: int = 4) -> None:
    file = ParquetBuilder(path, {"topic": Kind.TEXT}, GroupLimits(rows=7, slice_rows=slice_rows))
    for row in rows:
        file.add(row, 500)
    file.close(b'{"name":"x"}')


@pytest.mark.parametrize("slice_rows", [1, 4, 100])
def test_lines_and_records_give_the_same_table(tmp_path: Path, slice_rows: int) -> None:
    """All records, all lines, or both by turns; lines that only a record can hold are among them."""
    by_turns = [line(row) if at % 3 else row for at, row in enumerate(ROWS)]
    for name, rows in (("records", ROWS), ("lines", [line(row) for row in ROWS]), ("turns", by_turns)):
        write(tmp_path / name, rows, slice_rows)
    tables = [pq.read_table(tmp_path / name) for name in ("records", "lines", "turns")]
    assert tables[0].equals(tables[1])
    assert tables[0].equals(tables[2])
    assert tables[0]["id"].to_pylist() == [row["id"] for row in ROWS]
    assert tables[0]["messages_json"].null_count == len(ROWS) - 1


def test_metadata_is_where_arrow_keeps_it(tmp_path: Path) -> None:
    """It is written last, and is in the schema as if it had been written first."""
    write(tmp_path / "x", ROWS)
    metadata = {METADATA: b'{"name":"x"}'}
    assert pq.read_schema(tmp_path / "x").metadata == pq.read_table(tmp_path / "x").schema.metadata == metadata
    assert (pq.read_metadata(tmp_path / "x").metadata or {})[METADATA] == metadata[METADATA]


def test_only_values_that_repeat_have_a_dictionary(tmp_path: Path) -> None:
    """Texts of any length have none, and no least and greatest in the footer; a key's are there to look rows up by."""
    write(tmp_path / "x", ROWS)
    group = pq.read_metadata(tmp_path / "x").row_group(0)
    columns = {group.column(at).path_in_schema: group.column(at) for at in range(group.num_columns)}
    dictionaries = {name: column.has_dictionary_page for name, column in columns.items()}
    assert not any(dictionaries[name] for name in ("id", "response", "messages.list.element.content", "latency_s"))
    assert all(dictionaries[name] for name in ("status", "model", "messages.list.element.role", "topic"))
    assert not columns["response"].is_stats_set
    assert not columns["messages.list.element.content"].is_stats_set
    statistics: Any = columns["id"].statistics
    assert (statistics.min, statistics.max) == ("a0", "f")
    assert columns["topic"].is_stats_set
