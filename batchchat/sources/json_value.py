"""Parses one JSON text, with the reason for the user where it can't be; shows values, shortened, in messages.

Values may be nested at most 200 levels deep: orjson writes 254, and the journal adds some of its own around a row.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from batchchat.lossless_json import dumps, loads, scrub

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["describe", "list_columns", "parse", "parse_object", "short_json"]

_MAX_DEPTH = 200
_MAX_SHOWN = 60
_MAX_LISTED = 8

_KINDS: dict[type, str] = {
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "an object",
    type(None): "null",
}


def parse(data: bytes, start: tuple[int, int] | None = None) -> Any:
    """The value of the JSON text `data`. Raises `ValueError` with a fragment such as `is not JSON: ...`.

    `start` is the line and column at which `data` begins in its file, for messages.
    """
    try:
        value = loads(data)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{_on_line(start)}is not UTF-8: byte {error.start + 1:,} is 0x{data[error.start]:02x}"
        ) from None
    except json.JSONDecodeError as error:
        reason = (error.msg[:1].lower() + error.msg[1:]).removesuffix(" at")
        raise ValueError(f"is not JSON: {reason} at {_location(error, start)}") from None
    except ValueError as error:
        # Nested deeper than Python's recursion limit, or an integer of more than 4,300 digits.
        raise ValueError(f"{_on_line(start)}can't be read: {str(error).split(' for ')[0].lower()}") from None
    # A value with fewer brackets than the limit can't be nested too deep; counting them takes 0.4 µs/KB.
    brackets = data.count(b"[") + data.count(b"{") if len(data) > 2 * _MAX_DEPTH else 0
    if brackets > _MAX_DEPTH and isinstance(value, dict | list) and _deeper_than(value, _MAX_DEPTH):
        raise ValueError(f"{_on_line(start)}is nested more than {_MAX_DEPTH} deep")
    return value


def parse_object(data: bytes, start: tuple[int, int] | None = None) -> dict[str, Any]:
    """The row in the JSON text `data`, which must be an object; otherwise as `parse`.

    A duplicate key is refused where a message or a prompt would be lost: only the last value of a key is kept. The
    search takes 0.4 µs/KB, so it is done only if there are more contents than messages, or more than one prompt.
    """
    value = parse(data, start)
    if type(value) is not dict:
        raise ValueError(f"{_on_line(start)}is {describe(value)}. It takes an object.")
    messages = value.get("messages")
    if type(messages) is list:
        doubtful = data.count(b'"content"') > len(messages) or not messages
    else:
        doubtful = "prompt" in value and data.count(b'"prompt"') > 1
    if doubtful and (name := _repeated_key(data)) is not None:
        raise ValueError(
            f"{_on_line(start)}has the key `{scrub(name[:_MAX_SHOWN])}` twice in one object. Leave one out."
        )
    return value


def _repeated_key(data: bytes) -> str | None:
    """The first duplicate key in an object, found with the standard library, which reports every key."""
    repeated: list[str] = []

    def note_repeated(pairs: list[tuple[str, Any]]) -> None:
        names = set()
        for name, _ in pairs:
            if name in names:
                repeated.append(name)
            names.add(name)

    json.loads(data, object_pairs_hook=note_repeated)
    return repeated[0] if repeated else None


def _on_line(start: tuple[int, int] | None) -> str:
    return "" if start is None else f"on line {start[0]:,} "


def _location(error: json.JSONDecodeError, start: tuple[int, int] | None) -> str:
    if start is None:
        return f"column {error.colno:,}"
    line, column = start
    return f"line {line + error.lineno - 1:,}, column {error.colno + (column - 1 if error.lineno == 1 else 0):,}"


def _deeper_than(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        children = (child for node in level for child in (node.values() if isinstance(node, dict) else node))
        level = [child for child in children if isinstance(child, dict | list)]
        if not level:
            return False
    return True


def short_json(value: Any) -> str:
    """`value` as JSON in at most 60 characters."""
    if isinstance(value, str):
        value = value[: _MAX_SHOWN + 1]
        text = f'"{scrub(value)}"'.replace("\n", "\\n")
    else:
        text = dumps(value).decode()
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 1]}…"


def describe(value: Any) -> str:
    """`value` and its type, for use after `is`: `7, a number`."""
    return short_json(value) if value is None or type(value) is bool else f"{short_json(value)}, {_KINDS[type(value)]}"


def list_columns(names: Iterable[str]) -> str:
    """The first eight of `names` in backticks, and the number of the others: "`id`, `prompt` and 3 more"."""
    columns = list(names)
    quoted = [f"`{scrub(name[:_MAX_SHOWN])}`" for name in columns[:_MAX_LISTED]]
    more = [f"{len(columns) - len(quoted):,} more"] if len(columns) > len(quoted) else []
    return " and ".join([", ".join(quoted), *more]) if columns else "no column"
