"""`${NAME}` and `${NAME:-default}` in values, with bash's meaning; `$${` is a literal `${`.

An empty variable counts as missing: `${OUT}/x.parquet` with an empty OUT would be `/x.parquet`. `${NAME:-}` expands
an unset or empty variable to nothing. A default may contain variables itself; it is expanded only if it is used.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Expansion", "expand", "looks_like_name", "may_show"]

_MARK = re.compile(r"\$\$\{|\$\{")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_EDGE = re.compile(r"\$\$\{|\$\{|\}")
_MAX_DEPTH = 10
_MAX_SHOWN_LENGTH = 16
_MAX_NAME_LENGTH = 48
_WORD = re.compile(r"[A-Z0-9]{0,6}|[A-Z]{7,16}[0-9]{0,2}")
_MALFORMED = "holds a `${` that is neither ${NAME} nor ${NAME:-default}. For the two characters themselves write $${."


class Expansion(NamedTuple):
    """`text` with its variables expanded; `problem` says why they could not be, to follow a key's name."""

    text: str
    has_variables: bool = False
    problem: str | None = None


class _UnreadableError(Exception):
    pass


def expand(text: str, environ: Mapping[str, str]) -> Expansion:
    """Expand the variables in `text`."""
    if "${" not in text:
        return Expansion(text)
    has_variables = any(mark.group() == "${" for mark in _MARK.finditer(text))
    try:
        return Expansion(_filled(text, environ, 0), has_variables)
    except _UnreadableError as exc:
        return Expansion(text, has_variables, str(exc))


def _filled(text: str, environ: Mapping[str, str], depth: int) -> str:
    if depth > _MAX_DEPTH:
        raise _UnreadableError(_MALFORMED)
    parts: list[str] = []
    at = 0
    while mark := _MARK.search(text, at):
        parts.append(text[at : mark.start()])
        if mark.group() == "$${":
            parts.append("${")
            at = mark.end()
        else:
            end = _closing(text, mark.end())
            parts.append(_value(text[mark.end() : end], environ, depth))
            at = end + 1
    return "".join([*parts, text[at:]])


def _closing(text: str, at: int) -> int:
    """The position of the `}` that closes the `${` before `at`."""
    depth = 1
    for edge in _EDGE.finditer(text, at):
        depth += {"${": 1, "}": -1}.get(edge.group(), 0)
        if not depth:
            return edge.start()
    raise _UnreadableError(_MALFORMED)


def _value(expression: str, environ: Mapping[str, str], depth: int) -> str:
    """The value of `expression`, the text between `${` and `}`."""
    match = _NAME.match(expression)
    name, suffix = (match.group(), expression[match.end() :]) if match else ("", expression)
    if not name or (suffix and not suffix.startswith(":-")):
        raise _UnreadableError(_MALFORMED)
    if value := environ.get(name):
        return value
    if suffix:
        return _filled(suffix.removeprefix(":-"), environ, depth + 1)
    shown_name = name if may_show(name) else "a variable (its name is not shown, in case it is a key)"
    if name in environ:
        problem = "which is empty. Set it, or write ${NAME:-} for nothing."
    else:
        problem = "which is not set. Set it, or write ${NAME:-default}."
    raise _UnreadableError(f"takes its value from {shown_name}, {problem}")


def may_show(name: str) -> bool:
    """Whether `name` may be shown because it can't be a pasted key: it is short, or capital words."""
    return len(name) <= _MAX_SHOWN_LENGTH or looks_like_name(name)


def looks_like_name(name: str) -> bool:
    """Whether `name` has the form of a variable's name and can't be a pasted key.

    Capital words joined by `_`; a word of many letters has digits only at its end. A DeepInfra key is 32
    letters and digits, others are base32 or capital hex: without `_` a name is shown only while it is short.
    """
    words = name.split("_")
    if len(name) > _MAX_NAME_LENGTH or not all(_WORD.fullmatch(word) for word in words) or not name[:1].isalpha():
        return False
    return len(words) > 1 or len(name) <= _MAX_SHOWN_LENGTH
