"""Text of others (replies, errors, ids, names of files and models) as it is shown on a terminal and in a log.

A terminal acts upon control characters: one sequence writes the reader's clipboard, another the window's title; and
bidirectional overrides show text in another order than it has. They are shown as escapes; tabs and line feeds stay.
"""

from __future__ import annotations

import re

__all__ = ["escaped"]

# C0 but tab and line feed, DEL and C1; line and paragraph separator; bidirectional embeddings, overrides, isolates.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_DEL = 0x7F  # JSON allows it as it stands, and knows no \\x7f
_SHORT = {"\r": "\\r", "\f": "\\f", "\v": "\\v", "\b": "\\b", "\a": "\\a"}


def escaped(text: str) -> str:
    r"""`text` with `\x1b` and the like in place of characters that a terminal acts upon.

    Those outside ASCII become `\u009b`, so that a JSON document stays the same document.
    """
    return _CONTROL.sub(_escape, text.replace("\r\n", "\n"))


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    code = ord(character)
    return _SHORT.get(character) or (f"\\x{code:02x}" if code < _DEL else f"\\u{code:04x}")
