"""The body of a response to its JSON, in whatever state servers and proxies hand it over; pure.

Whole JSON is whole whatever stands around it: a byte order mark, blank and comment lines before, anything behind; and
though a text in it has raw control characters. A stream is joined to the response it would have been. Texts in another
charset are read in that. Secrets are redacted before anything is parsed, and again where pieces were joined.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from batchchat import lossless_json
from batchchat.secret import Redactor

if TYPE_CHECKING:
    from batchchat.endpoint.sse import ChunkJoiner

__all__ = ["MAX_RAW_CHARS", "NO_BODY", "Body", "ReceivedBody", "add_events", "joined_body", "read_body"]

MAX_RAW_CHARS = 1 << 20
"""As much is kept of a body that was paid for and can't be used."""
_DONE = b"[DONE]"
"""The data of the event that ends a stream."""
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:+-]+)", re.IGNORECASE)
_NOT_TEXT = frozenset({"utf-7", "idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"})
_BOMS = (  # UTF-32's little-endian mark begins with UTF-16's
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WIDE: dict[tuple[bool, ...], str] = {
    (True, False, True, False): "utf-16-le",
    (False, True, False, True): "utf-16-be",
    (True, False, False, False): "utf-32-le",
    (False, False, False, True): "utf-32-be",
}
_BEFORE = re.compile(r"(?:[\s\x00\ufeff]+|:[^\r\n]*(?:\r\n|\r|\n|$))*")
_BLANK = re.compile(r"\s*")
_EVENT = re.compile(r"(?:data|event|id|retry):")
_DECODER = json.JSONDecoder(strict=False)


class Body(NamedTuple):
    """`data` is what came, as UTF-8 without secrets, and `payload` its JSON, None where it has none.

    `complete`: neither the connection nor a stream broke off. `streamed`: it was a stream, whose `payload` is joined;
    where it broke off or ended in an error, `partial` is the response that its chunks made up to there, if they had
    any of the reply. Of a stream that was joined as it came `data` is the beginning, and `size` the bytes of it all.
    """

    data: bytes
    payload: Any = None
    complete: bool = True
    streamed: bool = False
    partial: Any = None
    size: int | None = None

    @property
    def raw(self) -> str:
        """The body for the column `raw`: of a stream that was joined the response it makes."""
        joined = self.partial
        if joined is None and self.streamed and isinstance(self.payload, dict) and "choices" in self.payload:
            joined = self.payload
        data = self.data if joined is None else lossless_json.dumps(joined)
        return data.decode("utf-8", "surrogateescape")


NO_BODY = Body(b"")


class ReceivedBody(NamedTuple):
    """A body, what it `broken` off with, and when the first piece of a streamed reply came, by `time.perf_counter`."""

    body: Body
    broken: BaseException | None = None
    first_token_at: float | None = None


def read_body(data: bytes, content_type: str, redactor: Redactor, *, complete: bool = True) -> Body:
    """Read `data`, the body of a response with `content_type`; `complete` where it did not break off."""
    data = redactor.redact_bytes(_as_utf8(data, content_type))
    try:
        return Body(data, lossless_json.loads_lenient(data), complete)
    except ValueError:
        pass
    text = data.decode("utf-8", "surrogateescape")
    before = _BEFORE.match(text)
    start = 0 if before is None else before.end()
    if _EVENT.match(text, start):
        return joined_body(data, _joined_events(data), redactor, complete=complete)
    try:
        first, end = _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        return Body(data, None, complete)
    if _is_chunk(first):
        from batchchat.endpoint.sse import ChunkJoiner

        joiner = ChunkJoiner()
        joiner.add(first)
        return joined_body(data, _lines(text, end, joiner), redactor, complete=complete)
    return Body(data, first if end == len(text) or _is_completion(first) else None, complete)


def joined_body(
    data: bytes, joiner: ChunkJoiner, redactor: Redactor, *, complete: bool, size: int | None = None
) -> Body:
    """The body of a stream, of which `data` is kept: a secret may have come in two of its pieces."""
    try:
        written = redactor.redact_bytes(lossless_json.dumps(joiner.response()))
        response = lossless_json.loads_lenient(written)
    except (ValueError, RecursionError):
        return Body(data, None, complete=False, streamed=True, size=size)
    # The end of the connection says nothing of a stream that came to its own end.
    complete = joiner.complete or (complete and joiner.failed)
    if joiner.complete and not joiner.failed:
        return Body(data, response, complete, streamed=True, size=size)
    payload = {name: value for name, value in response.items() if name != "choices"}
    partial = response if joiner.has_content else None
    return Body(data, payload, complete, streamed=True, partial=partial, size=size)


def add_events(events: Iterable[tuple[str, bytes]], joiner: ChunkJoiner, *, torn: bool = False) -> None:
    """Add the chunks in the data of `events`, each with its name, to those that `joiner` has.

    One that can't be read breaks the stream, unless it may be `torn`: the last, without a blank line behind it.
    """
    for name, data in events:
        if data.strip() == _DONE:
            joiner.end()
            continue
        try:
            joiner.add(lossless_json.loads_lenient(data), name)
        except (ValueError, RecursionError):
            _add_odd_chunk(data, name, joiner, torn=torn)


def _add_odd_chunk(data: bytes, name: str, joiner: ChunkJoiner, *, torn: bool) -> None:
    """Raw control characters in the text of a chunk do no harm."""
    try:
        joiner.add(_DECODER.decode(data.decode("utf-8", "surrogateescape")), name)
    except (ValueError, RecursionError):
        if not torn:
            joiner.skip()


def _joined_events(data: bytes) -> ChunkJoiner:
    from batchchat.endpoint.sse import ChunkJoiner, EventParser

    joiner, parser = ChunkJoiner(), EventParser()
    add_events(parser.feed(data), joiner)
    add_events(parser.close(), joiner, torn=True)
    return joiner


def _lines(text: str, at: int, joiner: ChunkJoiner) -> ChunkJoiner:
    """Add the chunks of `text` from `at` on, which stand one behind the other without the form of events."""
    while True:
        blank = _BLANK.match(text, at)
        at = at if blank is None else blank.end()
        if at == len(text):
            return joiner
        try:
            chunk, at = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            joiner.skip()
            return joiner
        joiner.add(chunk)


def _is_chunk(value: Any) -> bool:
    choices = value.get("choices") if isinstance(value, dict) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    return isinstance(first, dict) and "delta" in first and "message" not in first


def _is_completion(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("choices"), list)


def _as_utf8(data: bytes, content_type: str) -> bytes:
    """`data` in UTF-8: by its byte order mark, else by its zero bytes, else by the charset in `content_type`."""
    if data[:1] == b"{" and data[1:2] != b"\x00":  # nearly every body: neither a mark nor a wide charset
        name = _charset(content_type)
    else:
        name = next((name for mark, name in _BOMS if data.startswith(mark)), None)
        name = name or _wide_charset(data[:4]) or _charset(content_type)
    if name is None or name == "utf-8":
        return data
    # A single-byte charset is what servers name that do not know what they send.
    if name.startswith(("iso8859", "cp125")) and _is_utf8(data):
        return data
    try:
        return data.decode(name).encode("utf-8", "surrogatepass")
    except UnicodeError:
        return data if _is_utf8(data) else data.decode(name, "replace").encode("utf-8", "surrogatepass")


def _wide_charset(start: bytes) -> str | None:
    """UTF-16 or UTF-32, where `start` has zero bytes as the first ASCII characters of JSON have in them; else None."""
    return _WIDE.get(tuple(map(bool, start)))


@lru_cache(maxsize=256)
def _charset(content_type: str) -> str | None:
    """The codec of the charset that `content_type` names; None for UTF-8, for ASCII and for an unknown one."""
    match = _CHARSET.search(content_type)
    try:
        name = codecs.lookup(match[1]).name if match else "utf-8"
    except LookupError:
        return None
    if name in {"utf-8", "ascii"} or name in _NOT_TEXT or not getattr(codecs.lookup(name), "_is_text_encoding", True):
        return None
    return name


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
