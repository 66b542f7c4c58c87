"""The common type of the values of a JSON column, which declares none; `widened_arrays` makes arrays of it.

null < bool; int64 < float64; lists and objects of one shape stay nested; any other mix is text, values that are no text
as JSON. `docs/output.md` promises this of the input's JSON columns.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

from batchchat.lossless_json import NonFinite, scrub

__all__ = ["Kind", "ListOf", "StructOf", "Widened", "kind_of_state", "state_of", "widen"]


class Kind(IntEnum):
    """The common type of values that are not nested."""

    NULL = 0
    BOOL = 1
    INT = 2
    FLOAT = 3
    TEXT = 4


class ListOf(NamedTuple):
    """Lists whose items have a common type."""

    item: Widened


class StructOf(NamedTuple):
    """Objects that have the same keys, each with a common type of its values."""

    fields: dict[str, Widened]


Widened = Kind | ListOf | StructOf

_KINDS: dict[type, Kind] = {
    type(None): Kind.NULL,
    bool: Kind.BOOL,
    int: Kind.INT,
    float: Kind.FLOAT,
    NonFinite: Kind.FLOAT,
}
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1
_MAX_DEPTH = 20
_MAX_FIELDS = 200
"""Objects with more keys are JSON text: such keys are often data themselves."""


_NONE: type = type(None)
_ITEM_TYPES: list[set[type]] = [{_NONE}, {_NONE, bool}, {_NONE}, {_NONE, float, NonFinite}, {_NONE, str}]
"""By kind, the types of values that fit it whatever the value."""


def _joined_kinds(left: Kind, right: Kind) -> Kind:
    if left is right or right is Kind.NULL:
        return left
    if left is Kind.NULL:
        return right
    return Kind.FLOAT if {left, right} == {Kind.INT, Kind.FLOAT} else Kind.TEXT


# Indexed, not looked up: an enum's hash is Python code (0.3 µs).
_JOINED = [[_joined_kinds(left, right) for right in Kind] for left in Kind]


def widen(kind: Widened, value: Any) -> Widened:
    """The narrowest type that holds `value` and all before it, whose type is `kind`.

    An integer outside int64 is text. Integers among floats become floats, rounded beyond 2^53.
    """
    if type(value) is list or type(value) is dict:
        if kind is Kind.TEXT or _fits(kind, value):
            return kind
        shape = _shape_of(value)
        return Kind.TEXT if shape is None else _joined(kind, shape) or Kind.TEXT
    of_value = _KINDS.get(type(value), Kind.TEXT)
    if not isinstance(kind, Kind):
        return kind if of_value is Kind.NULL else Kind.TEXT
    if of_value is Kind.INT and not _SMALLEST <= value <= _LARGEST:
        of_value = Kind.TEXT
    return kind if of_value is kind else _JOINED[kind][of_value]


def _fits(kind: Widened, value: Any) -> bool:
    """Whether a column of `kind` holds `value` as it is; no object is made of it."""
    if value is None:
        return True
    if isinstance(kind, StructOf):
        return (
            type(value) is dict
            and value.keys() == kind.fields.keys()
            and all(_fits(kind.fields[name], item) for name, item in value.items())
        )
    if isinstance(kind, ListOf):
        if type(value) is not list:
            return False
        if isinstance(kind.item, Kind) and set(map(type, value)) <= _ITEM_TYPES[kind.item]:
            return True  # at once, since such lists may be long
        return all(_fits(kind.item, item) for item in value)
    if kind is Kind.TEXT:
        return type(value) is str
    if type(value) is int:
        return (kind is Kind.INT or kind is Kind.FLOAT) and _SMALLEST <= value <= _LARGEST
    return _KINDS.get(type(value)) is kind


def _shape_of(value: Any, depth: int = 0) -> Widened | None:
    """The type of one value; None for what only JSON text can hold."""
    if type(value) is list:
        item: Widened = Kind.NULL
        for part in value:
            if not _fits(item, part):
                shape = None if depth >= _MAX_DEPTH else _shape_of(part, depth + 1)
                joined = None if shape is None else _joined(item, shape)
                if joined is None:
                    return None
                item = joined
        return ListOf(item)
    if type(value) is dict:
        if not value or len(value) > _MAX_FIELDS or depth >= _MAX_DEPTH or any(map(_has_surrogate, value)):
            return None
        fields = {name: _shape_of(part, depth + 1) for name, part in value.items()}
        shapes = {name: shape for name, shape in fields.items() if shape is not None}
        return StructOf(shapes) if len(shapes) == len(fields) else None
    if type(value) is int and not _SMALLEST <= value <= _LARGEST:
        return None
    return _KINDS.get(type(value), Kind.TEXT)


def _joined(left: Widened, right: Widened) -> Widened | None:
    """The type that holds the values of both; None where they are not of one shape."""
    if left == right or right is Kind.NULL:
        return left
    if left is Kind.NULL:
        return right
    if isinstance(left, ListOf) and isinstance(right, ListOf):
        item = _joined(left.item, right.item)
        return None if item is None else ListOf(item)
    if isinstance(left, StructOf) and isinstance(right, StructOf):
        if left.fields.keys() != right.fields.keys():
            return None
        fields = {name: _joined(shape, right.fields[name]) for name, shape in left.fields.items()}
        shapes = {name: shape for name, shape in fields.items() if shape is not None}
        return StructOf(shapes) if len(shapes) == len(fields) else None
    numbers = {left, right} == {Kind.INT, Kind.FLOAT} if isinstance(left, Kind) and isinstance(right, Kind) else False
    return Kind.FLOAT if numbers else None


def _has_surrogate(text: str) -> bool:
    return scrub(text) != text


def state_of(kind: Widened) -> Any:
    """`kind` as a JSON value."""
    if isinstance(kind, ListOf):
        return [state_of(kind.item)]
    if isinstance(kind, StructOf):
        return {name: state_of(field) for name, field in kind.fields.items()}
    return int(kind)


def kind_of_state(state: Any) -> Widened:
    """The inverse of `state_of`."""
    if isinstance(state, list):
        return ListOf(kind_of_state(state[0]))
    if isinstance(state, dict):
        return StructOf({name: kind_of_state(field) for name, field in state.items()})
    return Kind(state)
