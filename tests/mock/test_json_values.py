"""Values drawn to fit a schema, judged by jsonschema."""

from __future__ import annotations

from random import Random
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchchat.mock.json_values import ValueWriter

NAMES = st.sampled_from(["name", "score", "label", "tags", "when", "a b", "ключ"])
PATTERNS = ["^[A-Z]{2}-\\d{4}$", "^(low|mid|high)$", "^[a-z][a-z0-9_]*$", "\\w+@\\w+\\.org", "^#[0-9a-f]{6}$"]
FORMATS = ["date", "date-time", "time", "email", "uri", "uuid", "ipv4", "ipv6", "hostname", "duration"]


def draw(schema: Any, seed: int = 0) -> Any:
    return ValueWriter(schema, Random(seed)).write(schema)


def fits(value: Any, schema: Any) -> bool:
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    return jsonschema.Draft202012Validator(schema, format_checker=checker).is_valid(value)


@st.composite
def ranges(draw: st.DrawFn, low: str, high: str, values: st.SearchStrategy[Any]) -> dict[str, Any]:
    """Either bound, both or none."""
    first, last = sorted((draw(values), draw(values)))
    bounds = {low: first, high: last}
    return {key: bounds[key] for key in draw(st.sets(st.sampled_from([low, high])))}


@st.composite
def numbers(draw: st.DrawFn) -> dict[str, Any]:
    """Bounds of a number, exclusive ones with room between them, or a step."""
    kind = draw(st.sampled_from(["integer", "number"]))
    values = st.integers(-(10**6), 10**6) if kind == "integer" else st.floats(-1e6, 1e6).map(lambda x: round(x, 3))
    match draw(st.sampled_from(["bounds", "exclusive", "step"])):
        case "bounds":
            return {"type": kind, **draw(ranges("minimum", "maximum", values))}
        case "exclusive":
            low = draw(values)
            high = low + draw(st.sampled_from([2, 3, 1000]))
            bounds = {"exclusiveMinimum": low, "exclusiveMaximum": high}
            return {"type": kind, **{key: bounds[key] for key in draw(st.sets(st.sampled_from(list(bounds))))}}
        case _:
            step = draw(st.sampled_from([1, 5, 7] if kind == "integer" else [0.1, 0.25, 0.01, 3]))
            low = draw(st.integers(-50, 50))
            return {"type": kind, "multipleOf": step, "minimum": low, "maximum": low + 20}


def texts() -> st.SearchStrategy[dict[str, Any]]:
    forms = st.sampled_from([*({"format": name} for name in FORMATS), *({"pattern": name} for name in PATTERNS)])
    return st.one_of(ranges("minLength", "maxLength", st.integers(0, 200)), forms).map(
        lambda x: {"type": "string", **x}
    )


SCALARS = st.one_of(
    numbers(),
    texts(),
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"const": {"a": [1]}}, {"enum": ["low", 3, None, 0.5]}]),
    st.just({"type": ["string", "null"], "maxLength": 10}),
    st.just({"$ref": "#/$defs/tree"}),
    st.just({"$ref": "#/$defs/kind", "description": "beside a reference"}),
)
DEFS = {
    "kind": {"enum": ["a", "b", "c"]},
    "tree": {
        "type": "object",
        "properties": {
            "value": {"type": "integer"},
            "children": {"type": "array", "items": {"$ref": "#/$defs/tree"}, "maxItems": 3},
            "parent": {"anyOf": [{"$ref": "#/$defs/tree"}, {"type": "null"}]},
        },
        "required": ["value", "children", "parent"],
        "additionalProperties": False,
    },
}


@st.composite
def objects(draw: st.DrawFn, inner: st.SearchStrategy[Any]) -> dict[str, Any]:
    properties = draw(st.dictionaries(NAMES, inner, max_size=4))
    required = draw(st.lists(st.sampled_from(sorted(properties)), unique=True)) if properties else []
    others = draw(st.sampled_from([True, False, {"type": "integer"}]))
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": others}
    if others is not False:
        schema["minProperties"] = draw(st.integers(0, 6))
    return schema


@st.composite
def arrays(draw: st.DrawFn, inner: st.SearchStrategy[Any]) -> dict[str, Any]:
    schema = {"type": "array", "items": draw(inner), **draw(ranges("minItems", "maxItems", st.integers(0, 6)))}
    if draw(st.booleans()):
        schema["prefixItems"] = [draw(inner)]
    return schema


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    tagged = st.just(
        {
            "oneOf": [
                {"properties": {"kind": {"const": "a"}, "x": {"type": "integer"}}, "required": ["kind", "x"]},
                {"properties": {"kind": {"const": "b"}, "y": {"type": "string"}}, "required": ["kind"]},
            ],
            "type": "object",
        }
    )
    both = st.tuples(objects(inner), st.just({"type": "object", "required": ["added"]}))
    return st.one_of(
        objects(inner),
        arrays(inner),
        tagged,
        st.lists(inner, min_size=1, max_size=3).map(lambda branches: {"anyOf": branches}),
        both.filter(lambda pair: pair[0]["additionalProperties"] is True).map(lambda pair: {"allOf": list(pair)}),
    )


@settings(max_examples=60, deadline=None)
@given(st.recursive(SCALARS, nested, max_leaves=8), st.integers(0, 10**9))
def test_what_is_drawn_fits(schema: dict[str, Any], seed: int) -> None:
    """A value fits its schema by the word of jsonschema, and the same seed gives the same value."""
    whole = {**schema, "$defs": DEFS}
    value = draw(whole, seed)
    jsonschema.Draft202012Validator(whole, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER).validate(
        value
    )
    assert draw(whole, seed) == value


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {"enum": [1, 2, 3]}, "uniqueItems": True, "minItems": 3},
        {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1e-9},
        {"type": "number", "minimum": 0.1, "maximum": 0.1},
        {"type": "string", "minLength": 500, "maxLength": 500},
        {"type": "object", "minProperties": 30},
        {"properties": {"a": {"minimum": 5}, "b": {"items": {"maxLength": 3}}}, "required": ["a", "b"]},
        {"$ref": "#/definitions/a%20b", "definitions": {"a b": {"type": "integer", "maximum": -5}}},
        {"allOf": [{"type": "integer", "minimum": 3}, {"type": "number", "maximum": 3}]},
        {"allOf": [{"enum": ["a", "b"]}, {"enum": ["b", "c"]}]},
        {},
    ],
)
def test_corners_fit(schema: dict[str, Any]) -> None:
    """Schemas with little room, of references by name, without a type or with types of their own still fit."""
    assert all(fits(draw(schema, seed), schema) for seed in range(20))


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}]},
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        {"type": "array", "items": {"$ref": "#"}, "minItems": 1, "maxItems": 1},
        {"type": "array", "minItems": 10**9, "items": {"const": 0}},
        {"type": "string", "minLength": 10**12},
        {"type": "string", "pattern": "^(a{99}){99}$"},
        {"type": "string", "pattern": "(?=x)["},
        {"$ref": "https://example.com/elsewhere.json"},
        {"type": "integer", "minimum": 5, "maximum": 3},
        {"type": "no such type"},
    ],
)
def test_what_nothing_can_fit_ends(schema: dict[str, Any]) -> None:
    """A schema without an end, or with none of its values in reach, gets a value of bounded size."""
    assert len(repr(draw(schema))) < 100_000
