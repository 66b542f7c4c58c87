"""Kinds of values: what is accepted, said in words, in JSON Schema and in code, at one place.

A kind's `read` returns a valid value or raises `RefusedError`; `takes` ends the sentence "It takes ...".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

from batchchat.job.diagnostics import Diagnostic, RefusedError
from batchchat.job.tree import InvalidNode, Node, Scalar, SequenceNode, is_null, kind_of, shown, wrong_type, wrong_value
from batchchat.secret import Secret

__all__ = [
    "Read",
    "ValueType",
    "command",
    "gathered",
    "line",
    "money",
    "number",
    "numbered",
    "one_of",
    "prose",
    "texts",
    "toggle",
    "whole",
    "word_or",
]

T = TypeVar("T")
Read = Callable[[str, Node], Any]


@dataclass(frozen=True, slots=True)
class ValueType:
    """What a key takes."""

    takes: str
    schema: Mapping[str, Any]
    read: Read


def gathered(read: Callable[[str, Node], T], named: Iterable[tuple[str, Node]]) -> list[T]:
    """What `read` makes of each of `named`, or one `RefusedError` with the faults of all."""
    values: list[T] = []
    faults: list[Diagnostic] = []
    for name, node in named:
        try:
            values.append(read(name, node))
        except RefusedError as exc:
            faults += exc.faults
    if faults:
        raise RefusedError(*faults)
    return values


def numbered(name: str, node: SequenceNode) -> list[tuple[str, Node]]:
    """The items of a list under the names messages give them: `input.path[0]`."""
    return [(f"{name}[{i}]", item) for i, item in enumerate(node.items)]


def whole(least: int, most: int | None = None) -> ValueType:
    """A whole number of at least `least`; neither a boolean nor 1.0."""
    if most is not None:
        takes = f"a whole number from {least:,} to {most:,}"
    else:
        takes = f"a whole number above {least - 1:,}" if least else "a whole number, 0 or more"
    schema = {"type": "integer", "minimum": least} | ({} if most is None else {"maximum": most})

    def read(name: str, node: Node) -> int:
        if not isinstance(node, Scalar) or not isinstance(node.value, int) or isinstance(node.value, bool):
            raise wrong_type(name, node, takes)
        if node.value < least or (most is not None and node.value > most):
            raise wrong_value(name, node, takes)
        return node.value

    return ValueType(takes, schema, read)


def word_or(word: str, kind: ValueType) -> ValueType:
    """`word` as it stands, or the number that `kind` takes."""
    takes = f"{kind.takes}, or {word}"

    def read(name: str, node: Node) -> Any:
        if isinstance(node, Scalar) and node.value == word:
            return word
        try:
            return kind.read(name, node)
        except RefusedError:
            if isinstance(node, Scalar) and type(node.value) is int:
                raise wrong_value(name, node, takes) from None
            raise wrong_type(name, node, takes) from None

    return ValueType(takes, {"anyOf": [{"const": word}, kind.schema]}, read)


def number(*, least: float | None = None, above: float | None = None) -> ValueType:
    """A finite number, whole or not; at least `least`, or above `above`."""
    if above is not None:
        takes, schema = f"a number above {above:g}", {"type": "number", "exclusiveMinimum": above}
    elif least is not None:
        takes, schema = f"a number, {least:g} or more", {"type": "number", "minimum": least}
    else:
        takes, schema = "a number", {"type": "number"}

    def read(name: str, node: Node) -> float:
        if not isinstance(node, Scalar) or not isinstance(node.value, int | float) or isinstance(node.value, bool):
            raise wrong_type(name, node, takes)
        value = float(node.value)
        fits = math.isfinite(value) and (least is None or value >= least) and (above is None or value > above)
        if not fits:
            raise wrong_value(name, node, takes)
        return value

    return ValueType(takes, schema, read)


def money(*, above: float | None = None) -> ValueType:
    """USD, 0 or more or else `above` so much, as the decimal number that is written: no float on the way."""
    plain = number(least=0) if above is None else number(above=above)

    def read(name: str, node: Node) -> Decimal:
        plain.read(name, node)
        assert isinstance(node, Scalar)
        return Decimal(node.value) if isinstance(node.value, int) else Decimal(node.text)

    return ValueType(plain.takes, plain.schema, read)


def prose() -> ValueType:
    """Text of one or many lines, not empty."""
    return _text("text", whole_line=False)


def line(takes: str = "text") -> ValueType:
    """Text on one line, not blank, without control characters."""
    return _text(takes, whole_line=True)


def _text(takes: str, *, whole_line: bool) -> ValueType:
    needs = f"{takes} on one line" if whole_line else takes

    def read(name: str, node: Node) -> str:
        if not isinstance(node, Scalar) or not isinstance(node.value, str):
            raise wrong_type(name, node, takes)
        if not node.value.strip():
            raise wrong_value(name, node, f"{takes} that is not blank")
        if whole_line and not node.value.isprintable():
            raise wrong_value(name, node, needs)
        return node.value

    return ValueType(takes, {"type": "string", "pattern": r"\S"}, read)


def toggle() -> ValueType:
    """True or false; nothing else reads as one."""
    takes = "true or false"

    def read(name: str, node: Node) -> bool:
        if not isinstance(node, Scalar) or not isinstance(node.value, bool):
            raise wrong_type(name, node, takes)
        return node.value

    return ValueType(takes, {"type": "boolean"}, read)


def texts() -> ValueType:
    """A list of texts, which may be empty."""
    item = line()

    def read(name: str, node: Node) -> tuple[str, ...]:
        if not isinstance(node, SequenceNode):
            raise wrong_type(name, node, "a list of texts")
        return tuple(gathered(item.read, numbered(name, node)))

    return ValueType("a list of texts", {"type": "array", "items": item.schema}, read)


def command() -> ValueType:
    """A command: one text for the shell, or a list of words that is run without one. A message never repeats it."""
    takes = "a command: text for the shell, or a list of words"

    def word(name: str, node: Node) -> Secret:
        if isinstance(node, InvalidNode) or not isinstance(node, Scalar) or not isinstance(node.value, str):
            raise wrong_type(name, node, takes, hidden=True)
        if "\0" in node.value:
            raise RefusedError(Diagnostic(node.place, f"`{name}` holds a zero byte. It takes {takes}."))
        return Secret(node.value)

    def read(name: str, node: Node) -> Secret | tuple[Secret, ...]:
        if not isinstance(node, SequenceNode):
            whole_text = word(name, node)
            if not whole_text.reveal().strip():
                raise RefusedError(Diagnostic(node.place, f"`{name}` is blank. It takes {takes}."))
            return whole_text
        if not node.items or is_null(node.items[0]):
            raise RefusedError(
                Diagnostic(node.place, f"`{name}` is {kind_of(node)} without a program. It takes {takes}.")
            )
        return tuple(gathered(word, numbered(name, node)))

    text = {"type": "string", "minLength": 1}
    return ValueType(takes, {"anyOf": [text, {"type": "array", "minItems": 1, "items": {"type": "string"}}]}, read)


def one_of(values: tuple[str, ...], planned: tuple[str, ...] = ()) -> ValueType:
    """One word of a closed list; `planned` ones are named as what later versions bring."""
    takes = f"{', '.join(values[:-1])} or {values[-1]}"

    def read(name: str, node: Node) -> str:
        if not isinstance(node, Scalar) or not isinstance(node.value, str):
            raise wrong_type(name, node, takes)
        if node.value in planned:
            sentence = f"`{name}` is {shown(node)}, which is not in this version yet. It takes {takes}."
            raise RefusedError(Diagnostic(node.place, sentence))
        if node.value not in values:
            raise wrong_value(name, node, takes)
        return node.value

    return ValueType(takes, {"enum": list(values)}, read)
