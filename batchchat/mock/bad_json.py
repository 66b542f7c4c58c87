"""JSON as models spoil it, for the fault `bad-json`.

It is fenced (within a Markdown block), chatty (with a sentence before and after it), cut (it breaks off, and yet the
answer claims to be whole) or wrong (well-formed, but a key of the schema is missing or a value is of another type).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from batchchat.mock.json_schema import SchemaReader

if TYPE_CHECKING:
    from random import Random

    from batchchat.mock.json_schema import Schema

__all__ = ["KINDS", "spoil"]

KINDS = ("fenced", "chatty", "cut", "wrong")

_BEFORE = ("Here is the JSON you asked for:", "Sure! I have put it in the format you want:", "The answer:")
_AFTER = ("Let me know if anything is unclear.", "I hope this helps!", "Shall I explain how I came to it?")
_SAMPLES: dict[str, Any] = {
    "string": "not what was asked for",
    "array": ["not", "what", "was", "asked", "for"],
    "number": 0.5,
    "integer": 7,
    "boolean": False,
    "object": {"unexpected": True},
    "null": None,
}


def spoil(value: Any, schema: Schema, random: Random) -> str:
    """The text of `value`, which fits `schema`, spoiled in one of the four ways.

    Where that way leaves it as good as it was (half of a number is a number, too; any value fits an empty schema), it
    is `chatty`.
    """
    text = json.dumps(value, ensure_ascii=False)
    kind = random.choice(KINDS)
    if kind == "fenced":
        return f"```json\n{text}\n```"
    if kind == "cut" and isinstance(value, dict | list | str):
        return text[: random.randint(1, len(text) - 1)]
    if kind == "wrong" and (wrong := _misfits(value, schema)):
        return json.dumps(random.choice(wrong), ensure_ascii=False)
    return f"{random.choice(_BEFORE)}\n\n{text}\n\n{random.choice(_AFTER)}"


def _misfits(value: Any, schema: Schema) -> list[Any]:
    """Values like `value` that do not fit, whichever branches `schema` has; none where no such value is known."""
    reader = SchemaReader(schema)
    misfits: list[Any] = []
    if isinstance(value, dict):
        certain = reader.flatten(schema, None)
        misfits += [_without(value, name) for name in certain.get("required", []) if name in value]
        for name, within in certain.get("properties", {}).items():
            if name in value:
                misfits += [{**value, name: sample} for sample in _unaccepted(reader, within)[:1]]
    return misfits or _unaccepted(reader, schema)


def _without(value: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: inner for key, inner in value.items() if key != name}


def _unaccepted(reader: SchemaReader, schema: Any) -> list[Any]:
    """Values of types that `schema` does not accept."""
    accepted = reader.types(schema)
    return [sample for name, sample in _SAMPLES.items() if name not in accepted]
