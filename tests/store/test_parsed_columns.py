"""The properties of a schema as columns."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from batchchat.arrow import cells
from batchchat.store.parsed_columns import ParsedColumns, declared_text, fields_of_schema, fields_of_text
from tests.store.given import answered

TEXT, INT, FLOAT, BOOL = pa.string(), pa.int64(), pa.float64(), pa.bool_()


def properties(**schemas: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": schemas,
        "$defs": {"n": {"type": "integer"}, "loop": {"$ref": "#/$defs/loop"}},
    }


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": "string"}, TEXT),
        ({"type": ["null", "integer"]}, INT),
        ({"type": ["integer", "number"]}, FLOAT),
        ({"type": "boolean"}, BOOL),
        ({"enum": ["a", "b", None]}, TEXT),
        ({"enum": [1, 2]}, INT),
        ({"enum": [1, 2.5]}, FLOAT),
        ({"const": True}, BOOL),
        ({"$ref": "#/$defs/n"}, INT),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, TEXT),
        ({"type": "array", "items": {"type": ["number", "null"]}}, pa.list_(FLOAT)),
        (
            {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False},
            pa.struct([("a", TEXT)]),
        ),
    ],
)
def test_a_property_with_a_type(schema: Any, kind: pa.DataType) -> None:
    """What holds all its values."""
    (field,) = fields_of_schema(properties(a=schema))
    assert (field.name, field.type, field.metadata) == ("a", kind, None)


@pytest.mark.parametrize(
    "schema",
    [
        {},
        True,
        {"type": "null"},
        {"type": ["string", "integer"]},
        {"enum": ["a", 1]},
        {"enum": [1, True]},
        {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        {"type": "array"},
        {"type": "array", "prefixItems": [{"type": "string"}], "items": {"type": "integer"}},
        {"type": "object", "properties": {"a": {"type": "string"}}},
        {"type": "object", "additionalProperties": False},
        {"$ref": "#/$defs/loop"},
        {"$ref": "#/$defs/none"},
    ],
)
def test_a_property_without_one_is_json(schema: Any) -> None:
    """Its values have several types, or members that are not named."""
    fields = fields_of_schema(properties(a=schema))
    assert [field.type for field in fields] == [TEXT]
    columns = ParsedColumns(fields, {})
    values: list[Any] = ["x", 1, {"b": [1]}, None]
    rows = [columns.of(answered(reply={"parsed": {"a": value}})) for value in values]
    assert [row["carried"]["a"] for row in rows] == ['"x"', "1", '{"b":[1]}', None]


@pytest.mark.parametrize(
    ("kind", "values", "cells_"),
    [
        (TEXT, ["a", 1, None, "\ud800"], ["a", None, None, "\ufffd"]),
        (INT, [1, 1.0, 1.5, True, 1 << 63, -(1 << 63), "1"], [1, 1, None, None, None, -(1 << 63), None]),
        (FLOAT, [1, 1.5, True, 10**400, "1"], [1.0, 1.5, None, None, None]),
        (BOOL, [True, 1, None], [True, None, None]),
        (pa.list_(INT), [[1, "a"], [], "a"], [[1, None], [], None]),
        (pa.struct([("a", INT)]), [{"a": 1, "b": 2}, {}, 3], [{"a": 1}, {"a": None}, None]),
    ],
)
def test_a_value_that_does_not_fit_is_null(kind: pa.DataType, values: list[Any], cells_: list[Any]) -> None:
    """Those of an answer that was given for another schema, and what is beyond 64 bits."""
    columns = ParsedColumns([pa.field("a", kind)], {})
    made = [columns.of(answered(reply={"parsed": {"a": value}}))["carried"]["a"] for value in values]
    assert made == cells_
    assert cells.decode(made, kind).to_pylist() == cells_


def test_names_give_way() -> None:
    """Our own columns stay, then the properties, then what is carried."""
    fields = [pa.field(name, INT) for name in ("status", "parsed_status", "a")]
    columns = ParsedColumns(fields, {"a": TEXT, "input_a": TEXT, "c": TEXT})
    names = ["parsed_status", "parsed_parsed_status", "a", "input_input_a", "input_a", "c"]
    assert list(columns.columns) == names
    parsed = {"status": 1, "parsed_status": 2, "a": 3}
    row = columns.of(answered(reply={"parsed": parsed}, carried={"a": "x", "input_a": "y", "c": "z"}))
    assert [row["carried"][name] for name in names] == [1, 2, 3, "x", "y", "z"]


def test_without_properties_nothing_is_changed() -> None:
    """Neither a row nor the columns; a reply that is no object has no properties."""
    columns = ParsedColumns([], {"a": TEXT})
    row = answered(reply={"parsed": {"a": 1}})
    assert columns.of(row) is row
    assert columns.columns == {"a": TEXT}
    listed = ParsedColumns([pa.field("a", INT)], {}).of(answered(reply={"parsed": [1]}, carried={}))
    assert listed["carried"] == {"a": None}


def test_a_name_that_is_no_text_has_no_column() -> None:
    """Half a character: Arrow takes none."""
    inner = {"type": "object", "properties": {"b\ud800": {"type": "string"}}, "additionalProperties": False}
    fields = fields_of_schema(properties(**{"a\ud800": {"type": "string"}, "c": inner}))
    assert [(field.name, field.type) for field in fields] == [("c", TEXT)]


def test_the_text_of_a_declaration() -> None:
    """What a run's record has of them says it all."""
    fields = fields_of_schema(properties(a={"type": "integer"}, b={}, c={"type": "array", "items": {"type": "string"}}))
    again = fields_of_text(declared_text(fields))
    assert [(field.name, field.type, field.metadata) for field in again] == [
        (field.name, field.type, field.metadata) for field in fields
    ]
    assert (declared_text([]), fields_of_text(None)) == (None, [])
