"""Types of values: each says in words, in JSON Schema and in code what it accepts.

A type's `read(name, node)` returns a valid value or raises `RefusedError`; `takes` ends the sentence "It takes ...".
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar

from batchchat.job.diagnostics import Diagnostic, RefusedError
from batchchat.job.tree import InvalidNode, Node, Scalar, SequenceNode, is_null, kind_of, wrong_type, wrong_value
from batchchat.secret import Secret

__all__ = [
    "Read",
    "ValueType",
    "auto_or_boolean",
    "boolean",
    "collect",
    "command",
    "file_name",
    "indexed_items",
    "integer",
    "line",
    "literal_or",
    "money",
    "number",
    "one_of",
    "or_null",
    "string_list",
    "text",
    "text_or_list",
]

T = TypeVar("T")
Read = Callable[[str, Node], Any]


class ValueType(NamedTuple):
    """What a key takes: in words (`takes`), as JSON Schema and as a reader of nodes.

    The values of a `secret` type are never shown, neither in messages nor in the job's text beside the results. Null
    is a value of its own where the type is `nullable`; else it means that the key is not set.
    """

    takes: str
    schema: Mapping[str, Any]
    read: Read
    secret: bool = False
    nullable: bool = False


def or_null(value_type: ValueType) -> ValueType:
    """What `value_type` takes, or null, which is not the key's default."""
    return value_type._replace(takes=f"{value_type.takes}, or null", nullable=True)


def collect(read: Callable[[str, Node], T], named: Iterable[tuple[str, Node]]) -> list[T]:
    """The values that `read` returns for each of `named`, or one `RefusedError` with the diagnostics of all."""
    values: list[T] = []
    diagnostics: list[Diagnostic] = []
    for name, node in named:
        try:
            values.append(read(name, node))
        except RefusedError as exc:
            diagnostics += exc.diagnostics
    if diagnostics:
        raise RefusedError(*diagnostics)
    return values


def indexed_items(name: str, node: SequenceNode) -> list[tuple[str, Node]]:
    """The items of a list with their names in messages: `input.path[0]`."""
    return [(f"{name}[{i}]", item) for i, item in enumerate(node.items)]


def integer(minimum: int, maximum: int | None = None) -> ValueType:
    """A whole number from `minimum` to `maximum`; neither a boolean nor 1.0."""
    if maximum is not None:
        takes = f"a whole number from {minimum:,} to {maximum:,}"
    else:
        takes = f"a whole number above {minimum - 1:,}" if minimum else "a whole number, 0 or more"
    schema = {"type": "integer", "minimum": minimum} | ({} if maximum is None else {"maximum": maximum})

    def read(name: str, node: Node) -> int:
        if not isinstance(node, Scalar) or not isinstance(node.value, int) or isinstance(node.value, bool):
            raise wrong_type(name, node, takes)
        if node.value < minimum or (maximum is not None and node.value > maximum):
            raise wrong_value(name, node, takes)
        return node.value

    return ValueType(takes, schema, read)


def literal_or(word: str, number_type: ValueType) -> ValueType:
    """The text `word`, or a number that `number_type` takes."""
    takes = f"{number_type.takes}, or {word}"

    def read(name: str, node: Node) -> Any:
        if isinstance(node, Scalar) and node.value == word:
            return word
        try:
            return number_type.read(name, node)
        except RefusedError:
            if isinstance(node, Scalar) and type(node.value) is int:
                raise wrong_value(name, node, takes) from None
            raise wrong_type(name, node, takes) from None

    return ValueType(takes, {"anyOf": [{"const": word}, number_type.schema]}, read)


def number(*, minimum: float | None = None, above: float | None = None) -> ValueType:
    """A finite number, whole or not; at least `minimum`, or more than `above`."""
    if above is not None:
        takes, schema = f"a number above {above:g}", {"type": "number", "exclusiveMinimum": above}
    elif minimum is not None:
        takes, schema = f"a number, {minimum:g} or more", {"type": "number", "minimum": minimum}
    else:
        takes, schema = "a number", {"type": "number"}

    def read(name: str, node: Node) -> float:
        if not isinstance(node, Scalar) or not isinstance(node.value, int | float) or isinstance(node.value, bool):
            raise wrong_type(name, node, takes)
        value = float(node.value)
        fits = math.isfinite(value) and (minimum is None or value >= minimum) and (above is None or value > above)
        if not fits:
            raise wrong_value(name, node, takes)
        return value

    return ValueType(takes, schema, read)


def money(*, above: float | None = None) -> ValueType:
    """USD, 0 or more, or else more than `above`; a Decimal of the digits that are written, never of a float."""
    usd = number(minimum=0) if above is None else number(above=above)

    def read(name: str, node: Node) -> Decimal:
        usd.read(name, node)
        assert isinstance(node, Scalar)
        return Decimal(node.value) if isinstance(node.value, int) else Decimal(node.text)

    return ValueType(usd.takes, usd.schema, read)


def text() -> ValueType:
    """Text of one or many lines, not empty."""
    return _string("text", single_line=False)


def line(takes: str = "text") -> ValueType:
    """Text on one line, not blank, without control characters."""
    return _string(takes, single_line=True)


def _string(takes: str, *, single_line: bool) -> ValueType:
    needs = f"{takes} on one line" if single_line else takes

    def read(name: str, node: Node) -> str:
        if not isinstance(node, Scalar) or not isinstance(node.value, str):
            raise wrong_type(name, node, takes)
        if not node.value.strip():
            raise wrong_value(name, node, f"{takes} that is not blank")
        if single_line and not node.value.isprintable():
            raise wrong_value(name, node, needs)
        return node.value

    return ValueType(takes, {"type": "string", "pattern": r"\S"}, read)


def file_name() -> ValueType:
    """A name that files can have everywhere: up to 64 letters, digits, dots, dashes and underscores."""
    takes = "a name of letters, digits, `-`, `_` and `.`, at most 64, that begins with a letter or digit"
    pattern = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"

    def read(name: str, node: Node) -> str:
        if not isinstance(node, Scalar) or not isinstance(node.value, str):
            raise wrong_type(name, node, takes)
        if not re.fullmatch(pattern, node.value, re.ASCII):
            raise wrong_value(name, node, takes)
        return node.value

    return ValueType(takes, {"type": "string", "pattern": f"^{pattern}$"}, read)


def boolean() -> ValueType:
    """`true` or `false`, and no other value."""
    takes = "true or false"

    def read(name: str, node: Node) -> bool:
        if not isinstance(node, Scalar) or not isinstance(node.value, bool):
            raise wrong_type(name, node, takes)
        return node.value

    return ValueType(takes, {"type": "boolean"}, read)


def auto_or_boolean() -> ValueType:
    """`auto`, `true` or `false`."""
    takes = "auto, true or false"

    def read(name: str, node: Node) -> str | bool:
        if not isinstance(node, Scalar) or not (isinstance(node.value, bool) or node.value == "auto"):
            raise wrong_type(name, node, takes)
        return "auto" if node.value == "auto" else bool(node.value)

    return ValueType(takes, {"enum": ["auto", True, False]}, read)


def string_list() -> ValueType:
    """A list of single-line texts, which may be empty."""
    item = line()

    def read(name: str, node: Node) -> tuple[str, ...]:
        if not isinstance(node, SequenceNode):
            raise wrong_type(name, node, "a list of texts")
        return tuple(collect(item.read, indexed_items(name, node)))

    return ValueType("a list of texts", {"type": "array", "items": item.schema}, read)


def text_or_list(takes: str) -> ValueType:
    """A single-line text, or a list of such texts that is not empty and has none twice."""
    item = line()

    def read(name: str, node: Node) -> str | tuple[str, ...]:
        if not isinstance(node, SequenceNode):
            try:
                single: str = item.read(name, node)
            except RefusedError:
                raise wrong_type(name, node, takes) from None
            return single
        texts = tuple(collect(item.read, indexed_items(name, node)))
        if not texts or len(set(texts)) < len(texts):
            state = "is an empty list" if not texts else "names a column twice"
            raise RefusedError(Diagnostic(node.location, f"`{name}` {state}. It takes {takes}."))
        return texts

    schema = {"anyOf": [item.schema, {"type": "array", "items": item.schema, "minItems": 1, "uniqueItems": True}]}
    return ValueType(takes, schema, read)


def command() -> ValueType:
    """A command: one text for the shell, or a list of words, run without a shell; secret, as a URL in it may be."""
    takes = "a command: text for the shell, or a list of words"

    def word(name: str, node: Node) -> Secret:
        if isinstance(node, InvalidNode) or not isinstance(node, Scalar) or not isinstance(node.value, str):
            raise wrong_type(name, node, takes, hidden=True)
        if "\0" in node.value:
            raise RefusedError(Diagnostic(node.location, f"`{name}` holds a zero byte. It takes {takes}."))
        return Secret(node.value)

    def read(name: str, node: Node) -> Secret | tuple[Secret, ...]:
        if not isinstance(node, SequenceNode):
            shell_text = word(name, node)
            if not shell_text.reveal().strip():
                raise RefusedError(Diagnostic(node.location, f"`{name}` is blank. It takes {takes}."))
            return shell_text
        if not node.items or is_null(node.items[0]):
            raise RefusedError(
                Diagnostic(node.location, f"`{name}` is {kind_of(node)} without a program. It takes {takes}.")
            )
        return tuple(collect(word, indexed_items(name, node)))

    text_schema = {"type": "string", "minLength": 1}
    list_schema = {"type": "array", "minItems": 1, "items": {"type": "string"}}
    return ValueType(takes, {"anyOf": [text_schema, list_schema]}, read, secret=True)


def one_of(values: tuple[str, ...]) -> ValueType:
    """One of `values`."""
    takes = f"{', '.join(values[:-1])} or {values[-1]}"

    def read(name: str, node: Node) -> str:
        if not isinstance(node, Scalar) or not isinstance(node.value, str):
            raise wrong_type(name, node, takes)
        if node.value not in values:
            raise wrong_value(name, node, takes)
        return node.value

    return ValueType(takes, {"enum": list(values)}, read)
