"""Assembles the page: template, style, script, charts and data in one file that loads nothing from elsewhere.

The data is in a block that browsers don't execute, with every character escaped that could end it; the script inserts
it into the page as text only. The Content-Security-Policy in the page's head allows only the scripts of the page
itself, by their hashes, and forbids every connection.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from batchchat import lossless_json

__all__ = ["LIMIT", "embedded", "page_of"]

LIMIT = 1_900_000
"""Bytes of a page, whatever the size of the run."""
_SCRIPTS = ("vendor/plot.min.js", "page.js")
# In JSON these occur in strings only, where an escape means the same; so no `</script`, no `<!--`, no line separator.
_ESCAPES = (
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
    (b"&", b"\\u0026"),
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
)


def embedded(value: Any) -> bytes:
    """JSON that is harmless within a script element."""
    data = lossless_json.dumps(value)
    for character, written in _ESCAPES:
        data = data.replace(character, written)
    return data


def page_of(title: str, data: bytes) -> bytes:
    """The page that shows `data`, as `embedded` gave it."""
    scripts = [_text(name) for name in _SCRIPTS]
    allowed = " ".join(f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" for script in scripts)
    return (
        Template(_text("page.html"))
        .substitute(
            title=escape(lossless_json.scrub(title)),
            style=_text("page.css"),
            allowed=allowed,
            data=data.decode(),
            scripts="\n".join(f"<script>{script}</script>" for script in scripts),
        )
        .encode()
    )


def _text(name: str) -> str:
    return files("batchchat.reporting.html").joinpath(*name.split("/")).read_text(encoding="utf-8")
