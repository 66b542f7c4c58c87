"""One JSON text to a value, or the sentence that says why not; and a value shown to a person, shortened.

Values nest at most 200 deep: orjson writes 254 levels, and the journal puts some of its own around a row.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from batchchat.lossless_json import dumps, loads, scrub

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["listed", "parse", "parse_object", "said", "shown"]

_DEEPEST = 200
_LONGEST_SHOWN = 60
_MOST_LISTED = 8

_KINDS: dict[type, str] = {
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "an object",
    type(None): "null",
}


def parse(data: bytes, begins: tuple[int, int] | None = None) -> Any:
    """The value of one JSON text. Raises `ValueError` with a fragment such as `is not JSON: ...`.

    `begins` are the line and column that it begins at in a text of many lines, to be told.
    """
    try:
        value = loads(data)
    except UnicodeDecodeError as error:
        raise ValueError(f"{_at(begins)}is not UTF-8: byte {error.start + 1:,} is 0x{data[error.start]:02x}") from None
    except json.JSONDecodeError as error:
        said = (error.msg[:1].lower() + error.msg[1:]).removesuffix(" at")
        raise ValueError(f"is not JSON: {said} at {_place(error, begins)}") from None
    except ValueError as error:
        # Nested past Python's recursion, or an integer of more than 4,300 digits.
        raise ValueError(f"{_at(begins)}is not read: {str(error).split(' for ')[0].lower()}") from None
    # Without that many brackets, each of which is closed, it can't be that deep; to count them costs 0.4 µs/KB.
    brackets = data.count(b"[") + data.count(b"{") if len(data) > 2 * _DEEPEST else 0
    if brackets > _DEEPEST and isinstance(value, dict | list) and _deeper_than(value, _DEEPEST):
        raise ValueError(f"{_at(begins)}is nested more than {_DEEPEST} deep")
    return value


def parse_object(data: bytes, begins: tuple[int, int] | None = None) -> dict[str, Any]:
    """The same for a row, which takes an object.

    A key that stands twice in an object is refused where the last one's value would silently go for a message: to look
    costs 0.4 µs/KB, so it is looked for where there are more contents than messages, or more prompts than one.
    """
    value = parse(data, begins)
    if type(value) is not dict:
        raise ValueError(f"{_at(begins)}is {said(value)}. It takes an object.")
    messages = value.get("messages")
    if type(messages) is list:
        doubtful = data.count(b'"content"') > len(messages) or not messages
    else:
        doubtful = "prompt" in value and data.count(b'"prompt"') > 1
    if doubtful and (name := _twice(data)) is not None:
        raise ValueError(
            f"{_at(begins)}has the key `{scrub(name[:_LONGEST_SHOWN])}` twice in one object. Leave one out."
        )
    return value


def _twice(data: bytes) -> str | None:
    """The first key that stands twice in one object, by the standard library, which tells all keys there are."""
    found: list[str] = []

    def look(pairs: list[tuple[str, Any]]) -> None:
        names = set()
        for name, _ in pairs:
            if name in names:
                found.append(name)
            names.add(name)

    json.loads(data, object_pairs_hook=look)
    return found[0] if found else None


def _at(begins: tuple[int, int] | None) -> str:
    return "" if begins is None else f"on line {begins[0]:,} "


def _place(error: json.JSONDecodeError, begins: tuple[int, int] | None) -> str:
    if begins is None:
        return f"column {error.colno:,}"
    line, column = begins
    return f"line {line + error.lineno - 1:,}, column {error.colno + (column - 1 if error.lineno == 1 else 0):,}"


def _deeper_than(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        children = (child for node in level for child in (node.values() if isinstance(node, dict) else node))
        level = [child for child in children if isinstance(child, dict | list)]
        if not level:
            return False
    return True


def shown(value: Any) -> str:
    """`value` as JSON in at most 60 characters."""
    if isinstance(value, str):
        value = value[: _LONGEST_SHOWN + 1]
        text = f'"{scrub(value)}"'.replace("\n", "\\n")
    else:
        text = dumps(value).decode()
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 1]}…"


def said(value: Any) -> str:
    """`value` and what it is, to stand after `is`: `7, a number`."""
    return shown(value) if value is None or type(value) is bool else f"{shown(value)}, {_KINDS[type(value)]}"


def listed(names: Iterable[str]) -> str:
    """The first names of some, in backticks: "`id`, `prompt` and 3 more"."""
    every = list(names)
    some = [f"`{scrub(name[:_LONGEST_SHOWN])}`" for name in every[:_MOST_LISTED]]
    more = [f"{len(every) - len(some):,} more"] if len(every) > len(some) else []
    return " and ".join([", ".join(some), *more]) if every else "no column"
