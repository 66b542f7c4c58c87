"""Parses one JSON text, with the reason for the user where it can't be; shows values, shortened, in messages.

Values may be nested at most 200 levels deep: orjson writes 254, and the journal adds some of its own around a row.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from batchchat.core.bad import Bad, BadReason
from batchchat.lossless_json import NonFinite, dumps, is_deeper, loads_and_dumps, scrub

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "RepeatedKeyError",
    "bad_json",
    "describe",
    "list_columns",
    "parse",
    "parse_object",
    "parse_text",
    "short_json",
]

_MAX_DEPTH = 200
_SHORT = 2 * _MAX_DEPTH
_MAX_SHOWN = 60
_MAX_LISTED = 8
_PYTHON_REPR = re.compile(rb"\s*[\[({]*\s*[\[({]'")
_OBJECTS_AFTER_CR = re.compile(rb"\{[^\r]*\}\r+\{")

_KINDS: dict[type, str] = {
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    NonFinite: "a number",
    list: "a list",
    dict: "an object",
    type(None): "null",
}


def parse(data: bytes, start: tuple[int, int] | None = None) -> Any:
    """The value of the JSON text `data`. Raises `ValueError` with a fragment such as `is not JSON: ...`.

    `start` is the line and column at which `data` begins in its file, for messages. A key that stands twice in one
    object is refused (`RepeatedKeyError`): only the last of its values would be kept.
    """
    try:
        value, written = loads_and_dumps(data)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{_on_line(start)}is not UTF-8: byte {error.start + 1:,} is 0x{data[error.start]:02x}"
        ) from None
    except json.JSONDecodeError as error:
        reason = (error.msg[:1].lower() + error.msg[1:]).removesuffix(" at")
        raise ValueError(f"is not JSON: {reason} at {_location(error, start)}{_hint(data)}") from None
    except ValueError as error:
        # Nested deeper than Python's recursion limit, or an integer of more than 4,300 digits.
        raise ValueError(f"{_on_line(start)}can't be read: {str(error).split(' for ')[0].lower()}") from None
    # What has few brackets can't be nested deep.
    if len(data) > _SHORT and _count(data, b"{") + _count(data, b"[") > _MAX_DEPTH and is_deeper(value, _MAX_DEPTH):
        raise ValueError(f"{_on_line(start)}is nested more than {_MAX_DEPTH} deep")
    if written != data and (path := _repeated_key(data, written)) is not None:
        name = scrub(path if len(path) <= _MAX_SHOWN else f"…{path[1 - _MAX_SHOWN :]}")
        raise RepeatedKeyError(f"{_on_line(start)}has the key `{name}` twice in one object. Leave one out.")
    return value


def parse_object(data: bytes, start: tuple[int, int] | None = None) -> dict[str, Any]:
    """The row in the JSON text `data`, which must be an object; otherwise as `parse`."""
    value = parse(data, start)
    if type(value) is not dict:
        raise ValueError(f"{_on_line(start)}is {describe(value)}. It takes an object.")
    return value


def parse_text(text: str) -> Any:
    """The value of the JSON in a cell; otherwise as `parse`."""
    # A lone surrogate can't be part of JSON text: it is refused as not UTF-8.
    return parse(text.encode(errors="surrogatepass"))


def _hint(data: bytes) -> str:
    """What to do about `data`, which is no JSON, where that shows; empty where it doesn't."""
    if _PYTHON_REPR.match(data):
        return ". It is written as Python shows a value (pandas' to_csv does so): write it with json.dumps."
    if _OBJECTS_AFTER_CR.match(data):
        return ". Its lines end with a carriage return alone: end them with LF."
    return ""


def bad_json(where: str, error: ValueError, reason: BadReason = BadReason.OTHER) -> Bad:
    """What `parse` raised about `where`, as a value; `reason` is the kind of a text that is no JSON."""
    return Bad(f"{where} {error}", BadReason.REPEATED_KEY if isinstance(error, RepeatedKeyError) else reason)


class RepeatedKeyError(ValueError):
    """A key stands twice in one object, so that one of its values would be lost."""


def _repeated_key(data: bytes, written: bytes) -> str | None:
    r"""The path of the first key that stands twice in an object of the JSON text `data`.

    `written` is what its value is written as, where a repeated key is no more: it has fewer quotes. A second reading,
    which takes ten times as long, is needed only where the counts differ, or `data` has a quote as `\u0022`.
    """
    if _count(data, b'"') == _count(written, b'"') and b"\\u0022" not in data:
        return None
    return _repeated_path(json.loads(data, object_pairs_hook=_Pairs), "")


def _count(data: bytes, byte: bytes) -> int:
    """How often `byte` stands in `data`: taking it out goes from one to the next, `bytes.count` looks at each byte."""
    return len(data) - len(data.replace(byte, b""))


class _Pairs(dict[str, Any]):
    """An object that knows which of its keys stood twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.repeated: str | None = None
        if len(self) < len(pairs):
            counts = Counter(name for name, _ in pairs)
            self.repeated = next(name for name, count in counts.items() if count > 1)


def _repeated_path(value: Any, path: str) -> str | None:
    if isinstance(value, _Pairs):
        if value.repeated is not None:
            return f"{path}.{value.repeated}" if path else value.repeated
        parts: Iterable[tuple[str, Any]] = ((f"{path}.{name}" if path else name, part) for name, part in value.items())
    elif isinstance(value, list):
        parts = ((f"{path}[{at}]", part) for at, part in enumerate(value))
    else:
        return None
    return next((repeated for name, part in parts if (repeated := _repeated_path(part, name)) is not None), None)


def _on_line(start: tuple[int, int] | None) -> str:
    return "" if start is None else f"on line {start[0]:,} "


def _location(error: json.JSONDecodeError, start: tuple[int, int] | None) -> str:
    if start is None:
        return f"column {error.colno:,}"
    line, column = start
    return f"line {line + error.lineno - 1:,}, column {error.colno + (column - 1 if error.lineno == 1 else 0):,}"


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
