"""The tree of a job as written, each value with its place, and the words that describe a value.

What came out of a variable is never shown: a message shows what is written, `${NAME}`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
LONGEST_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value. `text` is what it was resolved from, `written` what stands in the file."""

    place: SourceLocation
    value: str | int | float | bool | None
    text: str
    written: str
    from_variable: bool = False
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class SequenceNode:
    """A list."""

    place: SourceLocation
    items: tuple[Node, ...]
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class MappingNode:
    """A mapping. The place of an entry is its key's; `shadowed` are merged entries that others overrule."""

    place: SourceLocation
    entries: Mapping[str, Node]
    span: Span | None = None
    shadowed: tuple[Node, ...] = ()


@dataclass(frozen=True, slots=True)
class InvalidNode:
    """A value that can't be had; `complaint` follows the key's name in the message, if anyone asks for it."""

    place: SourceLocation
    complaint: str
    span: Span | None = None


Node = Scalar | SequenceNode | MappingNode | InvalidNode


def is_null(node: Node) -> bool:
    """Whether `node` says nothing: `null`, `~` or no text at all."""
    return isinstance(node, Scalar) and node.value is None


def printable(text: str, longest: int = LONGEST_SHOWN) -> str:
    """`text` on one line, control characters escaped, its middle cut out where it is long."""
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    if len(line) <= longest:
        return line
    half = (longest - 3) // 2
    return f"{line[:half]}...{line[-half:]}"


def kind_of(node: Node) -> str:
    """What `node` is, in a user's words."""
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
    """`node` as written; text without quotes, for a message that does not turn on its type."""
    return printable(node.written)


def wrong_type(name: str, node: Node, takes: str, *, hidden: bool = False) -> RefusedError:
    """Refuse a value of the wrong type: `x` is "512", text. It takes a whole number above 0."""
    if isinstance(node, InvalidNode):
        return RefusedError(Diagnostic(node.place, f"`{name}` {node.complaint}"))
    kind = kind_of(node)
    if not isinstance(node, Scalar) or node.value is None:
        said = kind
    elif hidden:
        said = f"{kind} (the value is not shown)"
    elif node.from_variable:
        said = f"{shown(node)}, which reads as {kind}"
    elif isinstance(node.value, str):
        said = f"{printable(json.dumps(node.value, ensure_ascii=False))}, text"
    else:
        said = f"{shown(node)}, {kind}"
    return RefusedError(Diagnostic(node.place, f"`{name}` is {said}. It takes {takes}."))


def wrong_value(name: str, node: Scalar, takes: str) -> RefusedError:
    """Refuse a value of the right type that doesn't fit: `x` is 0. It takes a whole number above 0."""
    unfit = ", whose value does not fit" if node.from_variable else ""
    said = shown(node) or '""'
    return RefusedError(Diagnostic(node.place, f"`{name}` is {said}{unfit}. It takes {takes}."))
