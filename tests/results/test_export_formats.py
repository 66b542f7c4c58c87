"""Output rows in other forms, read back by those they are for."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion

from batchchat.arrow import cells
from batchchat.arrow.widening import Kind
from batchchat.core.record import RowRecord
from batchchat.results.export_formats import EXPORT_FORMATS, Skipped
from batchchat.store.columns import COLUMNS
from batchchat.store.parquet import PassthroughColumn
from tests.store.given import answered, failed, invalid

TOOL_CALLS = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
NAMES = [column.name for column in COLUMNS]


def written(form: str, rows: Sequence[RowRecord], carried: Mapping[str, PassthroughColumn] | None = None) -> bytes:
    made = EXPORT_FORMATS[form](carried or {})
    lines = made.lines(rows)
    assert not [line for line in lines if isinstance(line, Skipped)]
    return made.head + b"".join(line for line in lines if isinstance(line, bytes))


def read_csv(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode(), newline=""), strict=True))


texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(values=st.lists(st.none() | texts, min_size=1, max_size=5))
def test_csv_comes_back(values: list[str | None]) -> None:
    """Any text comes back as it was, but for a `'` before what a spreadsheet would take for a formula."""
    rows = [answered(str(n), carried={"note": value}) for n, value in enumerate(values)]
    found = [row["note"] for row in read_csv(written("csv", rows, {"note": Kind.TEXT}))]
    wanted = [f"'{value}" if value and value[0] in "=+-@\t\r" else value or "" for value in values]
    assert found == wanted


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_csv_holds_no_formula(start: str) -> None:
    """No cell of text, nor a column's name, begins with what makes a spreadsheet compute; numbers stay numbers."""
    evil = f'{start}HYPERLINK("http://x","y")'
    row = answered(evil, reply={"text": evil, "finish_reason": evil}, carried={evil: evil, "n": -1.5}, cost_usd=-0.0)
    data = written("csv", [row], {evil: Kind.TEXT, "n": Kind.FLOAT})
    found = read_csv(data)[0]
    for name, value in found.items():
        assert name[0] not in "=+-@\t\r"
        if name not in {"n", "cost_usd"}:
            assert not value or value[0] not in "=+-@\t\r", name
    assert found["n"] == "-1.5"


def test_csv_in_pandas_and_duckdb(tmp_path: Path) -> None:
    """Both read numbers as numbers, times as times, null as null and empty text apart, newlines and quotes whole."""
    rows = [
        answered("a", reply={"text": 'He said "no",\r\nthen left.\n'}, carried={"empty": ""}),
        failed("b", carried={"empty": None}),
        invalid("c"),
    ]
    path = tmp_path / "x.csv"
    path.write_bytes(written("csv", rows, {"empty": Kind.TEXT}))
    frame = pd.read_csv(path)
    assert frame["response"][0] == 'He said "no",\r\nthen left.\n'
    assert frame["cost_usd"].tolist()[0] == 0.000123
    assert frame["prompt_tokens"].isna().tolist() == [False, True, True]
    assert frame.columns.tolist() == [*NAMES, "empty"]
    with duckdb.connect() as base:
        found = base.execute(
            "select id, response, cost_usd, typeof(latency_s), epoch(started_at), empty"
            f" from read_csv('{path}', allow_quoted_nulls=false) order by id"
        ).fetchall()
    assert found[0] == ("a", rows[0]["reply"]["text"], 0.000123, "DOUBLE", 1_700_000_000.25, "")
    assert [row[5] for row in found] == ["", None, None]
    assert json.loads(read_csv(path.read_bytes())[0]["messages"])[-1]["content"] == rows[0]["reply"]["text"]


def test_carried_parquet_types_are_readable() -> None:
    """What Parquet carried is written as a person would write it, never as ticks."""
    table: dict[str, pa.Array[Any]] = {
        "at": pa.array([dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)], pa.timestamp("ms", "UTC")),
        "day": pa.array([dt.date(2026, 1, 2)]),
        "price": pa.array([Decimal("1.10")], pa.decimal128(10, 2)),
        "blob": pa.array([b"\x00\xff"]),
        "tags": pa.array([[{"a": dt.date(2026, 1, 2)}]]),
        "nan": pa.array([float("nan")]),
    }
    carried = {name: cells.encode(array)[0] for name, array in table.items()}
    kinds: dict[str, PassthroughColumn] = {name: array.type for name, array in table.items()}
    line = written("jsonl", [answered(carried=carried)], kinds)
    assert b'"nan":NaN' in line  # a number, as Python writes it
    found = json.loads(line, parse_constant=str)
    assert {name: found[name] for name in table} == {
        "at": "2026-01-02T03:04:05Z",
        "day": "2026-01-02",
        "price": "1.10",
        "blob": "AP8=",
        "tags": [{"a": "2026-01-02"}],
        "nan": "NaN",
    }


BATCH = [
    answered("a", service_tier="x"),
    answered("b", reply={"tool_calls": TOOL_CALLS, "finish_reason": "tool_calls", "response_id": "r", "model": "m"}),
    answered(
        "c", reply={"text": "no", "refusal": "I won't", "finish_reason": "stop", "response_id": "r", "model": "m"}
    ),
    failed("d", http_status=422, error_kind="bad_request", error="no such field"),
    failed("e"),
    invalid("f"),
]


def check_batch_line(line: dict[str, Any]) -> None:
    """A strict reading of https://platform.openai.com/docs/api-reference/batch/request-output."""
    assert set(line) == {"id", "custom_id", "response", "error"}
    assert isinstance(line["id"], str)
    assert isinstance(line["custom_id"], str)
    assert (line["response"] is None) != (line["error"] is None)
    if line["error"] is not None:
        assert set(line["error"]) == {"code", "message"}
        return
    response = line["response"]
    assert set(response) == {"status_code", "request_id", "body"}
    if response["status_code"] == 200:
        ChatCompletion.model_validate(response["body"], strict=False)
        assert response["body"]["object"] == "chat.completion"
    else:
        assert set(response["body"]) == {"error"}
        assert set(response["body"]["error"]) == {"message", "type", "param", "code"}


def test_openai_batch() -> None:
    """Each row is a line of a batch's output file, which OpenAI's own types accept; ids are one to one."""
    lines = [json.loads(line) for line in written("openai-batch", BATCH).splitlines()]
    for line in lines:
        check_batch_line(line)
    assert [line["custom_id"] for line in lines] == list("abcdef")
    assert len({line["id"] for line in lines}) == len(lines)
    body = lines[0]["response"]["body"]
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "Flour and butter.", "refusal": None}
    assert body["usage"] == {
        "prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12,
        "prompt_tokens_details": {"cached_tokens": 2}, "estimated_cost": 0.000123,
    }  # fmt: skip
    assert lines[1]["response"]["body"]["choices"][0]["message"]["tool_calls"] == TOOL_CALLS
    assert (lines[3]["response"]["status_code"], lines[3]["response"]["body"]["error"]["code"]) == (422, "bad_request")
    assert lines[4]["error"] == {"code": "timeout", "message": "no answer in 600 s"}


def test_openai_batch_of_raw_responses() -> None:
    """Where the response was kept as it came, it is the body, whatever else is in it."""
    raw = '{"id": "r", "choices": [], "extra": {"x": 1}}'
    line = json.loads(written("openai-batch", [answered(raw=raw)]))
    assert line["response"]["body"] == json.loads(raw)


def test_openai_batch_has_the_variant_and_the_sample() -> None:
    """Of a row that has one, in its `custom_id`, which stays unique; a reported cost is that of all attempts."""
    rows = [
        answered("a", sample=1, attempts=2, cost_usd=0.3, cost_source="reported"),
        answered("a", variant="m=x", cost_source="table"),
    ]
    lines = [json.loads(line) for line in written("openai-batch", rows).splitlines()]
    assert [line["custom_id"] for line in lines] == ["a##1", "a#m=x#0"]
    usages = [line["response"]["body"]["usage"] for line in lines]
    assert [usage.get("estimated_cost") for usage in usages] == [0.3, None]


def test_sharegpt_has_the_reply_last_and_columns_of_the_input() -> None:
    """Under the row's id, which says the sample too."""
    row = answered("x", sample=2, messages=[{"role": "user", "content": "Hi"}], reply={"text": "Ho"})
    assert json.loads(written("sharegpt", [row], {"topic": Kind.TEXT})) == {
        "id": "x##2",
        "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}],
        "topic": "sauce",
    }


def test_training_sets_leave_out_what_they_cannot_hold() -> None:
    """Rows without an answer, and messages that ShareGPT has no turn for, are named and not bent to fit."""
    image = [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
    developer = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    rows = [
        failed(),
        invalid(),
        answered(reply={"text": None, "refusal": "No."}),
        answered(reply={"text": "Let me see.", "tool_calls": TOOL_CALLS}),
        answered(messages=image),
        answered(messages=developer),
    ]
    unfit = [Skipped("without an answer")] * 2 + [Skipped("with a refusal in place of an answer")]
    cannot = Skipped("that ShareGPT can't hold: more than text in a message, text beside a call, another role")
    assert EXPORT_FORMATS["sharegpt"]({}).lines(rows) == [*unfit, cannot, cannot, cannot]
    lines = EXPORT_FORMATS["chat"]({}).lines(rows)
    assert lines[:3] == unfit
    assert [json.loads(line)["messages"][:-1] for line in lines[4:] if isinstance(line, bytes)] == [image, developer]


def test_chat_has_the_tools_of_a_column() -> None:
    """A list or its JSON, in OpenAI's form; without one there is none."""
    tool = {"type": "function", "function": {"name": "f"}}
    rows = [
        answered(carried={"tools": json.dumps([{"name": "f"}])}, reply={"text": None, "tool_calls": TOOL_CALLS}),
        answered(carried={"tools": [tool]}),
        answered(carried={"tools": ""}),
        answered(carried={"tools": "{"}),
    ]
    *lines, bad = EXPORT_FORMATS["chat"]({"tools": Kind.TEXT}).lines(rows)
    values = [json.loads(line) for line in lines if isinstance(line, bytes)]
    assert [value.get("tools") for value in values] == [[tool], [tool], None]
    assert values[0]["messages"][-1] == {"role": "assistant", "content": None, "tool_calls": TOOL_CALLS}
    assert isinstance(bad, Skipped)
    assert bad.reason.startswith("whose column `tools` is not JSON")
