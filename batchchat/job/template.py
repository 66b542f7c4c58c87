"""`template`: the text of the user message, or a list of messages, with Jinja2 in it; a text may stand in a file.

Whether it is a template is seen where it is parsed, when the input is opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from batchchat.core.conversation import ROLES
from batchchat.job.diagnostics import Diagnostic, RefusedError
from batchchat.job.params import json_value
from batchchat.job.tree import MappingNode, Node, Scalar, SequenceNode, is_null, printable, wrong_type, wrong_value
from batchchat.job.value_types import ValueType, collect, indexed_items, line, text

__all__ = ["TemplateFile", "TemplateSpec", "read_template_file", "template"]

_MAX_FILE_BYTES = 1 << 20
_MESSAGE_KEYS = ("role", "content")


class TemplateFile(NamedTuple):
    """`{path: prompt.j2}`: a file with the text of the user message, relative to the job file."""

    as_given: str


class TemplateSpec(NamedTuple):
    """What makes the conversation of a row: the text of a user message, or messages whose contents are templates.

    `where` is what messages to a person call it: `template`, or the name of its file.
    """

    value: str | tuple[Mapping[str, Any], ...]
    where: str = "template"


def template() -> ValueType:
    """A text, the path of a file with one, or a list of messages."""
    takes = "the text of the user message, {path: FILE}, or a list of messages"
    prose, path = text(), line("the path of a file")

    def read(name: str, node: Node) -> TemplateSpec | TemplateFile:
        if isinstance(node, MappingNode):
            return _file(name, node, takes, path)
        if isinstance(node, SequenceNode):
            if not node.items:
                raise RefusedError(Diagnostic(node.location, f"`{name}` is an empty list. It takes {takes}."))
            return TemplateSpec(tuple(collect(_message, indexed_items(name, node))))
        if not isinstance(node, Scalar) or not isinstance(node.value, str):
            raise wrong_type(name, node, takes)
        return TemplateSpec(prose.read(name, node))

    content = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}, "minItems": 1}]}
    message = {
        "type": "object",
        "properties": {"role": {"enum": sorted(ROLES)}, "content": content},
        "required": list(_MESSAGE_KEYS),
    }
    file = {
        "type": "object",
        "properties": {"path": path.schema},
        "required": ["path"],
        "additionalProperties": False,
    }
    schema = {"anyOf": [prose.schema, file, {"type": "array", "items": message, "minItems": 1}]}
    return ValueType(takes, schema, read)


def read_template_file(file: TemplateFile, path: Path) -> TemplateSpec:
    """The template in the file at `path`. Raises `ValueError` with a fragment that says what is wrong with it."""
    try:
        with path.open("rb") as opened:
            data = opened.read(_MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise ValueError("there is no such file") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a path"
        raise ValueError(f"it can't be read: {reason}") from None
    if len(data) > _MAX_FILE_BYTES:
        raise ValueError("it is over 1 MiB, which is no template")
    try:
        prose = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {number} is not UTF-8") from None
    if not prose.strip():
        raise ValueError("it is empty")
    return TemplateSpec(prose, file.as_given)


def _file(name: str, node: MappingNode, takes: str, path: ValueType) -> TemplateFile:
    if "path" not in node.entries or len(node.entries) > 1:
        keys = ", ".join(printable(key) for key in node.entries) or "no key"
        raise RefusedError(Diagnostic(node.location, f"`{name}` is a mapping with {keys}. It takes {takes}."))
    return TemplateFile(path.read(f"{name}.path", node.entries["path"]))


def _message(name: str, node: Node) -> Mapping[str, Any]:
    """One message: `{role, content}`, and whatever else it has."""
    if not isinstance(node, MappingNode):
        raise wrong_type(name, node, "a message, such as {role: user, content: ...}")
    missing = [key for key in _MESSAGE_KEYS if key not in node.entries or is_null(node.entries[key])]
    if missing:
        raise RefusedError(
            Diagnostic(node.location, f"`{name}.{missing[0]}` is missing. A message takes {{role, content}}.")
        )
    role, content = node.entries["role"], node.entries["content"]
    if not isinstance(role, Scalar) or role.value not in ROLES:
        takes = "system, developer, user, assistant or tool"
        raise (
            wrong_value(f"{name}.role", role, takes)
            if isinstance(role, Scalar)
            else wrong_type(f"{name}.role", role, takes)
        )
    message: dict[str, Any] = json_value(name, node)
    takes = "text or a list of parts"
    if isinstance(message["content"], list):
        parts = message["content"]
        if not parts or not all(isinstance(part, dict) for part in parts):
            raise RefusedError(Diagnostic(content.location, f"`{name}.content` takes {takes}, each part an object."))
    elif not isinstance(message["content"], str) or not message["content"].strip():
        raise wrong_type(f"{name}.content", content, takes)
    return message
