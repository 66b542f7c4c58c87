"""How a request asks for JSON of a schema: by `response_format`, or by words where that does not name the schema. Pure.

With `json_object`, and without any, the schema is appended to the last message of the user: a model knows it from
nowhere else, and endpoints want the word JSON in the prompt. A request that has a `response_format` of its own is left
as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from batchchat import lossless_json
from batchchat.core.conversation import Message
from batchchat.core.response_format import ResponseFormat

__all__ = ["asking_for", "is_strict"]

_NAME = "reply"
_STRICT_KEYWORDS = frozenset(
    {
        *("$defs", "$id", "$ref", "$schema", "additionalProperties", "anyOf", "const", "definitions", "description"),
        *("enum", "exclusiveMaximum", "exclusiveMinimum", "format", "items", "maxItems", "maximum", "minItems"),
        *("minimum", "multipleOf", "pattern", "properties", "required", "title", "type"),
    }
)


def asking_for(
    response_format: ResponseFormat, schema: Mapping[str, Any], messages: list[Message], params: Mapping[str, Any]
) -> tuple[list[Message], Mapping[str, Any]]:
    """`messages` and `params` of a request that asks for JSON of `schema` by `response_format`."""
    if params.get("response_format") is not None:
        return messages, params
    if response_format is ResponseFormat.JSON_SCHEMA:
        described: dict[str, Any] = {"name": _NAME, "schema": schema}
        if is_strict(schema):
            described["strict"] = True
        return messages, {**params, "response_format": {"type": response_format.value, "json_schema": described}}
    if response_format is ResponseFormat.JSON_OBJECT:
        params = {**params, "response_format": {"type": response_format.value}}
    text = lossless_json.dumps(schema).decode()
    return _appended(messages, f"Reply with JSON alone, which fits this JSON Schema:\n{text}"), params


def _appended(messages: list[Message], text: str) -> list[Message]:
    """`messages` with `text` at the end of the user's last one."""
    for at in range(len(messages) - 1, -1, -1):
        message = messages[at]
        if message.get("role") != "user":
            continue
        content = message.get("content")
        if isinstance(content, list):
            content = [*content, {"type": "text", "text": text}]
        else:
            content = f"{content}\n\n{text}" if content else text
        return [*messages[:at], {**message, "content": content}, *messages[at + 1 :]]
    return [*messages, {"role": "user", "content": text}]


def is_strict(schema: Mapping[str, Any]) -> bool:
    """Whether `schema` keeps the rules of OpenAI's strict mode, which refuses any other schema.

    The root is an object; each object requires all its properties and allows no others; no other keywords.
    """
    if schema.get("type") != "object" or "anyOf" in schema:
        return False
    return all(_keeps_rules(subschema) for subschema in _subschemas(schema))


def _keeps_rules(schema: Any) -> bool:
    if not isinstance(schema, Mapping) or not _STRICT_KEYWORDS.issuperset(schema):
        return False
    types = schema.get("type")
    if types != "object" and not (isinstance(types, list) and "object" in types) and "properties" not in schema:
        return True
    return schema.get("additionalProperties") is False and set(schema.get("required", ())) == set(
        schema.get("properties", ())
    )


def _subschemas(schema: Any) -> Iterator[Any]:
    """`schema` and all schemas in it."""
    pending = [schema]
    while pending:
        outer = pending.pop()
        yield outer
        if not isinstance(outer, Mapping):
            continue
        for keyword in ("properties", "$defs", "definitions"):
            if isinstance(inner := outer.get(keyword), Mapping):
                pending += inner.values()
        pending += outer.get("anyOf", ())
        if "items" in outer:
            pending.append(outer["items"])
