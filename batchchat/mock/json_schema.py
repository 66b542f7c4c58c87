"""What a JSON Schema says in one place: `$ref` and `allOf` put together, and the types it accepts.

A schema is an object, or true or false. Keywords that are not read here or in `json_values.py` have no effect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["TYPES", "Schema", "SchemaReader", "type_of"]

Schema = dict[str, Any]

TYPES = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})
_CHOICES = ("anyOf", "oneOf")
_COMBINING = frozenset({"$ref", "allOf", *_CHOICES})
_MAX_HOPS = 40  # of references that lead to each other

_LOWER_BOUNDS = frozenset({"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"})
_UPPER_BOUNDS = frozenset({"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"})


class SchemaReader:
    """Reads the schemas within `root`, to which their references point."""

    def __init__(self, root: Any) -> None:
        self._root = root

    def flatten(self, schema: Any, choose: Callable[[list[Any]], Any] | None, hops: int = 0) -> Schema:
        """`schema` without `$ref` and `allOf`; of `anyOf` and `oneOf` what `choose` takes, or nothing without it."""
        if not isinstance(schema, dict) or hops > _MAX_HOPS:
            return {}
        flat = {key: value for key, value in schema.items() if key not in _COMBINING}
        parts = list(_listed(schema.get("allOf")))
        if "$ref" in schema:
            parts.append(self.target(schema["$ref"]))
        if choose is not None:
            parts.extend(choose(branches) for key in _CHOICES if (branches := _listed(schema.get(key))))
        for part in parts:
            flat = _merged(flat, self.flatten(part, choose, hops + 1))
        return flat

    def types(self, schema: Any, hops: int = 0) -> frozenset[str]:
        """The types of JSON values that `schema` may accept; `number` never without `integer`."""
        if schema is False:
            return frozenset()
        if not isinstance(schema, dict) or hops > _MAX_HOPS:
            return TYPES
        types = _of_keyword(schema.get("type"))
        for values in (schema.get("enum"), [schema["const"]] if "const" in schema else None):
            if isinstance(values, list):
                types &= {type_of(value) for value in values}
        if "$ref" in schema:
            types &= self.types(self.target(schema["$ref"]), hops + 1)
        for part in _listed(schema.get("allOf")):
            types &= self.types(part, hops + 1)
        for key in _CHOICES:
            if branches := _listed(schema.get(key)):
                types &= frozenset().union(*(self.types(branch, hops + 1) for branch in branches))
        return types

    def target(self, ref: Any) -> Any:
        """The schema that a reference within this document leads to; true for any other."""
        if not isinstance(ref, str) or not ref.startswith("#"):
            return True
        node = self._root
        for step in ref[1:].split("/")[1:]:
            name = unquote(step).replace("~1", "/").replace("~0", "~")
            if isinstance(node, dict) and name in node:
                node = node[name]
            elif isinstance(node, list) and name.isdecimal() and int(name) < len(node):
                node = node[int(name)]
            else:
                return True
        return node


def type_of(value: Any) -> str:
    """The type of a JSON value; a number without a fraction is an `integer`."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case str():
            return "string"
        case list():
            return "array"
        case dict():
            return "object"
        case _:
            return "integer" if value == int(value) else "number"


def _of_keyword(types: Any) -> frozenset[str]:
    names = {types} if isinstance(types, str) else set(types) if isinstance(types, list) else TYPES
    if "number" in names:
        names |= {"integer"}
    return TYPES & names


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _merged(left: Schema, right: Schema) -> Schema:
    """A schema that accepts what both accept, as far as one object without `allOf` can say it."""
    merged = dict(left)
    for key, value in right.items():
        merged[key] = _both(key, merged[key], value) if key in merged else value
    return merged


def _both(key: str, left: Any, right: Any) -> Any:
    if left == right:
        return left
    if key in _LOWER_BOUNDS:
        return max(left, right)
    if key in _UPPER_BOUNDS:
        return min(left, right)
    if key == "properties":
        shared = {name: {"allOf": [left[name], right[name]]} for name in left.keys() & right.keys()}
        return {**left, **right, **shared}
    if key == "required":
        return list(dict.fromkeys([*left, *right]))
    if key == "enum":
        return [value for value in left if value in right] or left
    if key == "type":
        return sorted(_of_keyword(left) & _of_keyword(right)) or left
    if key in ("items", "additionalProperties"):
        return {"allOf": [left, right]}
    return right
