"""Columns straight from journal lines are those of the records, or there are none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchchat.arrow.widening import Kind, ListOf, StructOf
from batchchat.core.conversation import ErrorKind
from batchchat.core.record import RowRecord
from batchchat.store import records
from batchchat.store.columns import COLUMNS, arrays_of
from batchchat.store.line_columns import LineColumns
from batchchat.store.parquet_file import PassthroughColumn, output_schema, passthrough_array
from batchchat.store.parsed_columns import ParsedColumns
from tests.store.given import answered, failed, invalid

TOPIC: dict[str, PassthroughColumn] = {"topic": Kind.TEXT}
NESTED: dict[str, PassthroughColumn] = {
    "flag": Kind.BOOL,
    "n": Kind.INT,
    "score": Kind.FLOAT,
    "tags": ListOf(Kind.TEXT),
    "inner": StructOf({"a": Kind.INT, "b": ListOf(StructOf({"c": Kind.TEXT}))}),
    "declared": pa.string(),
    "counted": pa.int32(),
}


def by_lines(
    rows: list[RowRecord], passthrough: Mapping[str, PassthroughColumn] = TOPIC, *, has_endpoints: bool = False
) -> pa.RecordBatch | None:
    """The batch of the rows' lines; it must be that of the rows, as they are published."""
    columns = ParsedColumns([], passthrough, has_endpoints=has_endpoints)
    passthrough, line_form = columns.columns, columns.line_form
    assert line_form is not None
    schema = output_schema(passthrough)
    lines = [records.encode(row).removesuffix(b"\n") for row in rows]
    batch = LineColumns(schema, passthrough, line_form.paths).batch(lines)
    if batch is not None:
        batch.validate(full=True)
        decoded: list[Any] = [records.decode(line) for line in lines]
        parsed = [line_form.published(row) for row in decoded]
        arrays = [*arrays_of(parsed, COLUMNS), *(passthrough_array(parsed, *column) for column in passthrough.items())]
        expected = pa.RecordBatch.from_arrays(arrays, schema=schema)
        assert batch.schema.equals(schema)
        assert batch.equals(expected), [name for name in schema.names if not batch[name].equals(expected[name])]
    return batch


EVERY_KIND: dict[str, Any] = {
    "retries": {kind.value: 2 for kind in ErrorKind},
    "possibly_billed_usd": 1,
    "unbounded": 1,
    "unreported_usd": 0.25,
    "re_asks": 1,
    "mock": True,
    "first_token_s": 0.5,
    "raw": '{"a": "\\u00e9"}',
}
ODD_TEXT = 'tab\t quote" back\\slash\nline\r\x00\x1f\x7f é ß 漢字 😀 \u2028 \ufeff'


@pytest.mark.parametrize(
    "rows",
    [
        [answered()],
        [failed()],
        [invalid()],
        [invalid(), answered("b"), failed("c"), answered("d")],
        [answered(**EVERY_KIND), failed("b", retries={"timeout": 3})],
        [answered(messages=[])],
        [answered(ODD_TEXT, messages=[{"role": "user", "content": ODD_TEXT}], reply={"text": ODD_TEXT}, raw=ODD_TEXT)],
        [
            answered(
                messages=[{"content": "a", "role": "user"}, {"role": "assistant", "content": ""}], reply={"text": ""}
            )
        ],
        [answered(started_at=1, finished_at=2, latency_s=0, cost_usd=0)],
        [answered(cost_usd=1e-320, latency_s=0.1 + 0.2, wait_s=123456789.12345679, usage={"prompt_tokens": 2**62})],
        [answered(reply={"text": "x", "reasoning": "r", "service_tier": "flex"}), answered("b", usage={})],
    ],
)
def test_plain_lines_need_no_record(rows: list[RowRecord]) -> None:
    """Answers, failures and bad rows, whatever their texts: nothing is refused, nothing differs."""
    assert by_lines(rows) is not None


@pytest.mark.parametrize(
    "row",
    [
        answered(reply={"text": "x", "tool_calls": [{"id": "c"}]}),
        answered(reply={"text": "x", "refusal": "No."}),
        answered(reply={"tool_calls": [{"id": "c"}]}),
        answered(reply={"finish_reason": "stop"}),
        answered(reply={"text": "x", "parsed": None}),
        answered(reply={"text": "x", "logprobs": {"content": []}}),
        answered(messages=[{"role": "user", "content": [{"type": "text", "text": "Look."}]}]),
        answered(messages=[{"role": "user", "content": "Look.", "name": "Ann"}]),
        answered(messages=[{"role": "assistant", "content": None, "tool_calls": []}]),
        answered(messages=[{"role": "assistant"}]),
        answered(turns=[{"reply": {"text": "a"}, "usage": None}]),
        answered("half \ud800 a pair"),
        answered(usage={"prompt_tokens": 2**63}),
        answered(usage={"prompt_tokens": 1.5}),
        answered(attempts=2**31),
        answered(carried={"topic": 7}),
        answered(carried={"topic": "a", "unexpected": None}),
        answered(retries={"no kind of ours": 1}),
        answered(of_a_later_version=1),
        {key: value for key, value in answered().items() if key != "messages"},
        {**answered(), "kind": "amend", "of": ["a", "", 0], "row": 7},
    ],
)
def test_what_only_a_record_can_hold_is_refused(row: Any) -> None:
    """What the struct, a type or the declared keys can't hold: the slice has no batch, whatever else is in it."""
    assert by_lines([answered("x"), row, answered("y")]) is None


def test_passthrough_columns() -> None:
    """Flat, nested and declared ones, and rows that lack them."""
    cells = {
        "flag": True,
        "n": -(2**63),
        "score": 2**53 + 1,
        "tags": ["a", None, ""],
        "inner": {"a": None, "b": [{"c": "d"}, None]},
        "declared": ODD_TEXT,
        "counted": 7,
    }
    rows = [answered(carried=cells), answered("b", carried={"score": 0.1}), answered("c", carried=None)]
    assert by_lines(rows, NESTED) is not None
    assert by_lines(rows, NESTED | {"nothing": Kind.NULL}) is not None


def test_the_endpoint_of_several() -> None:
    """It stands beside what is carried; a carried column of that name gives way to it."""
    rows = [answered(endpoint="north", carried={"endpoint": "x", "input_endpoint": 1}), failed(carried=None), invalid()]
    passthrough: dict[str, PassthroughColumn] = {"endpoint": Kind.TEXT, "input_endpoint": Kind.INT, "topic": Kind.TEXT}
    batch = by_lines(rows, passthrough, has_endpoints=True)
    assert batch is not None
    assert batch.column_names[-4:] == ["endpoint", "input_input_endpoint", "input_endpoint", "topic"]
    (first, second, third) = batch.select(["endpoint", "input_input_endpoint", "input_endpoint"]).to_pylist()
    assert list(first.values()) == ["north", "x", 1]
    assert list(second.values()) == list(third.values()) == [None] * 3
    alone = by_lines(rows, passthrough)
    assert alone is not None
    assert alone["endpoint"].to_pylist() == ["x", None, None]


@pytest.mark.parametrize(
    "kind", [pa.timestamp("ms"), pa.decimal128(5, 2), pa.binary(), pa.dictionary(pa.int8(), pa.string())]
)
def test_other_types_are_left_to_records(kind: pa.DataType) -> None:
    """A column whose JSON is not its value."""
    assert by_lines([answered(carried={})], {"x": kind}) is None


def test_a_name_that_is_no_utf8_is_left_to_records() -> None:
    """No Arrow field can be called so."""
    assert by_lines([answered(carried={})], {"a\ud800": Kind.INT}) is None


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
TIMES = st.floats(0, 4_000_000_000)
MESSAGES = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": TEXTS}), max_size=4
)
SOME = st.fixed_dictionaries(
    {"messages": MESSAGES, "started_at": TIMES, "cost_usd": NUMBERS, "wait_s": NUMBERS},
    optional={
        "re_asks": st.integers(0, 5),
        "error": TEXTS,
        "http_status": st.integers(100, 599),
        "usage": st.dictionaries(st.sampled_from(["prompt_tokens", "cached_tokens"]), st.integers(0, 2**63 - 1)),
        "carried": st.fixed_dictionaries(
            {}, optional={"topic": TEXTS | st.none(), "x": NUMBERS | st.integers(0, 2**63 - 1), "endpoint": TEXTS}
        ),
        "endpoint": TEXTS,
    },
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([answered, failed]), TEXTS, SOME), min_size=1, max_size=6), st.booleans())
def test_any_plain_rows(drawn: list[Any], has_endpoints: bool) -> None:
    """Lengths, absent keys, numbers and texts of any kind."""
    rows = [make(id_, **fields) for make, id_, fields in drawn]
    passthrough: dict[str, PassthroughColumn] = {"topic": Kind.TEXT, "endpoint": Kind.TEXT, "x": Kind.FLOAT}
    assert by_lines(rows, passthrough, has_endpoints=has_endpoints)
