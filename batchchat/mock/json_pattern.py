"""Text that a simple regular expression matches.

Read are literals, `.`, classes, escapes, groups, `|` and quantifiers. Lookarounds and back references are not.
"""

from __future__ import annotations

import re
import string
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

__all__ = ["write_matching"]

_MAX_REPEATS = 3  # of what may be repeated without end
_MAX_CHARS = 10_000
_WORD = string.ascii_letters + string.digits + "_"
_PLAIN = string.ascii_lowercase + string.digits
_ESCAPES = {"d": string.digits, "w": _WORD, "s": " ", "D": string.ascii_lowercase, "W": "-", "S": _PLAIN}
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r"}
_QUANTIFIER = re.compile(r"(?:([?*+])|\{(\d+)(,?)(\d*)\})\??")
_GROUP = re.compile(r"\?(?::|P?<\w+>)")


def write_matching(pattern: str, random: Random) -> str | None:
    """A text in which `pattern` matches; None for a pattern that is beyond this module or no pattern at all."""
    try:
        text = _Writer(pattern, random).alternatives()
        return text if re.search(pattern, text) else None
    except (IndexError, ValueError, re.error):
        return None


class _Writer:
    """Reads a pattern from left to right and writes as it goes; `IndexError` and `ValueError` end it."""

    def __init__(self, pattern: str, random: Random) -> None:
        self._pattern = pattern
        self._random = random
        self._at = 0

    def alternatives(self) -> str:
        """One of the alternatives up to the end of the pattern or of the group."""
        texts = [self._sequence()]
        while self._peek() == "|":
            self._at += 1
            texts.append(self._sequence())
        return self._random.choice(texts)

    def _sequence(self) -> str:
        text = ""
        while self._peek() not in ("", "|", ")"):
            begin = self._at
            once = self._atom()
            end = self._at
            lowest, highest = self._quantifier()
            after = self._at
            count = self._random.randint(lowest, highest)
            text += once if count else ""
            for _ in range(count - 1):
                self._at = begin
                text += self._atom()
                if len(text) > _MAX_CHARS or self._at != end:
                    raise ValueError(self._pattern)
            self._at = after
        return text

    def _atom(self) -> str:
        """What one character, class or group of the pattern stands for."""
        character = self._next()
        if character in "^$":
            return ""
        if character == ".":
            return self._random.choice(_PLAIN)
        if character == "\\":
            return self._random.choice(self._escape())
        if character == "[":
            return self._random.choice(self._class())
        if character != "(":
            return character
        if self._peek() == "?":
            match = _GROUP.match(self._pattern, self._at)
            if match is None:
                raise ValueError(self._pattern)
            self._at = match.end()
        text = self.alternatives()
        if self._next() != ")":
            raise ValueError(self._pattern)
        return text

    def _escape(self) -> str:
        """The characters that the escape after a backslash stands for."""
        name = self._next()
        if name in _ESCAPES:
            return _ESCAPES[name]
        if name in _CONTROLS:
            return _CONTROLS[name]
        if name.isalnum():
            raise ValueError(self._pattern)
        return name

    def _class(self) -> str:
        """The characters of a class whose `[` has been read."""
        negated = self._peek() == "^"
        self._at += negated
        characters = ""
        while (character := self._next()) != "]" or not characters:
            members = self._escape() if character == "\\" else character
            if len(members) == 1 and self._peek() == "-" and self._pattern[self._at + 1] != "]":
                self._at += 1
                last = self._next()
                last = self._escape() if last == "\\" else last
                members = "".join(map(chr, range(ord(members), ord(last) + 1)))
            characters += members
        if negated:
            return "".join(character for character in _PLAIN if character not in characters)
        return characters

    def _quantifier(self) -> tuple[int, int]:
        """The fewest and the most times that the last atom is written."""
        match = _QUANTIFIER.match(self._pattern, self._at)
        if match is None:
            return 1, 1
        self._at = match.end()
        sign, lowest, comma, highest = match.groups()
        if sign:
            return (1 if sign == "+" else 0), (1 if sign == "?" else _MAX_REPEATS)
        return int(lowest), int(highest) if highest else int(lowest) + (_MAX_REPEATS if comma else 0)

    def _peek(self) -> str:
        return self._pattern[self._at : self._at + 1]

    def _next(self) -> str:
        character = self._pattern[self._at]
        self._at += 1
        return character
