"""The JSON that a request wants: the schema that its answer is to fit.

It is that of the `response_format`. Where that is `json_object`, or where there is none, a JSON Schema that is written
out in the conversation is taken.
"""

from __future__ import annotations

import json
from typing import Any

from batchchat.mock.json_schema import TYPES, Schema

__all__ = ["FORMATS", "schema_in", "wanted_schema"]

FORMATS = ("text", "json_object", "json_schema")

_ANY_OBJECT: Schema = {
    "type": "object",
    "properties": {
        "answer": {"type": "string"},
        "score": {"type": "integer", "minimum": 1, "maximum": 5},
    },
    "required": ["answer", "score"],
}
_SIGNS = ('"type"', '"properties"', '"enum"', '"anyOf"', '"$ref"')
_MAX_STARTS = 50  # of what may be JSON in one text
_DECODER = json.JSONDecoder()


def wanted_schema(response_format: dict[str, Any] | None, messages: list[dict[str, Any]]) -> Schema | None:
    """The schema of the JSON to answer with; None where the answer is prose.

    `response_format` is one that was checked.
    """
    match (response_format or {}).get("type"):
        case "json_schema":
            assert response_format is not None
            schema: Schema = response_format["json_schema"]["schema"]
            return schema
        case "json_object":
            return schema_in(messages) or _ANY_OBJECT
        case "text":
            return None
        case _:
            return schema_in(messages)


def schema_in(messages: list[dict[str, Any]]) -> Schema | None:
    """The last JSON Schema written out in the conversation's system and user messages."""
    for message in reversed(messages):
        if message["role"] == "assistant":
            continue
        content = message.get("content")
        parts = content if isinstance(content, list) else [content]
        for part in reversed(parts):
            text = part.get("text") if isinstance(part, dict) else part
            if isinstance(text, str) and "{" in text and any(sign in text for sign in _SIGNS):
                schema = _schema_within(text)
                if schema is not None:
                    return schema
    return None


def _schema_within(text: str) -> Schema | None:
    start = text.find("{")
    for _ in range(_MAX_STARTS):
        if start < 0:
            break
        try:
            value, end = _DECODER.raw_decode(text, start)
        except (ValueError, RecursionError):
            end = start + 1
        else:
            if _is_schema(value):
                return value if isinstance(value, dict) else None
        start = text.find("{", end)
    return None


def _is_schema(value: Any) -> bool:
    """Whether an object is a schema rather than data with a key such as `type`."""
    if not isinstance(value, dict):
        return False
    types = value.get("type")
    names = types if isinstance(types, list) else [types]
    if names and all(isinstance(name, str) and name in TYPES for name in names):
        return True
    return isinstance(value.get("properties"), dict) or any(
        isinstance(value.get(key), list) for key in ("enum", "anyOf", "oneOf", "allOf")
    )
