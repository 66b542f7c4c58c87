"""The key of an output row as one text: what a batch's file calls `custom_id`.

It is the row's id. A variant or a sample is added in brackets, `q7 [gpt-4o#2]`, and so is an id's own key where the id
looks as if it had that already: no two keys have one text, and each is read back.
"""

from __future__ import annotations

import re

from batchchat.core.conversation import Key

__all__ = ["custom_id_of", "key_of_custom_id"]

_ADDED = re.compile(r" \[([^\[\]#]*)#([0-9]{1,9})\]\Z")
_RESERVED = re.compile(r"[%\[\]#]")
_ESCAPED = re.compile(r"%([0-9A-F]{2})")


def custom_id_of(key: Key) -> str:
    """The text of `key`."""
    if not key.variant and not key.sample and _ADDED.search(key.id) is None:
        return key.id
    variant = _RESERVED.sub(lambda match: f"%{ord(match[0]):02X}", key.variant)
    return f"{key.id} [{variant}#{key.sample}]"


def key_of_custom_id(text: str) -> Key:
    """The key whose text is `text`."""
    match = _ADDED.search(text)
    if match is None:
        return Key(text)
    variant = _ESCAPED.sub(lambda escape: chr(int(escape[1], 16)), match[1])
    return Key(text[: match.start()], variant, int(match[2]))
