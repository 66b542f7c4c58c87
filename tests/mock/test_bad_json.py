from __future__ import annotations

import json
from collections import Counter
from random import Random
from typing import Any

import jsonschema
import pytest

from batchchat.mock.bad_json import spoil
from batchchat.mock.json_values import ValueWriter

REVIEW = {
    "type": "object",
    "properties": {
        "label": {"enum": ["positive", "negative"]},
        "score": {"type": "integer"},
        "why": {"type": "string"},
    },
    "required": ["label", "score"],
}


def kind_of(text: str, whole: str, schema: Any) -> str:
    """How a text was spoiled, by what can be read off it."""
    if text == f"```json\n{whole}\n```":
        return "fenced"
    if whole in text and text != whole:
        return "chatty"
    try:
        value = json.loads(text)
    except ValueError:
        assert whole.startswith(text)
        return "cut"
    assert not jsonschema.Draft202012Validator(schema).is_valid(value)
    return "wrong"


@pytest.mark.parametrize(
    "schema",
    [
        REVIEW,
        {"type": "object", "properties": {"a": {}}},
        {"type": "array", "items": {"type": "integer"}, "minItems": 2},
        {"anyOf": [REVIEW, {"type": "object", "properties": {"refusal": {"type": "string"}}, "required": ["refusal"]}]},
        {"$ref": "#/$defs/r", "$defs": {"r": REVIEW}},
        {"type": "string", "minLength": 20},
    ],
)
def test_all_four_kinds_come(schema: dict[str, Any]) -> None:
    """Each kind comes about as often; none is JSON that fits, and what is wrong is so by jsonschema's word."""
    kinds: Counter[str] = Counter()
    for seed in range(200):
        value = ValueWriter(schema, Random(seed)).write(schema)
        whole = json.dumps(value, ensure_ascii=False)
        kinds[kind_of(spoil(value, schema, Random(seed)), whole, schema)] += 1
    assert kinds.keys() == {"fenced", "chatty", "cut", "wrong"}
    assert min(kinds.values()) > 25


@pytest.mark.parametrize("schema", [{}, {"type": "integer"}, {"type": "boolean"}])
def test_what_cannot_be_spoiled_so_is_chatty(schema: dict[str, Any]) -> None:
    """Half a number is a number and anything fits an empty schema: neither is taken for bad JSON."""
    for seed in range(50):
        value = ValueWriter(schema, Random(seed)).write(schema)
        text = spoil(value, schema, Random(seed))
        assert kind_of(text, json.dumps(value, ensure_ascii=False), schema) in ("fenced", "chatty", "cut", "wrong")
