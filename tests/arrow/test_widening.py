"""Columns of JSON values: one type for all, nested where the values are of one shape."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.arrow.widened_arrays import arrow_type, decode_widened
from batchchat.arrow.widening import Kind, Widened, widen
from batchchat.lossless_json import NonFinite


def widened(values: list[Any]) -> Widened:
    kind: Widened = Kind.NULL
    for value in values:
        kind = widen(kind, value)
    return kind


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([[1, 2], None, []], "list<item: int64>"),
        ([[1], [2.5]], "list<item: double>"),
        ([[], [None]], "list<item: string>"),
        ([["a"], [None, "b"]], "list<item: string>"),
        ([{"a": 1, "b": "x"}, {"b": None, "a": 2.5}], "struct<a: double, b: string>"),
        ([{"a": [{"b": True}]}, {"a": []}], "struct<a: list<item: struct<b: bool>>>"),
        ([[[1]], [[]], [None]], "list<item: list<item: int64>>"),
        ([[NonFinite("nan")], [1]], "list<item: double>"),
    ],
)
def test_values_of_one_shape_stay_nested(values: list[Any], expected: str) -> None:
    """Lists and objects, in any order of the rows; null fits everywhere."""
    for order in (values, values[::-1]):
        kind = widened(order)
        assert str(arrow_type(kind)) in {expected, expected.replace("a: double, b: string", "b: string, a: double")}
        column = decode_widened(order, kind)
        column.validate(full=True)
        if "double" not in expected:
            assert column.to_pylist() == order


@pytest.mark.parametrize(
    "values",
    [
        [{"a": 1}, {"b": 1}],
        [{"a": 1}, {"a": 1, "b": None}],
        [[1], ["a"]],
        [[True, 1]],
        [[1], {"a": 1}],
        [{"a": 1}, 5],
        [5, {"a": 1}],
        ["text", [1]],
        [{}],
        [[{}]],
        [[2**63]],
        [{"a\ud800": 1}],
        [{str(n): n for n in range(500)}],
        [json.loads("[" * 30 + "]" * 30)],
    ],
)
def test_any_other_mix_is_json_text(values: list[Any]) -> None:
    """What no one type holds without loss is text, each value as JSON."""
    for order in (values, values[::-1]):
        assert widened(order) is Kind.TEXT
        texts = decode_widened(order, Kind.TEXT).to_pylist()
        assert [v if v == "text" else json.loads(v) for v in map(str, texts)] == order or "\ud800" in str(order)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**65), 2**65) | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=6,
)


def comparable(value: Any) -> Any:
    """Integers as the floats that a column of both makes of them."""
    if isinstance(value, list):
        return [comparable(item) for item in value]
    if isinstance(value, dict):
        return {name: comparable(item) for name, item in value.items()}
    return float(value) if type(value) is int else value


@given(st.lists(JSON, max_size=5))
def test_any_values_make_a_column(values: list[Any]) -> None:
    """Whatever the values and their order: a valid column of the type that all readers know, which loses none."""
    kind = widened(values)
    assert arrow_type(kind) == arrow_type(widened([*values, *values]))
    column = decode_widened(values, kind)
    column.validate(full=True)
    assert column.type == arrow_type(kind)
    if not isinstance(kind, Kind):
        assert comparable(column.to_pylist()) == comparable(values)
    assert pa.types.is_null(column.type) is False
