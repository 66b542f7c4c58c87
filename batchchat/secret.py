"""Secrets: values that are sent and never shown.

A `Secret` has no readable `repr` or `str`; a `Redactor` replaces the values of secrets in any text or bytes. Values
under 8 characters ("EMPTY", "none": what self-hosted servers are given) are not redacted, since replies contain them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import quote, unquote_plus, urlsplit

__all__ = ["Redactor", "Secret", "is_plain_name", "mask_likely_keys", "secrets_in_url"]

MIN_LENGTH = 8
REDACTED = "***"
# A printable ASCII character but `"` and the backslash, which would end or break the JSON string that contains it.
_ESCAPE = re.compile(rb"(?<!\\)((?:\\\\)*)\\u00(2[013-9a-f]|[346][0-9a-f]|5[0-9abd-f]|7[0-9a-e])", re.IGNORECASE)
# What such an escape begins with. An escaped letter beyond ASCII, as in any reply with an "é", is none, and to undo the
# escapes of a body takes 200 µs for 2 KB.
_ESCAPED_ASCII = re.compile(rb"\\u00[2-7]")
_NO_SECRETS = frozenset({"api-version", "api_version", "version", "v", "region", "location", "project", "alt", "beta"})
"""Parameters of a URL that may be shown; any other may be a key."""
_PLAIN_NAME = re.compile(r"[A-Za-z]{1,20}([-_.][A-Za-z]{1,20}|[-_.][A-Za-z]{0,4}[0-9]{1,4}){0,6}")
_LIKELY_KEY = re.compile(
    r"(?<![\w/.~-])(?:(?:sk|pk|hf|gsk|xai|key|api|r8)[-_]|AIza|(?=[\w+=-]*[0-9])(?=[\w+=-]*[A-Za-z])(?=[\w+=-]{24}))[\w+=-]{8,}"
)
_SCHEMES = frozenset({"bearer", "basic", "token", "key", "apikey", "api-key"})


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that must not be shown; `reveal()` is the only way to read it, for the request's headers."""

    _value: str = field(repr=False)

    def reveal(self) -> str:
        """The value itself."""
        return self._value

    def __str__(self) -> str:
        return REDACTED

    __repr__ = __str__


def secrets_in_url(url: str) -> list[Secret]:
    """What may be a key in the query of `url` (`?key=...`, `?code=...`), as it is written there and as it is meant."""
    pairs = (pair.partition("=") for pair in re.split("[&;]", urlsplit(url).query))
    return [
        Secret(spelling)
        for name, _, value in pairs
        if unquote_plus(name).lower() not in _NO_SECRETS
        for spelling in sorted({value, unquote_plus(value)})
    ]


def is_plain_name(name: str) -> bool:
    """Whether `name`, of a header or an option, is made of words and so can't be a pasted key."""
    return _PLAIN_NAME.fullmatch(name) is not None


def mask_likely_keys(comment: str) -> str:
    """`comment` with `***` in place of words that have the form of an API key."""
    return _LIKELY_KEY.sub(REDACTED, comment)


class Redactor:
    """Replaces `secrets` by `***`: as they are, escaped in a JSON string, and quoted in a URL.

    Of a header's value with a scheme ("Bearer sk-...") the part after the scheme is a secret too: servers repeat it
    alone.
    """

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        values: set[str] = set()
        for secret in secrets:
            value = secret.reveal()
            scheme, _, credentials = value.partition(" ")
            values |= {value, credentials.strip()} if scheme.lower() in _SCHEMES else {value}
        values = {value for value in values if len(value) >= MIN_LENGTH}
        spellings: set[str] = set()
        for value in values:
            quoted = json.dumps(value)[1:-1]
            spellings |= {value, quoted, quoted.replace("/", "\\/"), quote(value, safe="", errors="replace")}
        # Longest first: a secret that contains another is replaced whole.
        self._texts = sorted(spellings, key=lambda text: (-len(text), text))
        # A value that has no UTF-8 form can't be sent, so it is never in a response.
        self._bytes = [text.encode(errors="replace") for text in self._texts]

    def __repr__(self) -> str:
        return f"Redactor({len(self._texts)} secrets)"

    def redact(self, text: str) -> str:
        """`text` with the secrets replaced."""
        for value in self._texts:
            if value in text:
                text = text.replace(value, REDACTED)
        return text

    def redact_bytes(self, data: bytes) -> bytes:
        """`data` with the secrets replaced: one search for each, about 0.1 µs for a reply of 2 KB."""
        data = self._replace(data)
        # .NET and Go escape `+`, `<`, `>` and `&` in JSON, and any character may be escaped.
        if b"\\u00" in data and _ESCAPED_ASCII.search(data):
            unescaped = _ESCAPE.sub(lambda escape: escape[1] + bytes([int(escape[2], 16)]), data)
            redacted = self._replace(unescaped)
            return data if redacted == unescaped else redacted
        return data

    def _replace(self, data: bytes) -> bytes:
        for value in self._bytes:
            if value in data:
                data = data.replace(value, REDACTED.encode())
        return data
