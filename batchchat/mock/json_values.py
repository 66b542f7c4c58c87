"""JSON values that fit a schema, drawn from a `Random`: each seed gives values of its own.

They fit as far as the keywords go that are read here and in `json_schema.py`, which are those that forms and data
models use. A schema that nothing can fit gets a value all the same.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import TYPE_CHECKING, Any
from uuid import UUID

from batchchat.mock.json_pattern import write_matching
from batchchat.mock.json_schema import SchemaReader
from batchchat.mock.prose import write_prose

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from batchchat.mock.json_schema import Schema

__all__ = ["ValueWriter"]

_DEPTH = 5  # below it, and beyond so many values, nothing optional is written
_MAX_VALUES = 300
_MAX_DEPTH = 60
_MAX_ITEMS = 2000
_MAX_CHARS = 60_000
_TRIES = 40
_SENTENCE_CHARS = 50  # a text that must be shorter is a word
_SPAN = 100  # how far numbers go from their only bound
_FINEST = Fraction(1, 10**20)
_WORDS = ("amber", "basil", "cedar", "dune", "ember", "fern", "grove", "harbour", "iris", "juniper", "kelp", "lemon")
_TYPE_SIGNS = (
    ("object", ("properties", "required", "additionalProperties", "minProperties")),
    ("array", ("items", "prefixItems", "minItems", "maxItems", "uniqueItems")),
    ("string", ("minLength", "maxLength", "pattern", "format")),
    ("number", ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")),
)


def _moment(random: Random) -> datetime:
    return datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=random.randrange(7 * 365 * 86400))


def _word(random: Random) -> str:
    return random.choice(_WORDS)


_FORMATS: dict[str, Callable[[Random], str]] = {
    "date": lambda random: f"{_moment(random):%Y-%m-%d}",
    "date-time": lambda random: f"{_moment(random):%Y-%m-%dT%H:%M:%SZ}",
    "time": lambda random: f"{_moment(random):%H:%M:%SZ}",
    "duration": lambda random: f"P{random.randint(1, 90)}D",
    "email": lambda random: f"{_word(random)}.{random.randint(1, 999)}@example.com",
    "uri": lambda random: f"https://example.com/{_word(random)}/{random.randint(1, 999)}",
    "hostname": lambda random: f"{_word(random)}-{random.randint(1, 999)}.example.com",
    "ipv4": lambda random: f"192.0.2.{random.randint(1, 254)}",
    "ipv6": lambda random: f"2001:db8::{random.randint(1, 65535):x}",
    "uuid": lambda random: str(UUID(int=random.getrandbits(128), version=4)),
}


class ValueWriter:
    """Writes values that fit the schema `root`, or a schema within it."""

    def __init__(self, root: Any, random: Random) -> None:
        self._reader = SchemaReader(root)
        self._random = random
        self._values = 0

    def write(self, schema: Any, depth: int = 0) -> Any:
        """A value that fits `schema`, which is `depth` levels within the root's value."""
        self._values += 1
        if depth > _MAX_DEPTH:
            return None
        choose = self._simplest if self._is_deep(depth) else self._any_branch
        flat = self._reader.flatten(schema, choose)
        if "const" in flat:
            return flat["const"]
        if flat.get("enum"):
            return self._random.choice(flat["enum"])
        match self._type(flat):
            case "object":
                return self._object(flat, depth)
            case "array":
                return self._array(flat, depth)
            case "string":
                return self._string(flat)
            case "integer":
                return int(self._number(flat, whole=True))
            case "number":
                return float(self._number(flat, whole=False))
            case "boolean":
                return self._random.random() < 0.5  # noqa: PLR2004 - a coin
            case _:
                return None

    def _is_deep(self, depth: int) -> bool:
        return depth >= _DEPTH or self._values > _MAX_VALUES

    def _any_branch(self, branches: list[Any]) -> Any:
        """One of the branches; null seldom."""
        weights = [1 if self._reader.types(branch) == {"null"} else 4 for branch in branches]
        return self._random.choices(branches, weights)[0]

    def _simplest(self, branches: list[Any]) -> Any:
        """The branch that leads to the fewest values within."""
        return min(branches, key=lambda branch: len(self._reader.types(branch) & {"object", "array"}))

    def _type(self, flat: Schema) -> str:
        types = flat.get("type")
        if isinstance(types, list) and types:
            return str(self._any_branch([{"type": name} for name in types])["type"])
        if isinstance(types, str):
            return types
        return next((name for name, signs in _TYPE_SIGNS if not flat.keys().isdisjoint(signs)), "string")

    def _object(self, flat: Schema, depth: int) -> dict[str, Any]:
        properties: Schema = flat.get("properties") or {}
        required: list[str] = flat.get("required") or []
        deep = self._is_deep(depth)
        names = [name for name in properties if name in required or not (deep or self._random.random() < 0.25)]  # noqa: PLR2004
        names += [name for name in required if name not in properties]
        fewest, most = flat.get("minProperties", 0), flat.get("maxProperties", math.inf)
        names += [name for name in properties if name not in names][: max(0, fewest - len(names))]
        while len(names) > most and (optional := [name for name in names if name not in required]):
            names.remove(optional[-1])
        value = {name: self.write(properties.get(name, True), depth + 1) for name in names}
        others = flat.get("additionalProperties", True)
        if others is not False:
            count = max(fewest - len(value), 0 if deep or properties or not isinstance(others, dict) else 2)
            for number in range(int(min(count, _MAX_ITEMS))):
                word = _WORDS[number] if number < len(_WORDS) else f"key_{number}"
                value[word] = self.write(others, depth + 1)
        return value

    def _array(self, flat: Schema, depth: int) -> list[Any]:
        fewest, most = flat.get("minItems", 0), flat.get("maxItems", math.inf)
        prefix: list[Any] = flat.get("prefixItems") or []
        items = flat.get("items", True)
        usual = 0 if self._is_deep(depth) else self._random.randint(1, 3)
        count = int(min(max(fewest, usual, len(prefix)), most, _MAX_ITEMS))
        values: list[Any] = []
        for position in range(count):
            schema = prefix[position] if position < len(prefix) else items
            if schema is False:
                break
            value = self.write(schema, depth + 1)
            tries = _TRIES if flat.get("uniqueItems") else 0
            while value in values and tries > 0:
                value = self.write(schema, depth + 1)
                tries -= 1
            if not (flat.get("uniqueItems") and value in values):
                values.append(value)
        return values

    def _string(self, flat: Schema) -> str:
        shortest = int(min(flat.get("minLength", 0), _MAX_CHARS))
        longest = flat.get("maxLength", math.inf)
        for _ in range(_TRIES):
            text = self._form(flat)
            if text is None:
                break
            if shortest <= len(text) <= longest:
                return text
        text = write_prose(shortest or 1, self._random.getrandbits)
        if longest < _SENTENCE_CHARS and shortest <= len(word := _word(self._random)) <= longest:
            return word
        return text if len(text) <= longest else text[: int(longest)]

    def _form(self, flat: Schema) -> str | None:
        """A text of the schema's pattern or format; None where it has none that is known."""
        if isinstance(flat.get("pattern"), str):
            return write_matching(flat["pattern"], self._random)
        write = _FORMATS.get(str(flat.get("format")))
        return None if write is None else write(self._random)

    def _number(self, flat: Schema, *, whole: bool) -> Fraction:
        """A number within the schema's bounds, a whole one if asked."""
        lowest, highest, step = _bounds(flat, whole=whole)
        while True:
            low, high = math.ceil(lowest / step), math.floor(highest / step)
            low += _is_at(flat.get("exclusiveMinimum"), low * step)
            high -= _is_at(flat.get("exclusiveMaximum"), high * step)
            if low <= high or whole or "multipleOf" in flat or step < _FINEST:
                break
            step /= 10  # what lies between the bounds is finer
        for _ in range(_TRIES):
            value = self._random.randint(low, max(low, high)) * step
            # As a reader of floats checks it: 0.3 is no multiple of 0.1 by their division.
            if "multipleOf" not in flat or (float(value) / flat["multipleOf"]).is_integer():
                return value
        return min((low, high, 0), key=lambda count: (not low <= count <= high, abs(count))) * step


def _bounds(flat: Schema, *, whole: bool) -> tuple[Fraction, Fraction, Fraction]:
    """The lowest and the highest value, and the step from one value to the next."""
    lows = [Fraction(str(flat[key])) for key in ("minimum", "exclusiveMinimum") if key in flat]
    highs = [Fraction(str(flat[key])) for key in ("maximum", "exclusiveMaximum") if key in flat]
    step = Fraction(str(flat.get("multipleOf", 1 if whole else "0.01")))
    if whole:
        step = Fraction(step.numerator)
    span = step * _SPAN if "multipleOf" in flat else Fraction(_SPAN)
    if lows:
        return max(lows), min(highs, default=max(lows) + span), step
    highest = min(highs, default=span)
    return (Fraction(0) if highest >= 0 else highest - span), highest, step


def _is_at(bound: Any, value: Fraction) -> bool:
    return bound is not None and Fraction(str(bound)) == value
