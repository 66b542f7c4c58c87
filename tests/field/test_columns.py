"""What the columns of real files hold: text in binary columns, NaN, a name twice, nested values, folders as columns."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.acceptance.job import Job, conversation, rows
from tests.field.endpoint import Endpoint, endpoint, ok


@pytest.fixture
def server() -> Iterator[Endpoint]:
    with endpoint(lambda asked: ok(f"to {asked.text}")) as running:
        yield running


def write_parquet(job: Job, columns: dict[str, pa.Array[Any]], **keys: Any) -> None:
    """`columns` as the input."""
    table = pa.Table.from_arrays(list(columns.values()), names=list(columns))
    pq.write_table(table, job.folder / "in.parquet")
    job.write(input__path="in.parquet", **keys)


MESSAGE = pa.struct([("role", pa.binary()), ("content", pa.large_binary())])


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["Héllo".encode(), b"Two"], pa.binary()),
        pa.array(["Héllo".encode(), b"Two"], pa.large_binary()),
        pa.array([b"Hello1", b"Hello2"], pa.binary(6)),
        pa.array([b"One", b"Two"]).dictionary_encode(),
    ],
    ids=["binary", "large", "fixed", "dictionary"],
)
def test_text_in_a_binary_column_is_sent_as_text(job: Job, server: Endpoint, column: pa.Array[Any]) -> None:
    """Pandas' bytes, Impala and old Spark write text so: it is never sent as base64."""
    write_parquet(job, {"prompt": column}, input__id=None, endpoint__base_url=server.url)
    assert job.run().code == 0
    plain: Any = column
    assert {asked.text for asked in server.asked} == {value.decode() for value in plain.to_pylist()}


def test_binary_in_messages_bodies_params_and_ids(job: Job, server: Endpoint) -> None:
    """A list of structs with binary content, JSON text in binary columns, a binary id; carried binary stays binary."""
    given: list[Any] = [[{"role": b"user", "content": f"Question {n}".encode()}] for n in range(2)]
    write_parquet(
        job,
        {
            "id": pa.array([b"a", "é".encode()]),
            "messages": pa.array(given, pa.list_(MESSAGE)),
            "p": pa.array([b'{"top_p": 0.5}', None]),
            "blob": pa.array([b"\xff\x00", b"text"]),
        },
        endpoint__base_url=server.url,
        input__params="p",
    )
    assert job.run().code == 0
    assert [asked.body.get("top_p") for asked in sorted(server.asked, key=lambda asked: asked.text)] == [0.5, None]
    assert [(row["id"], row["blob"]) for row in job.table()] == [("a", b"\xff\x00"), ("é", b"text")]
    body = b'{"messages": [{"role": "user", "content": "As a batch"}]}'
    write_parquet(job, {"custom_id": pa.array(["z"]), "body": pa.array([body])}, input__id=None, input__params=None)
    assert job.run("--fresh").code == 0
    assert server.asked[-1].text == "As a batch"


def test_binary_that_is_no_text_is_an_invalid_row(job: Job, server: Endpoint) -> None:
    """Of a conversation; the other rows are sent."""
    column = pa.array([b"fine", b"\xff\xfe", b"too"])
    write_parquet(job, {"prompt": column}, input__id=None, endpoint__base_url=server.url)
    assert job.run().code == 3
    assert [row["status"] for row in job.table()] == ["answered", "invalid", "answered"]
    assert job.table()[1]["error"] == "`prompt` is binary and not UTF-8. It takes text."


def test_a_binary_prompt_that_is_carried_as_well(job: Job, server: Endpoint) -> None:
    """A column that is both is text in the output."""
    write_parquet(
        job,
        {"prompt": pa.array([b"One"]), "b": pa.array([b"x"])},
        input__id=None,
        input__columns=["prompt", "b"],
        endpoint__base_url=server.url,
    )
    assert job.run().code == 0
    assert [(row["prompt"], row["b"]) for row in job.table()] == [("One", b"x")]


def test_a_parquet_file_with_a_column_name_twice(job: Job, server: Endpoint) -> None:
    """As a join writes it: which of them is meant can't be known, so nothing is sent."""
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["zz"])], names=["prompt", "prompt"])
    pq.write_table(table, job.folder / "in.parquet")
    job.write(input__path="in.parquet", input__id=None, endpoint__base_url=server.url)
    ended = job.run()
    assert ended.code == 2
    assert ended.errors == ["error: in.parquet: two columns are called `prompt`. Rename one of them."]
    assert not server.asked


def test_nan_and_infinity_are_carried(job: Job, server: Endpoint) -> None:
    """Python writes rewards and logprobs so: they are numbers in the output, in every row, and in the exports."""
    job.write(
        [
            '{"id": "a", "prompt": "A", "score": -Infinity, "n": NaN, "lp": {"x": [NaN, 1]}, "big": 1e400}',
            '{"id": "b", "prompt": "B", "score": -1.5, "n": 1, "lp": {"x": []}, "big": 1}',
            '{"id": "c", "prompt": "C", "score": Infinity, "n": 2, "lp": {"x": [-Infinity]}, "big": 2}',
        ],
        endpoint__base_url=server.url,
    )
    assert job.run().code == 0
    first, second, third = job.table()
    assert (first["score"], second["score"], third["score"]) == (-math.inf, -1.5, math.inf)
    assert math.isnan(first["n"])
    assert first["big"] == math.inf
    assert math.isnan(first["lp"]["x"][0])
    assert third["lp"] == {"x": [-math.inf]}
    assert job.run("export", "job.yaml", "--to", "csv", "-o", "e.csv").code == 0
    assert list(pd.read_csv(job.folder / "e.csv")["score"]) == [-math.inf, -1.5, math.inf]
    assert job.run("export", "job.yaml", "--to", "jsonl", "-o", "e.jsonl").code == 0
    assert '"score":-Infinity,"n":NaN,' in (job.folder / "e.jsonl").read_text()
    before = job.journal_file.read_bytes()
    assert job.run().code == 0
    assert job.journal_file.read_bytes() == before  # the same NaN is no new value


def test_a_formula_in_a_text_column_is_guarded_and_a_negative_number_is_not(job: Job, server: Endpoint) -> None:
    """Of Parquet, too, and of an output without its journal."""
    write_parquet(
        job,
        {
            "prompt": pa.array(["A", "B"]),
            "x": pa.array([-math.inf, -1.0], pa.float32()),
            "f": pa.array(["-1+2", "=1"]),
        },
        input__id=None,
        endpoint__base_url=server.url,
    )
    assert job.run().code == 0
    for source in ("job.yaml", "alone.parquet"):
        (job.folder / "alone.parquet").write_bytes(job.output.read_bytes())
        assert job.run("export", source, "--to", "csv", "-o", "e.csv").code == 0
        table = pd.read_csv(job.folder / "e.csv")
        assert list(table["x"]) == [-math.inf, -1]
        assert list(table["f"]) == ["'-1+2", "'=1"]


@pytest.mark.parametrize(
    "row",
    [
        '{"id": "a", "messages": [{"role": "user", "content": "A", "weight": NaN}]}',
        '{"id": "a", "messages": [{"role": "user", "content": [{"type": "text", "text": "A", "w": [-Infinity]}]}]}',
        '{"id": "a", "messages": [{"role": "user", "content": "A", "weight": 1e400}]}',
        '{"id": "a", "messages": [{"role": "user", "content": "A"}], "p": {"top_p": NaN}}',
    ],
)
def test_nan_in_what_is_sent_is_refused(job: Job, server: Endpoint, row: str) -> None:
    """JSON has no number for it: such a row is invalid, and null is not sent in its place."""
    job.write([row, '{"id": "b", "messages": [{"role": "user", "content": "B"}]}'], input__params="p")
    job.write(endpoint__base_url=server.url)
    assert job.run().code == 3
    assert [row["status"] for row in job.table()] == ["invalid", "answered"]
    assert "which JSON has no number for" in job.table()[0]["error"]
    assert [asked.text for asked in server.asked] == ["B"]


def test_nan_in_a_message_of_parquet_is_refused(job: Job, server: Endpoint) -> None:
    """Neither is its name sent as text."""
    kind = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string()), ("weight", pa.float64())]))
    given: list[Any] = [[{"role": "user", "content": "A", "weight": w}] for w in (math.nan, 0.5)]
    write_parquet(job, {"messages": pa.array(given, kind)}, input__id=None, endpoint__base_url=server.url)
    assert job.run().code == 3
    assert [asked.body["messages"][0]["weight"] for asked in server.asked] == [0.5]


def test_nested_columns_of_one_shape_stay_nested(job: Job, server: Endpoint) -> None:
    """Lists and objects of JSON lines are lists and structs to every reader; mixed ones are JSON text."""
    given = [
        {**row, "tags": ["a", "b"][:n], "meta": {"n": n, "at": {"x": n / 2}}, "mixed": [1] if n else {"a": 1}}
        for n, row in enumerate(rows(3))
    ]
    job.write(given, endpoint__base_url=server.url)
    assert job.run().code == 0
    kinds = {field.name: str(field.type) for field in pq.read_schema(job.output)}
    assert kinds["tags"] == "list<element: string>" or kinds["tags"] == "list<item: string>"
    assert kinds["meta"] == "struct<n: int64, at: struct<x: double>>"
    assert kinds["mixed"] == "string"
    path = str(job.output)
    found: Any = duckdb.sql(f"select meta.at.x, len(tags) from '{path}' order by id")
    assert found.fetchall() == [(0, 0), (0.5, 1), (1, 2)]
    assert pl.read_parquet(path)["meta"].struct.field("n").to_list() == [0, 1, 2]
    assert pd.read_parquet(path)["meta"][1] == {"n": 1, "at": {"x": 0.5}}
    job.write([*given, {**rows(1, start=9)[0], "tags": 5, "meta": {"n": "x"}}])
    assert job.run().code == 0
    assert job.table()[2]["tags"] == '["a","b"]'
    assert job.table()[3]["meta"] == '{"n":"x"}'


def test_old_answers_with_mended_columns_keep_their_type(job: Job, server: Endpoint) -> None:
    """A text among numbers that is mended later leaves no trace: the column is of numbers again."""
    job.write([{**row, "n": "?" if n else 1} for n, row in enumerate(rows(2))], endpoint__base_url=server.url)
    assert job.run().code == 0
    assert [row["n"] for row in job.table()] == ["1", "?"]
    job.write([{**row, "n": n + 1} for n, row in enumerate(rows(2))])
    assert job.run().code == 0
    assert [row["n"] for row in job.table()] == [1, 2]
    assert len(server.asked) == 2


def test_partition_folders_are_columns(job: Job, server: Endpoint) -> None:
    """`lang=de/` of Spark, DuckDB and pandas: text in every format, null for the default partition."""
    for lang, text in (("de", "Hallo"), ("en%20GB", "Hello"), ("__HIVE_DEFAULT_PARTITION__", "?")):
        folder = job.folder / "data" / f"lang={lang}" / "year=2024"
        folder.mkdir(parents=True)
        pq.write_table(pa.table({"prompt": [text]}), folder / "part-0.parquet")
    job.write(input__path="data", input__id=None, endpoint__base_url=server.url)
    assert job.run().code == 0
    assert {(asked.text) for asked in server.asked} == {"Hallo", "Hello", "?"}
    assert {(row["messages"][0]["content"], row["lang"], row["year"]) for row in job.table()} == {
        ("Hallo", "de", "2024"),
        ("Hello", "en GB", "2024"),
        ("?", None, "2024"),
    }


def test_partition_folders_of_json_lines_by_a_pattern(job: Job, server: Endpoint) -> None:
    """A column of the file itself stands; an id may be a partition's."""
    for lang in ("de", "en"):
        (job.folder / f"lang={lang}").mkdir()
        (job.folder / f"lang={lang}" / "a.jsonl").write_text('{"prompt": "Hi", "year": 7}\n')
    job.write(input__path="lang=*/*.jsonl", input__id="lang", endpoint__base_url=server.url)
    assert job.run().code == 0
    assert [(row["id"], row["year"]) for row in job.table()] == [("de", 7), ("en", 7)]


def test_conversations_of_datasets(job: Job, server: Endpoint) -> None:
    """What was written is opened by Hugging Face `datasets` as it stands, nested columns included."""
    datasets = pytest.importorskip("datasets")
    job.write(
        [{"id": str(n), "messages": conversation(f"Q{n}"), "tags": [n], "meta": {"a": {"b": None}}} for n in range(3)],
        endpoint__base_url=server.url,
    )
    assert job.run().code == 0
    table = datasets.load_dataset("parquet", data_files=str(job.output), cache_dir=str(job.folder / "cache"))["train"]
    assert [row["tags"] for row in table] == [[0], [1], [2]]
    assert table[0]["meta"] == {"a": {"b": None}}


def test_an_id_column_of_numbers_is_carried_for_joins(job: Job, server: Endpoint) -> None:
    """With its type, beside the text that `id` is; one of text is there already."""
    write_parquet(
        job,
        {
            "id": pa.array([3, 7], pa.int32()),
            "prompt": pa.array(["A", "B"]),
            "x": pa.array(["p", "q"]),
        },
        input__id="auto",
        endpoint__base_url=server.url,
    )
    assert job.run().code == 0
    schema = pq.read_schema(job.output)
    assert (schema.field("id").type, schema.field("input_id").type) == (pa.string(), pa.int32())
    assert [(row["id"], row["input_id"], row["x"]) for row in job.table()] == [("3", 3, "p"), ("7", 7, "q")]
    joined = duckdb.sql(
        f"select o.x from '{job.folder}/in.parquet' i join '{job.output}' o on i.id = o.input_id where o.input_id > 4"
    )
    assert joined is not None
    assert joined.fetchall() == [("q",)]
    write_parquet(job, {"id": pa.array(["3", "7"]), "prompt": pa.array(["A", "B"]), "x": pa.array(["p", "q"])})
    assert job.run("--fresh").code == 0
    assert "input_id" not in pq.read_schema(job.output).names


@pytest.mark.parametrize("kinds", [(pa.int32(), pa.int64()), (pa.int64(), pa.uint64()), (pa.int8(), pa.string())])
def test_ids_of_files_with_other_types(job: Job, server: Endpoint, kinds: tuple[Any, Any]) -> None:
    """They stay what they are, whatever the column that is carried can be."""
    (job.folder / "parts").mkdir()
    for n, kind in enumerate(kinds):
        key = pa.array([f"{n}"] if kind == pa.string() else [n], kind)
        pq.write_table(pa.table({"key": key, "prompt": pa.array([f"P{n}"])}), job.folder / f"parts/{n}.parquet")
    job.write(input__path="parts", input__id="key", endpoint__base_url=server.url)
    assert job.run().code == 0
    assert [row["id"] for row in job.table()] == ["0", "1"]
    assert [row["key"] for row in job.table()] == [0, None if kinds[1] == pa.string() else 1]


def test_an_id_of_json_that_is_a_number(job: Job, server: Endpoint) -> None:
    """As the file has it; not where the job lists the columns that it carries."""
    records = [
        '{"key": 1, "prompt": "A"}',
        '{"key": 18446744073709551616, "prompt": "B"}',
        '{"key": 2.5, "prompt": "C"}',
    ]
    job.write(records[:2], input__id="key", endpoint__base_url=server.url)
    assert job.run().code == 0
    assert [(row["id"], row["key"]) for row in job.table()] == [("1", "1"), (str(1 << 64), str(1 << 64))]
    job.write([records[0], records[2]])
    assert job.run("--fresh").code == 3
    assert [(row["status"], row["key"]) for row in job.table()] == [("answered", 1.0), ("invalid", 2.5)]
    job.write(records[:1], input__columns=[])
    assert job.run("--fresh").code == 0
    assert "key" not in job.table()[0]
