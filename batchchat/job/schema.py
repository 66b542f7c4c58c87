"""The job file as JSON Schema, read off the table of keys; draft 7, which editors' YAML language server takes best.

It says of each key what the loader says of it alone. What the loader asks across keys or of the environment (a price
is whole, a variable is set, the key's name is no key) it can't say: what it refuses the loader refuses, but for one
thing: to JSON Schema 16.0 is a whole number.
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
    """The same as `batchchat schema` prints it."""
    return json.dumps(job_schema(), indent=2)


def words_of(key: JobKey) -> str:
    """What a key is for, and its default where that is no plain value."""
    return key.help if key.default_words is None else f"{key.help}; default: {key.default_words}"


def _mapping(section: str, kind: dict[str, Any]) -> dict[str, Any]:
    known = children(section)
    return {
        **kind,
        "additionalProperties": False,
        "required": [leaf for leaf, key in known.items() if _is_required(leaf, key)],
        "properties": {leaf: _section(leaf) if key is None else _key(key) for leaf, key in known.items()},
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
    schema = _with_variables(key.kind.schema)
    if not key.required:  # null says what leaving it out says
        schema = _any_of(schema, _NULL)
    sentence = words_of(key)
    told: dict[str, Any] = {
        "title": key.name,
        "description": f"{sentence[0].upper()}{sentence[1:]}. It takes {key.kind.takes}.",
    }
    return {**told, **schema} if key.default is None else {**told, "default": _plain(key.default), **schema}


def _with_variables(schema: Mapping[str, Any]) -> dict[str, Any]:
    """`schema` with each of its scalars taken as a text of variables too."""
    if "anyOf" in schema:
        return _any_of(*(_with_variables(one) for one in schema["anyOf"]))
    kind = schema.get("type")
    if kind == "object":
        inner = {
            name: _each(schema[name]) if name == "properties" else _with_variables(schema[name])
            for name in ("properties", "additionalProperties")
            if name in schema
        }
        return {**schema, **inner}
    if kind == "array":
        return {**schema, "items": _with_variables(schema["items"])}
    free_text = kind == "string" and schema.get("pattern") in (None, r"\S")
    return dict(schema) if free_text or kind == "null" else _any_of(schema, _VARIABLE)


def _each(properties: Mapping[str, Any]) -> dict[str, Any]:
    # False stands for a property that is never taken.
    return {name: one if one is False else _with_variables(one) for name, one in properties.items()}


def _any_of(*schemas: Mapping[str, Any]) -> dict[str, Any]:
    """One of `schemas`; those that are alternatives themselves are taken apart, and each stands once."""
    flat: list[dict[str, Any]] = []
    for schema in schemas:
        for one in schema["anyOf"] if set(schema) == {"anyOf"} else [schema]:
            if one not in flat:
                flat.append(dict(one))
    return flat[0] if len(flat) == 1 else {"anyOf": flat}


def _plain(default: Any) -> Any:
    """A default as one writes it: 600, not 600.0."""
    return int(default) if isinstance(default, float) and default.is_integer() else default
