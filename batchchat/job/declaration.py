"""How a key of the job is declared: as metadata of the field of the spec that holds its value.

    max_wait: float = field(default=120.0, metadata=key(number(minimum=0), "longest wait between two attempts"))

The key has the field's name and default; a field without a default is a key that must be set. The loader, `--set`, the
JSON Schema, the starter job and the reference read the declarations (`keys.KEYS`), so that a key whose value is used
as it is read is declared here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from batchchat.job.value_types import ValueType

__all__ = ["KEY", "SECTION", "Declaration", "key", "section"]

KEY = "job_key"
SECTION = "job_section"
"""The names under which a field's metadata has its `Declaration`, or the spec of its section."""


@dataclass(frozen=True, slots=True)
class Declaration:
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
