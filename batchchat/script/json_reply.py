r"""Read the JSON in a reply: alone, fenced, within prose, after reasoning, or with faults that leave no doubt. Pure.

What the tokens leave open is never guessed. Repaired are quotes and literals of Python and JavaScript, comments, commas
before a closing bracket, raw line breaks in strings, and closing brackets that are missing behind a complete member. A
string or number that breaks off, a missing comma or quote, and a key that an object has twice are not.

A library that turns any text into some JSON (json_repair) was weighed: it makes `{"a": "x"}` of `{"a": "x`, and an
object with a part of the members of one that it can't read. A wrong value is worse than asking again.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from itertools import islice
from math import isfinite
from typing import Any, NamedTuple

from batchchat.core.bad import Bad
from batchchat.lossless_json import is_deeper

__all__ = ["MAX_DEPTH", "JsonReading", "read_json"]

MAX_DEPTH = 100
"""How deep the JSON of a reply may be nested: JSON Schema's validator goes down with some 10 calls a level."""
_MAX_REPAIRED_CHARS = 1 << 18
"""A longer text is read only where all of it is JSON: to look for JSON in it takes up to 4 µs a bracket."""
_MAX_FENCES = _MAX_VALUES = 100

_REASONING_END = re.compile(r"</(?:think|thinking|thought|reasoning)>", re.IGNORECASE)
_REASONING_START = re.compile(r"\s*<(?:think|thinking|thought|reasoning)>", re.IGNORECASE)
_FENCE = re.compile(r"^[ \t]*```[ \t]*([A-Za-z0-9_+-]*)[^\n]*\n(.*?)(?:^[ \t]*```|\Z)", re.MULTILINE | re.DOTALL)
_JSON_FENCES = {"", "json", "json5", "jsonc", "javascript", "js"}
_BRACKETS = re.compile(r"[\[{][\[{\s]*")
# What follows the brackets that JSON begins with; in prose they stand before something else.
_IN_ARRAY = re.compile(
    r"""["'\]]|//|/\*|-?\d[\d.eE+-]*\s*(?:[,\]]|\Z)|(?:true|false|null|True|False|None)\s*(?:[,\]]|\Z)"""
)
_IN_OBJECT = re.compile(r"""["'}]|//|/\*|[A-Za-z_$][\w$]*\s*:""")
_TOKEN = re.compile(
    r"""(?P<space>(?:\s+|//[^\n]*|/\*.*?\*/)+)
      | (?P<punctuation>[{}\[\],:])
      | (?P<double>"(?:[^"\\]|\\.)*")
      | (?P<single>'(?:[^'\\]|\\.)*')
      | (?P<number>-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.]))
      | (?P<word>[A-Za-z_$][\w$]*)""",
    re.VERBOSE | re.DOTALL,
)
_COLON = re.compile(r"\s*:")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_LITERALS = {"true": "true", "false": "false", "null": "null", "True": "true", "False": "false", "None": "null"}
_CLOSING = {"{": "}", "[": "]"}
_NO_VALUES = {"{", "[", ",", ":"}


class JsonReading(NamedTuple):
    """The JSON `values` of a reply, in their order and each once; `repaired` unless the reply is the one value."""

    values: tuple[Any, ...]
    repaired: bool


class _TwiceError(ValueError):
    pass


def read_json(text: str) -> JsonReading | Bad:
    """The JSON values that `text` may mean, at least one; or what is wrong, as a sentence about the reply ends."""
    stripped = text.strip().removeprefix("\ufeff")
    whole = _strict(stripped)
    if not isinstance(whole, Bad):
        return JsonReading((whole,), repaired=False)
    if len(text) > _MAX_REPAIRED_CHARS or not stripped:
        return whole
    reply = _REASONING_END.split(stripped)[-1].strip()
    if len(reply) < len(stripped) and not isinstance(value := _strict(reply), Bad):
        return JsonReading((value,), repaired=True)
    if _REASONING_START.match(reply):
        return Bad("ends in its reasoning, which has no end")
    fences = islice(_FENCE.finditer(reply), _MAX_FENCES)
    try:
        values = [value for match in fences if match[1].lower() in _JSON_FENCES for value in _fenced(match[2])]
        values = values or list(_values_in(reply))
    except ValueError as error:
        return Bad(str(error))
    if not values:
        return Bad("has no JSON object or list in it")
    unique = {json.dumps(value, sort_keys=True): value for value in values}
    return JsonReading(tuple(unique.values()), repaired=True)


def _fenced(text: str) -> list[Any]:
    """The values in the `text` of a fence, which may be one without brackets. Raises `ValueError` as `_values_in`."""
    value = _strict(text.strip())
    return list(_values_in(text)) if isinstance(value, Bad) else [value]


def _strict(text: str) -> Any | Bad:
    """The value of `text`, all of which is JSON, or why it is none."""
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_refuse, parse_float=_number)
    except json.JSONDecodeError as error:
        return Bad(f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}")
    except RecursionError:
        return Bad(_too_deep())
    except ValueError as error:
        return Bad(str(error) if isinstance(error, _TwiceError) else "has a number that is none, or has no end")
    if text.count("[") + text.count("{") > MAX_DEPTH and is_deeper(value, MAX_DEPTH):
        return Bad(_too_deep())
    return value


def _too_deep() -> str:
    return f"is nested more than {MAX_DEPTH} levels deep"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _TwiceError(f"has the key {json.dumps(twice[:80], ensure_ascii=False)} twice in one object")
    return value


def _refuse(word: str) -> Any:
    raise ValueError(word)


def _number(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError(text)
    return number


def _values_in(text: str) -> Iterator[Any]:
    """The objects and lists in `text`, the outermost of each. Raises `ValueError` for one that can't be read.

    A part of something that can't be read is never taken for the whole of it.
    """
    at = count = 0
    while match := _BRACKETS.search(text, at):
        brackets = match[0].rstrip()
        begins = (_IN_OBJECT if brackets[-1] == "{" else _IN_ARRAY).match(text, match.end())
        if begins is None:  # a bracket of prose
            at = match.end()
            continue
        source, at = _normalized(text, match.start())
        value = _strict(source)
        if isinstance(value, Bad):
            raise ValueError(value.sentence.partition(" at line ")[0])  # noqa: TRY004 (as of the other values)
        count += 1
        if count > _MAX_VALUES:
            raise ValueError(f"has more than {_MAX_VALUES} JSON values in it")
        yield value


def _normalized(text: str, start: int) -> tuple[str, int]:
    """The value at `start` as JSON, token by token, and where it ends. Raises `ValueError` where there is none."""
    tokens = _Tokens()
    at = start
    while match := _TOKEN.match(text, at):
        at = match.end()
        if match.lastgroup == "punctuation":
            tokens.add_punctuation(match[0])
        elif match.lastgroup != "space":
            tokens.add(match.lastgroup or "", _scalar(text, match))
        if tokens.is_whole:
            return tokens.text, at
    if at < len(text) or not tokens.lacks_brackets_only:
        line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
        problem = "it breaks off" if at >= len(text) or text[at] in "\"'" else "it can't be read"
        raise ValueError(f"is not JSON: {problem} at line {line}, column {column}")
    return tokens.text, at


class _Tokens:
    """The tokens of a value so far, each as JSON writes it."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._open: list[str] = []
        self._kind = ""

    @property
    def is_whole(self) -> bool:
        """Whether the value has ended."""
        return bool(self._pieces) and not self._open

    @property
    def text(self) -> str:
        """The JSON, with the closing brackets that it lacks."""
        return "".join([*self._pieces, *(_CLOSING[bracket] for bracket in reversed(self._open))])

    @property
    def lacks_brackets_only(self) -> bool:
        """Whether the last token ends a value that can't go on."""
        pieces, kind = self._pieces, self._kind
        if kind in {"}", "]"}:
            return True
        if kind in {"double", "single"}:
            return self._open[-1] == "[" or pieces[-2] == ":"
        return kind == "word" and pieces[-1] in _LITERALS

    def add(self, kind: str, piece: str) -> None:
        """A scalar or a key."""
        self._pieces.append(piece)
        self._kind = kind

    def add_punctuation(self, piece: str) -> None:
        """A bracket, a colon or a comma. Raises `ValueError` for a bracket that can't stand here."""
        if piece in _CLOSING:
            self._open.append(piece)
            if len(self._open) > MAX_DEPTH:
                raise ValueError(_too_deep())
        elif piece in {"}", "]"}:
            if _CLOSING[self._open.pop()] != piece:
                raise ValueError(f"is not JSON: a {piece} closes another bracket")
            if self._kind == "," and self._pieces[-2] not in _NO_VALUES:
                self._pieces.pop()
        self.add(piece, piece)


def _scalar(text: str, match: re.Match[str]) -> str:
    """The scalar or key of `match` as JSON. Raises `ValueError` where it is none."""
    kind, piece = match.lastgroup, match[0]
    if kind == "number":
        return piece
    if kind == "word":
        is_key = _COLON.match(text, match.end()) is not None
        if not is_key and piece not in _LITERALS:
            line = text.count("\n", 0, match.start()) + 1
            raise ValueError(f"is not JSON: {piece[:40]!r} at line {line} is no value")
        return json.dumps(piece) if is_key else _LITERALS[piece]
    try:
        if kind == "double":
            return json.dumps(json.loads(_ESCAPE.sub(_without_needless, piece), strict=False))
        return json.dumps(ast.literal_eval(piece))
    except (ValueError, SyntaxError):
        raise ValueError("is not JSON: a string has an escape that is none") from None


def _without_needless(escape: re.Match[str]) -> str:
    """`escape`, an apostrophe without its backslash, which JSON does not take."""
    return "'" if escape[1] == "'" else escape[0]
