"""The tree of a job as written, each value with its location, and the words that describe a value.

The value of a variable is never shown: a message shows what is written, `${NAME}`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from batchchat.job.diagnostics import Diagnostic, RefusedError, SourceLocation

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "InvalidNode",
    "MappingNode",
    "Node",
    "Scalar",
    "SequenceNode",
    "Span",
    "is_null",
    "kind_of",
    "printable",
    "shown",
    "wrong_type",
    "wrong_value",
]

Span = tuple[int, int]
MAX_SHOWN_LENGTH = 60


class Scalar(NamedTuple):
    """A single value. `text` is what it was resolved from, `written` the same before variables were expanded."""

    location: SourceLocation
    value: str | int | float | bool | None
    text: str
    written: str
    from_variable: bool = False
    span: Span | None = None


class SequenceNode(NamedTuple):
    """A list."""

    location: SourceLocation
    items: tuple[Node, ...]
    span: Span | None = None


class MappingNode(NamedTuple):
    """A mapping. The location of an entry is its key's; `shadowed` are merged entries that others override."""

    location: SourceLocation
    entries: Mapping[str, Node]
    span: Span | None = None
    shadowed: tuple[Node, ...] = ()


class InvalidNode(NamedTuple):
    """A value that could not be read; `problem` follows the key's name in the message, if the key is read."""

    location: SourceLocation
    problem: str
    span: Span | None = None


Node = Scalar | SequenceNode | MappingNode | InvalidNode


def is_null(node: Node) -> bool:
    """Whether `node` is empty: `null`, `~` or no text at all."""
    return isinstance(node, Scalar) and node.value is None


def printable(text: str, max_length: int = MAX_SHOWN_LENGTH) -> str:
    """`text` on one line: control characters escaped, the middle left out over `max_length` characters."""
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    if len(line) <= max_length:
        return line
    half = (max_length - 3) // 2
    return f"{line[:half]}...{line[-half:]}"


def kind_of(node: Node) -> str:
    """The type of `node` in a user's words."""
    match node:
        case SequenceNode():
            return "a list"
        case MappingNode():
            return "a mapping"
        case InvalidNode():
            return "unreadable"
        case Scalar(value=None):
            return "empty"
        case Scalar(value=bool()):
            return "a boolean"
        case Scalar(value=int()):
            return "a whole number"
        case Scalar(value=float()):
            return "a decimal number"
        case _:
            return "text"


def shown(node: Scalar) -> str:
    """`node` as written; text without quotes, for a message that is not about its type."""
    return printable(node.written)


def wrong_type(name: str, node: Node, takes: str, *, hidden: bool = False) -> RefusedError:
    """Refuse a value of the wrong type: `x` is "512", text. It takes a whole number above 0."""
    if isinstance(node, InvalidNode):
        return RefusedError(Diagnostic(node.location, f"`{name}` {node.problem}"))
    kind = kind_of(node)
    if not isinstance(node, Scalar) or node.value is None:
        description = kind
    elif hidden:
        description = f"{kind} (the value is not shown)"
    elif node.from_variable:
        description = f"{shown(node)}, which reads as {kind}"
    elif isinstance(node.value, str):
        description = f"{printable(json.dumps(node.value, ensure_ascii=False))}, text"
    else:
        description = f"{shown(node)}, {kind}"
    return RefusedError(Diagnostic(node.location, f"`{name}` is {description}. It takes {takes}."))


def wrong_value(name: str, node: Scalar, takes: str) -> RefusedError:
    """Refuse a value of the right type that doesn't fit: `x` is 0. It takes a whole number above 0."""
    reason = ", whose value does not fit" if node.from_variable else ""
    description = shown(node) or '""'
    return RefusedError(Diagnostic(node.location, f"`{name}` is {description}{reason}. It takes {takes}."))
