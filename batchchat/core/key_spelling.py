"""A row's key as one text: the id of a row made from it, in a file that has no columns for variant and sample.

The only sample of the only variant is spelled as its id alone, so that an id stays what it is when samples are raised
or a matrix is widened later. Any other key is `<id>#<variant>#<sample>`, with `%` and `#` of the variant as `%25` and
`%23`. An id that looks like such a text itself is spelled with all three parts, so that no two keys share a spelling.
"""

from __future__ import annotations

import re

from batchchat.core.conversation import Key

__all__ = ["key_of_spelling", "spelled_key"]

_SPELLED = re.compile(r"(.*)#([^#]*)#(0|[1-9][0-9]{0,9})", re.DOTALL)


def spelled_key(key: Key) -> str:
    """`key` as one text: `q1`, or `q1#gpt-4o-mini#2` for a sample of a variant, `q1##2` where there is no matrix."""
    id_, variant, sample = key
    if not variant and not sample and ("#" not in id_ or _SPELLED.fullmatch(id_) is None):
        return id_
    return f"{id_}#{variant.replace('%', '%25').replace('#', '%23')}#{sample}"


def key_of_spelling(text: str) -> Key:
    """The inverse of `spelled_key`; a text that no key is spelled as is an id of its own."""
    match = _SPELLED.fullmatch(text)
    if match is None:
        return Key(text)
    key = Key(match[1], match[2].replace("%23", "#").replace("%25", "%"), int(match[3]))
    return key if spelled_key(key) == text else Key(text)
