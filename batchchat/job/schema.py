"""The job file as JSON Schema, generated from the declared keys; draft 7, which editors' YAML server supports best.

The schema accepts for each key what the loader accepts for that key alone. It can't check keys against each other or
against the environment (a price is complete, a variable is set, the key's name is no key): the loader refuses more.
What the schema refuses the loader refuses too. One exception: to JSON Schema 16.0 is a whole number.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from batchchat.job.keys import SECTIONS, JobKey, children

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["job_schema", "schema_text", "words_of"]

_VARIABLE = {"$ref": "#/definitions/variable"}
_NULL = {"type": "null"}


def job_schema() -> dict[str, Any]:
    """The schema of a whole job."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A batchchat job",
        "definitions": {
            "variable": {
                "description": "Text with ${NAME} or ${NAME:-default} in it, read from the environment.",
                "type": "string",
                "pattern": r"\$\{",
            }
        },
        **_mapping("", {"type": "object"}),
    }


def schema_text() -> str:
    """The schema as JSON text, as `batchchat schema` prints it."""
    return json.dumps(job_schema(), indent=2)


def words_of(key: JobKey) -> str:
    """The help of `key`, and its default if that is not a plain value."""
    return key.help if key.default_words is None else f"{key.help}; default: {key.default_words}"


def _mapping(section: str, base: dict[str, Any]) -> dict[str, Any]:
    keys = children(section)
    return {
        **base,
        "additionalProperties": False,
        "required": [leaf for leaf, key in keys.items() if _is_required(leaf, key)],
        "properties": {leaf: _section(leaf) if key is None else _key(key) for leaf, key in keys.items()},
    }


def _is_required(leaf: str, key: JobKey | None) -> bool:
    if key is not None:
        return key.required
    return any(below is not None and below.required for below in children(leaf).values())


def _section(name: str) -> dict[str, Any]:
    assert name in SECTIONS
    nullable = not _is_required(name, None)
    return _mapping(name, {"title": name, "type": ["object", "null"] if nullable else "object"})


def _key(key: JobKey) -> dict[str, Any]:
    schema = _with_variables(key.type.schema)
    if not key.required:  # null means the same as leaving the key out
        schema = _any_of(schema, _NULL)
    words = words_of(key)
    header: dict[str, Any] = {
        "title": key.name,
        "description": f"{words[0].upper()}{words[1:]}. It takes {key.type.takes}.",
    }
    return {**header, **schema} if key.default is None else {**header, "default": _plain(key.default), **schema}


def _with_variables(schema: Mapping[str, Any]) -> dict[str, Any]:
    """`schema` with a text that contains variables accepted for each of its scalars too."""
    if "anyOf" in schema:
        return _any_of(*(_with_variables(alternative) for alternative in schema["anyOf"]))
    json_type = schema.get("type")
    if json_type == "object":
        parts = {
            name: _each(schema[name]) if name == "properties" else _with_variables(schema[name])
            for name in ("properties", "additionalProperties")
            if schema.get(name)  # False takes no other properties
        }
        return {**schema, **parts}
    if json_type == "array":
        return {**schema, "items": _with_variables(schema["items"])}
    free_text = json_type == "string" and schema.get("pattern") in (None, r"\S")
    return dict(schema) if free_text or json_type == "null" else _any_of(schema, _VARIABLE)


def _each(properties: Mapping[str, Any]) -> dict[str, Any]:
    # False is the schema of a property that is never accepted.
    return {name: schema if schema is False else _with_variables(schema) for name, schema in properties.items()}


def _any_of(*schemas: Mapping[str, Any]) -> dict[str, Any]:
    """A schema that accepts any of `schemas`; alternatives are flattened, and none is repeated."""
    flat: list[dict[str, Any]] = []
    for schema in schemas:
        for alternative in schema["anyOf"] if set(schema) == {"anyOf"} else [schema]:
            if alternative not in flat:
                flat.append(dict(alternative))
    return flat[0] if len(flat) == 1 else {"anyOf": flat}


def _plain(default: Any) -> Any:
    """A default as a person writes it: 600, not 600.0."""
    return int(default) if isinstance(default, float) and default.is_integer() else default
