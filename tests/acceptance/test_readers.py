"""pandas, Polars, DuckDB and Hugging Face `datasets` open the output with no option, whatever is in it."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.acceptance.job import Job, conversation, rows, until
from tests.acceptance.readers import read_by_all
from tests.acceptance.servers import completion, http, raw_server

DECLARED = """
id: string, variant: string, sample: int32, status: string, response: string, finish_reason: string,
messages: list<element: struct<role: string, content: string>>, messages_json: string, tool_calls: string,
parsed: string, parse_repaired: bool, reasoning: string, refusal: string, logprobs: string, model: string,
model_requested: string, service_tier: string, response_id: string, prompt_tokens: int64, completion_tokens: int64,
total_tokens: int64, cached_tokens: int64, reasoning_tokens: int64, cost_usd: double, cost_source: string,
attempts: int32, possibly_billed_attempts: int32, re_asks: int32, latency_s: double, first_token_s: double,
wait_s: double, started_at: timestamp[us, tz=UTC], finished_at: timestamp[us, tz=UTC], http_status: int32,
error_kind: string, error: string, raw: string
"""


def declared(path: Path) -> list[str]:
    return [f"{field.name}: {field.type}" for field in pq.read_schema(path)]


@pytest.fixture
def base() -> list[str]:
    """The declared columns as every output begins with."""
    return re.split(r",\s+(?=\w+: )(?![^<]*>)(?!tz)", DECLARED.strip())


def as_declared(path: Path, base: list[str], carried: list[str]) -> None:
    assert declared(path) == [*base, *carried]


def test_all_answered(job: Job, base: list[str]) -> None:
    """An output of answers, in the order of the input though they came in another."""

    def answer(asked: Any) -> bytes:
        return http(200, completion(f"To {asked.said}"))

    with raw_server(answer) as server:
        job.write(list(reversed(rows(50))), endpoint__base_url=server.url)
        assert job.run().code == 0
    as_declared(job.output, base, [])
    table = job.table()
    assert [row["id"] for row in table] == [f"r{n:04}" for n in reversed(range(50))]
    assert [row["response"] for row in table] == [f"To Question {n}" for n in reversed(range(50))]
    first = table[0]
    assert first["messages"] == [
        {"role": "user", "content": "Question 49"},
        {"role": "assistant", "content": "To Question 49"},
    ]
    assert first["started_at"].tzinfo is not None
    assert (first["cost_usd"], first["cost_source"], first["http_status"]) == (0.000002, "reported", 200)
    read_by_all(job.output, job.folder / "tmp")


def test_every_row_failed(job: Job, base: list[str]) -> None:
    """An output without one answer has the same columns and opens as well."""
    with raw_server(lambda _: http(400, {"error": {"message": "no"}})) as server:
        job.write(rows(5), endpoint__base_url=server.url)
        assert job.run().code == 3
    as_declared(job.output, base, [])
    assert {(row["status"], row["error_kind"], row["error"]) for row in job.table()} == {
        ("failed", "bad_request", "no")
    }
    read_by_all(job.output, job.folder / "tmp")


def test_nulls_wherever_possible(job: Job, base: list[str]) -> None:
    """So does one where the server tells nothing but the text and the carried columns hold nothing but null."""
    silent = {"choices": [{"message": {"content": "x"}}]}
    with raw_server(lambda _: http(200, silent)) as server:
        job.write([{**row, "note": None} for row in rows(3)], endpoint__base_url=server.url)
        ended = job.run()
        assert ended.code == 0
    as_declared(job.output, base, ["note: string"])
    assert "  tokens    unknown: the endpoint reports none\n" in ended.out
    assert "  cost      unknown for 3 rows: " in ended.out
    for row in job.table():
        empty = {name for name, value in row.items() if value is None}
        assert {"cost_usd", "cost_source", "prompt_tokens", "model", "response_id", "note", "finish_reason"} <= empty
    read_by_all(job.output, job.folder / "tmp")


def test_odd_types_carried(job: Job, base: list[str]) -> None:
    """Carried Parquet columns keep their types and values, odd ones too, and one that collides gets `input_`."""
    count = 3
    columns: dict[str, pa.Array[Any]] = {
        "id": pa.array([10, 11, 12]),
        "messages": pa.array([conversation(f"Q {n}") for n in range(count)]),
        "status": pa.array(["a", None, "c"]),
        "decimal": pa.array([Decimal("1.10"), None, Decimal("-3.33")], pa.decimal128(10, 2)),
        "day": pa.array([dt.date(2026, 1, 2), None, dt.date(1, 1, 1)]),
        "at": pa.array([dt.datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=dt.UTC)] * count, pa.timestamp("ms", "UTC")),
        "bytes": pa.array([b"\x00\xff", None, b""]),
        "kind": pa.array(["x", "y", "x"]).dictionary_encode(),
        "list": pa.array([[1, None], None, []], pa.list_(pa.int16())),
        "struct": pa.array([{"a": 1.5, "b": None}] * count, pa.struct([("a", pa.float32()), ("b", pa.bool_())])),
        "big": pa.array([2**64 - 1, 0, None], pa.uint64()),
        "float": pa.array([float("inf"), -0.0, None]),
        "Ünï code": pa.array(["\U0001f980", "\x00", ""]),
    }
    given = pa.table(columns)
    pq.write_table(given, job.folder / "in.parquet")
    job.write(input__path="in.parquet")
    assert job.run().code == 0
    found = pq.read_table(job.output)
    assert found.column("id").to_pylist() == ["10", "11", "12"]
    written = pq.read_table(job.folder / "in.parquet")
    for name in columns:
        if name not in {"id", "messages"}:
            out = "input_status" if name == "status" else name
            assert found.schema.field(out).type == written.schema.field(name).type, name
            assert found.column(out).to_pylist() == written.column(name).to_pylist(), name
    read_by_all(job.output, job.folder / "tmp")


def test_json_columns_are_widened(job: Job, base: list[str]) -> None:
    """The input's JSON columns are widened over all rows, invalid ones included, as docs/output.md says."""
    odd = [
        {"id": "a", "messages": conversation("x"), "n": None, "f": 1, "m": 1, "t": {"a": [1]}, "b": True},
        {"id": "b", "messages": conversation("y"), "n": 1, "f": 2.5, "m": "two", "t": None, "b": None},
        {"id": "c", "messages": [], "n": 2, "f": 3, "m": True, "late": 9, "b": False},
    ]
    job.write(odd)
    assert job.run().code == 3
    types = ["b: bool", "f: double", "late: int64", "m: string", "n: int64", "t: struct<a: list<element: int64>>"]
    assert sorted(declared(job.output)[len(base) :]) == types
    assert [row["m"] for row in job.table()] == ["1", "two", "true"]
    assert [row["t"] for row in job.table()] == [{"a": [1]}, None, None]
    assert [row["status"] for row in job.table()] == ["answered", "answered", "invalid"]
    read_by_all(job.output, job.folder / "tmp")


def test_carried_columns_stand_in_order(job: Job) -> None:
    """Carried columns stand in the order of the input, not in that in which answers came."""
    slow = {"id": "a", "messages": conversation("slow"), "first": 1, "second": 2}
    quick = {"id": "b", "messages": conversation("quick"), "third": 3}

    def answer(asked: Any) -> bytes | None:
        return None if asked.said == "slow" and not quick_is_kept() else http(200, completion())

    def quick_is_kept() -> bool:
        return job.acknowledged() > 0

    with raw_server(answer) as server:
        job.write([slow, quick], endpoint__base_url=server.url)
        running = job.start()
        until(quick_is_kept)
        server.release(answer)
        assert running.end().code == 0
    assert pq.read_schema(job.output).names[-3:] == ["first", "second", "third"]
