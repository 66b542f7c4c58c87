"""An output read back as records."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.arrow.widening import Kind
from batchchat.core.record import RowRecord
from batchchat.errors import OutputError
from batchchat.store.columns import COLUMNS
from batchchat.store.parquet import PassthroughColumn, write_parquet
from batchchat.store.published import Published, records_of
from tests.store.given import answered, failed, invalid

TOOLS = {"tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}
PARTS = [{"role": "user", "content": [{"type": "text", "text": "Look."}]}]
ROWS = [
    answered("a", carried={"topic": "sauce", "day": 20_000}),
    failed("b", carried={"topic": None, "day": None}, possibly_billed=2),
    invalid("c"),
    answered("d", reply=TOOLS, carried={"topic": "", "day": 1}),
    answered("e", messages=PARTS, raw='{"id": 1}', sample=3),
    failed("f", reply={"finish_reason": "content_filter"}, error_kind="content_filter", error="filtered"),
    answered("g", reply={"text": "t", "refusal": "no", "reasoning": "hm", "service_tier": "flex"}),
]
CARRIED: dict[str, PassthroughColumn] = {"topic": Kind.TEXT, "day": pa.date32()}
NOT_TOLD = {"fp", "place", "ordinal", "retries", "carried", "mock"}


def comparable(row: RowRecord) -> dict[str, Any]:
    """What an output can tell of a row."""
    return {name: value for name, value in row.items() if name not in NOT_TOLD}


@pytest.mark.parametrize("part_rows", [None, 1, 3, 7, 100])
def test_rows_come_back(tmp_path: Path, part_rows: int | None) -> None:
    """All that a record says and the output has a column for comes back, from a file and from parts."""
    path = tmp_path / "x"
    placed = [(row, 500) for row in ROWS]
    write_parquet(path, placed, CARRIED, {"name": "chef"}, part_rows=part_rows)
    if part_rows is not None:
        assert len(list(path.iterdir())) == -(-len(ROWS) // part_rows)
    published = Published(path)
    found = list(published.rows())
    assert [comparable(row) for row in found] == [comparable(row) | {"sample": row["sample"]} for row in ROWS]
    assert [row["ordinal"] for row in found] == list(range(len(ROWS)))
    assert published.passthrough == {"topic": pa.string(), "day": pa.date32()}
    assert [row["carried"] for row in found] == [{"topic": None, "day": None} | row.get("carried", {}) for row in ROWS]
    assert published.metadata == {"name": "chef"}


messages = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "user"]), "content": st.text(st.characters(exclude_categories=["Cs"]))},
        optional={"name": st.text(st.characters(exclude_categories=["Cs"]), max_size=3)},
    ),
    min_size=1,
    max_size=3,
)


@given(messages=messages, text=st.text(st.characters(exclude_categories=["Cs"])))
def test_any_conversation_comes_back(messages: list[dict[str, Any]], text: str) -> None:
    """Whatever was asked and answered is told by `messages` or `messages_json`, and read as it was."""
    row = answered(messages=messages, reply={"text": text})
    arrays = [column.array([row]) for column in COLUMNS]
    batch = pa.RecordBatch.from_arrays(arrays, names=[column.name for column in COLUMNS])
    found = next(records_of(batch))
    assert (found["messages"], found["reply"]["text"]) == (messages, text)


def test_only_some_columns(tmp_path: Path) -> None:
    """A reader that needs few columns has only what they tell."""
    write_parquet(tmp_path / "x.parquet", [(ROWS[0], 1)], CARRIED, {})
    found = list(Published(tmp_path / "x.parquet").rows({"status", "cost_usd", "topic"}))
    assert found == [
        {
            "kind": "row", "variant": "", "sample": 0, "status": "answered", "cost_usd": 0.000123, "place": "",
            "ordinal": 0, "carried": {"topic": "sauce"},
        }
    ]  # fmt: skip


def test_what_is_not_ours(tmp_path: Path) -> None:
    """Another program's Parquet, and a file that is damaged, are told by name."""
    other = tmp_path / "x.parquet"
    pq.write_table(pa.table({"a": [1]}), other)
    with pytest.raises(OutputError, match=re.escape(f"{other} is no output of batchchat. Give a job file, or ")):
        Published(other)
    write_parquet(other, [(row, 500) for row in ROWS], CARRIED, {})
    published = Published(other)
    data = bytearray(other.read_bytes())
    data[4:200] = bytes(196)
    other.write_bytes(data)
    with pytest.raises(OutputError, match=re.escape(f"{other} can't be read: ")):
        list(published.rows())


def test_rows_at_their_places(tmp_path: Path) -> None:
    """Rows are found by their places over row groups and parts, and only those."""
    rows = [answered(f"r{n}", messages=[{"role": "user", "content": "x" * 900}]) for n in range(30)]
    write_parquet(tmp_path / "out", ((row, 1 << 20) for row in rows), {"topic": Kind.TEXT}, {}, part_rows=13)
    found = list(Published(tmp_path / "out").rows_at([0, 3, 4, 12, 13, 29]))
    assert [(at, row["id"]) for at, row in found] == [(at, f"r{at}") for at in (0, 3, 4, 12, 13, 29)]
    assert found[0][1]["messages"] == rows[0]["messages"]
    assert list(Published(tmp_path / "out").rows_at([])) == []
