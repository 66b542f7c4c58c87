"""`expect`: what replies have to be. A schema stands in the job, or in a file of its own that `expect_check` reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from batchchat.core.response_format import ResponseFormat
from batchchat.job.declaration import key
from batchchat.job.params import json_value
from batchchat.job.tree import MappingNode, Node, Scalar, wrong_type
from batchchat.job.value_types import ValueType, boolean, integer, line, one_of, text

__all__ = ["FORMAT_AUTO", "ExpectSpec", "SchemaSource"]

FORMAT_AUTO = "auto"
MAX_RE_ASKS = 10


class SchemaSource(NamedTuple):
    """A schema as the job gives it: a mapping written in it (`schema`), or the `path` of a file."""

    node: Node
    schema: Mapping[str, Any] | None = None
    path: str | None = None


def _schema_or_path() -> ValueType:
    takes = "a JSON Schema: a mapping, or the path of a JSON or YAML file"

    def read(name: str, node: Node) -> SchemaSource:
        if isinstance(node, MappingNode) and [*node.entries] == ["path"]:  # as `template` takes it
            return SchemaSource(
                node, path=line("the path of a JSON or YAML file").read(f"{name}.path", node.entries["path"])
            )
        if isinstance(node, MappingNode):
            return SchemaSource(node, json_value(name, node))
        if not isinstance(node, Scalar) or not isinstance(node.value, str) or not node.value.strip():
            raise wrong_type(name, node, takes)
        return SchemaSource(node, path=node.value)

    return ValueType(takes, {"anyOf": [{"type": "string", "pattern": r"\S"}, {"type": "object"}]}, read)


@dataclass(frozen=True, slots=True)
class ExpectSpec:
    """What replies have to be: `json_schema` is a valid schema, `matches` a valid regular expression."""

    json_schema: Mapping[str, Any] | None = field(
        default=None,
        metadata=key(_schema_or_path(), "replies are JSON that fits this JSON Schema, inline or the path of a file"),
    )
    response_format: str = field(
        default=FORMAT_AUTO,
        metadata=key(
            one_of((FORMAT_AUTO, *(form.value for form in ResponseFormat))),
            "how requests ask for that; auto: json_schema, and where the endpoint refuses it json_object, then none",
        ),
    )
    re_ask: int = field(
        default=0,
        metadata=key(
            integer(0, MAX_RE_ASKS),
            "how often a reply that does not fit is asked for again, with what is wrong with it",
        ),
    )
    columns: bool = field(
        default=False, metadata=key(boolean(), "the schema's top-level properties as columns with types of their own")
    )
    matches: str | None = field(
        default=None, metadata=key(text(), "a regular expression that is found in each reply's text")
    )
