"""How a key of the job is declared: as metadata of the field of the spec that holds its value.

    max_wait: float = field(default=120.0, metadata=key(number(minimum=0), "longest wait between two attempts"))

The key has the field's name and default; a field without a default is a key that must be set. The loader, `--set`, the
JSON Schema, the starter job and the reference read the declarations (`keys.KEYS`), so that a key whose value is used
as it is read is declared here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields
from typing import Any, NamedTuple

from batchchat.job.value_types import ValueType

__all__ = ["KEY", "SECTION", "Declaration", "JobKey", "declared_keys", "key", "section"]

KEY = "job_key"
SECTION = "job_section"
"""The names under which a field's metadata has its `Declaration`, or the spec of its section."""


class Declaration(NamedTuple):
    """What a field declares of its key; `name` is None if the key has the field's name."""

    type: ValueType
    help: str
    name: str | None
    default_words: str | None


def key(
    value_type: ValueType, help_text: str, *, name: str | None = None, default_words: str | None = None
) -> Mapping[str, Any]:
    """Metadata that declares a key.

    `value_type` is what the key takes, `help_text` what it is for, `name` its name if that is not the field's.
    `default_words` describe a default that is no plain value; with them a field without a default is not required,
    since the loader works the value out.
    """
    return {KEY: Declaration(value_type, help_text, name, default_words)}


def section(spec: type) -> Mapping[str, Any]:
    """Metadata that declares a section of keys: those that the fields of the dataclass `spec` declare."""
    return {SECTION: spec}


class JobKey(NamedTuple):
    """A key of the job file: its dotted name, what it takes and what it is for; its default, or words for that.

    `section` is "" for a key at the top of the job; `field` is the field of the section's spec that holds its value.
    """

    section: str
    field: str
    name: str
    type: ValueType
    help: str
    default: Any = None
    required: bool = False
    default_words: str | None = None


def declared_keys(spec: Any, section: str = "") -> Iterator[JobKey]:
    """The keys that the fields of the dataclass `spec` declare, in their order, those of its sections included."""
    for field in fields(spec):
        if SECTION in field.metadata:
            yield from declared_keys(field.metadata[SECTION], field.name)
        elif KEY in field.metadata:
            yield _job_key(section, field, field.metadata[KEY])


def _job_key(section: str, field: Field[Any], declaration: Declaration) -> JobKey:
    has_default = field.default is not MISSING or field.default_factory is not MISSING
    if field.default is not MISSING:
        default = field.default
    else:
        default = field.default_factory() if field.default_factory is not MISSING else None
    leaf = declaration.name or field.name
    return JobKey(
        section=section,
        field=field.name,
        name=f"{section}.{leaf}" if section else leaf,
        type=declaration.type,
        help=declaration.help,
        default=default,
        required=not has_default and declaration.default_words is None,
        default_words=declaration.default_words,
    )
