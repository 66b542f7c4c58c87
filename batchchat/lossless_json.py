r"""JSON text in and out: orjson, and the standard library where orjson refuses, so that nothing is lost.

orjson refuses NaN and lone surrogates (`"\ud800"`), and reads integers over 64 bits as floats; endpoints
send all three, and inputs hold them. Both directions take the fast path first and leave it only where it
would refuse or lose. NaN and the infinities, for which JSON has no word, are read as `NonFinite`, which is
written as Python writes it (`NaN`, `-Infinity`); as a plain float orjson would write null.
"""

from __future__ import annotations

import json
from math import isfinite
from typing import Any

import orjson

__all__ = [
    "NonFinite",
    "canonical",
    "canonical_or_none",
    "dumps",
    "is_deeper",
    "loads",
    "loads_and_dumps",
    "loads_lenient",
    "scrub",
]

# Only a run of 20 digits can pass 64 bits, or one of 19 below zero. To look costs 1 µs/KB; most texts are spared it by
# a look at every ninth byte, of which such a run holds two.
_DIGITS_TO_ZERO = bytes.maketrans(b"123456789", b"000000000")
_MANY_DIGITS = b"0" * 19
_STRIDE = 9
_MAX_DEPTH = 900  # Python's recursion limit is 1,000


class NonFinite(float):
    """NaN or an infinity. orjson refuses a subclass of float, so that no number is written as null unseen."""

    __slots__ = ()


def loads(data: bytes) -> Any:
    """Parse strict UTF-8 JSON. Raises `ValueError` (`UnicodeDecodeError` is one) on anything else.

    NaN, Infinity and lone surrogate escapes are taken, as Python's own reader takes them.
    """
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return _standard_loads(data.decode("utf-8-sig"))
    return _standard_loads(data.decode("utf-8-sig")) if _has_long_integer(data) else value


def loads_and_dumps(data: bytes) -> tuple[Any, bytes]:
    """The value of `data`, as `loads` reads it, and what `dumps` writes for it; nothing if that is nested too deep.

    Where that is `data` itself nothing of it was lost: every key stands once, every number is exact.
    """
    try:
        value = orjson.loads(data)
        written = orjson.dumps(value)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        value = loads(data)
        try:
            return value, dumps(value)
        except RecursionError:
            return value, b""
    if written != data and _has_long_integer(data):
        value = _standard_loads(data.decode("utf-8-sig"))
        written = dumps(value)
    return value, written


def _has_long_integer(data: bytes) -> bool:
    """Whether the JSON text `data` may hold an integer of more than 64 bits; digits in a text count too."""
    if b"00" not in data[::_STRIDE].translate(_DIGITS_TO_ZERO):
        return False
    digits = data.translate(_DIGITS_TO_ZERO)
    return _MANY_DIGITS in digits and (b"0" + _MANY_DIGITS in digits or b"-" + _MANY_DIGITS in digits)


def loads_lenient(data: bytes) -> Any:
    """Parse what an endpoint sent.

    Bytes that are not UTF-8 become lone surrogates, which `dumps` writes as escapes. Integers over 64 bits may come
    as floats: nothing we read of a response is so large, and to look for them costs twice the parse. Raises
    `ValueError` where it is no JSON at all.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return _standard_loads(data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape"))


def _standard_loads(text: str) -> Any:
    try:
        value = json.loads(text, parse_constant=NonFinite, parse_float=_number)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    # From Python 3.12 on its reader goes deeper than its writer, and than most of what is done with a value.
    if text.count("[") + text.count("{") > _MAX_DEPTH and is_deeper(value, _MAX_DEPTH):
        raise ValueError("nested too deeply")
    return value


def is_deeper(value: Any, depth: int) -> bool:
    """Whether the lists and objects of `value` are nested more than `depth` deep."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(depth):
        children = (child for node in level for child in (node.values() if isinstance(node, dict) else node))
        level = [child for child in children if isinstance(child, dict | list)]
        if not level:
            return False
    return True


def _number(text: str) -> float:
    number = float(text)
    return number if isfinite(number) else NonFinite(number)  # 1e400


def dumps(value: Any) -> bytes:
    """Compact JSON of `value`, keys in their given order."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, separators=(",", ":")).encode()


def canonical(value: Any) -> bytes:
    """Compact JSON of `value` with sorted keys: equal values give equal bytes, to be hashed."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def canonical_or_none(value: Any) -> bytes | None:
    """As `canonical`, but None where orjson refuses: how such a value is written depends on what is written with it."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return None


def scrub(text: str) -> str:
    """`text` with each lone surrogate replaced by U+FFFD, so that it can be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
