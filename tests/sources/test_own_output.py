"""An output of batchchat as the input of another job: its ids, and which of its columns are carried."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from batchchat.core.conversation import Row
from tests.sources.folder import Folder, told, user


def output(*rows: dict[str, Any]) -> pa.Table:
    """A table with the metadata of an output."""
    return pa.Table.from_pylist(list(rows)).replace_schema_metadata({b"batchchat": b"{}"})


def answer(id_: str, **cells: Any) -> dict[str, Any]:
    return {
        "id": id_,
        "variant": "",
        "sample": 0,
        "status": "answered",
        "response": f"Answer of {id_}",
        "messages": user(f"Question of {id_}"),
        "model": "m",
        "cost_usd": 0.25,
        **cells,
    }


SAMPLES = [answer("a"), answer("a", sample=1), answer("a", variant="hot", sample=1), answer("b")]


def test_the_ids_of_samples_and_variants_are_unique(folder: Folder) -> None:
    """The first sample keeps the id, so that raising samples changes none; `id` by name means the same."""
    folder.write("out.parquet", output(*SAMPLES))
    expected = [("a", ""), ("a##1", ""), ("a#hot#1", ""), ("b", "")]
    assert told(folder.rows("out.parquet")) == expected
    assert told(folder.rows("out.parquet", id="id")) == expected
    assert told(folder.rows("out.parquet", columns=("response",))) == expected


def test_an_output_in_parts_is_one(folder: Folder) -> None:
    """A folder of part files, and one that was written before there were variants."""
    folder.write("out/part-00000.parquet", output(*SAMPLES[:1]))
    old = [{name: cell for name, cell in row.items() if name != "variant"} for row in SAMPLES[1:2]]
    folder.write("out/part-00001.parquet", output(*old))
    assert told(folder.rows("out")) == [("a", ""), ("a##1", "")]


def test_another_id_column_is_used_as_it_is(folder: Folder) -> None:
    """And the output's `id` is then a column like any other."""
    folder.write("out.parquet", output(answer("a", order="o1"), answer("b", order="o1")))
    first, second = folder.rows("out.parquet", id="order")
    assert (first.key.id, second.key.id) == ("o1", "o1#out.parquet:2")
    assert first.passthrough["id"] == "a"


def test_how_an_answer_came_about_is_not_carried(folder: Folder) -> None:
    """The user's columns, the key, the response are; the conversation and the costs only where they are named."""
    folder.write("out.parquet", output(answer("a", topic="lamps", variant_model="m")))
    source = folder.open("out.parquet")
    (row,) = source.read()
    carried = ["id", "variant", "sample", "response", "model", "topic", "variant_model"]
    assert list(row.passthrough) == list(source.column_types) == carried
    assert source.notes == []  # `model` is no parameter that was forgotten
    source = folder.open("out.parquet", columns=("response", "cost_usd"))
    (row,) = source.read()
    assert row.passthrough == {"response": "Answer of a", "cost_usd": 0.25}
    assert isinstance(row, Row)


def test_the_id_of_the_first_input_goes_through_all_jobs(folder: Folder) -> None:
    """An id that was a number stays one, under the same name, for a join with the table that it came from."""
    folder.write("out.parquet", output(answer("81", input_id=81), answer("81", sample=1, input_id=81)))
    source = folder.open("out.parquet")
    rows = list(source.read())
    assert [row.key.id for row in rows] == ["81", "81##1"]
    assert [row.passthrough["input_id"] for row in rows] == [81, 81]
    assert "id" not in source.column_types
    assert source.column_types["input_id"] == pa.int64()


def test_a_table_without_the_metadata_is_read_as_any_other(folder: Folder) -> None:
    """Also where only one of two files has it."""
    folder.write("plain.parquet", output(*SAMPLES).replace_schema_metadata(None))
    folder.write("out.parquet", output(answer("c")))
    ids = [row.key.id for row in folder.rows("plain.parquet", "out.parquet")]
    assert ids == ["a", "a#plain.parquet:2", "a#plain.parquet:3", "b", "c"]
    assert "cost_usd" in folder.rows("plain.parquet")[0].passthrough
