"""`${NAME}` and `${NAME:-default}` in values, with bash's meaning; `$${` stands for a literal `${`.

As in the contract, an empty variable counts as missing: `${OUT}/x.parquet` with an empty OUT would be
`/x.parquet`. `${NAME:-}` takes an unset or empty one as nothing. A default may hold variables itself and is
read only when needed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Expansion", "expand", "looks_like_name", "may_show"]

_MARK = re.compile(r"\$\$\{|\$\{")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_EDGE = re.compile(r"\$\$\{|\$\{|\}")
_DEEPEST = 10
_SHORT = 16
_LONGEST = 48
_WORD = re.compile(r"[A-Z0-9]{0,6}|[A-Z]{7,16}[0-9]{0,2}")
_MALFORMED = "holds a `${` that is neither ${NAME} nor ${NAME:-default}. For the two characters themselves write $${."


@dataclass(frozen=True, slots=True)
class Expansion:
    """`text` with its variables filled in; `complaint` says why it could not be, to follow a key's name."""

    text: str
    has_variables: bool = False
    complaint: str | None = None


class _ComplaintError(Exception):
    pass


def expand(text: str, environ: Mapping[str, str]) -> Expansion:
    """Fill in the variables of `text`."""
    if "${" not in text:
        return Expansion(text)
    has_variables = any(mark.group() == "${" for mark in _MARK.finditer(text))
    try:
        return Expansion(_filled(text, environ, 0), has_variables)
    except _ComplaintError as exc:
        return Expansion(text, has_variables, str(exc))


def _filled(text: str, environ: Mapping[str, str], depth: int) -> str:
    if depth > _DEEPEST:
        raise _ComplaintError(_MALFORMED)
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
    """Where the `}` stands that closes the `${` before `at`."""
    depth = 1
    for edge in _EDGE.finditer(text, at):
        depth += {"${": 1, "}": -1}.get(edge.group(), 0)
        if not depth:
            return edge.start()
    raise _ComplaintError(_MALFORMED)


def _value(inside: str, environ: Mapping[str, str], depth: int) -> str:
    """The value of what stands between `${` and `}`."""
    found = _NAME.match(inside)
    name, rest = (found.group(), inside[found.end() :]) if found else ("", inside)
    if not name or (rest and not rest.startswith(":-")):
        raise _ComplaintError(_MALFORMED)
    if value := environ.get(name):
        return value
    if rest:
        return _filled(rest.removeprefix(":-"), environ, depth + 1)
    said = name if may_show(name) else "a variable (its name is not shown, in case it is a key)"
    if name in environ:
        raise _ComplaintError(f"takes its value from {said}, which is empty. Set it, or write ${{NAME:-}} for nothing.")
    raise _ComplaintError(f"takes its value from {said}, which is not set. Set it, or write ${{NAME:-default}}.")


def may_show(name: str) -> bool:
    """Whether `name` can't be a key pasted between the braces: short, or capital words."""
    return len(name) <= _SHORT or looks_like_name(name)


def looks_like_name(name: str) -> bool:
    """Whether `name` is the name of a variable at sight, and no pasted key.

    Capital words joined by `_`; a word of many letters has digits only at its end. A DeepInfra key is 32
    letters and digits, others are base32 or capital hex: without `_` a name is shown only while it is short.
    """
    words = name.split("_")
    if len(name) > _LONGEST or not all(_WORD.fullmatch(word) for word in words) or not name[:1].isalpha():
        return False
    return len(words) > 1 or len(name) <= _SHORT
