"""The journal line: the format of one record on disk.

A line is one JSON object in UTF-8 without line breaks or insignificant white space, ended by one newline (0x0A):

    {"kind":"<kind>",<the record's other members>,"crc":"<8 hex digits>"}
    {"kind":"<kind>",<the record's other members>,"lenient":true,"crc":"<8 hex digits>"}

`kind` is the first member, `crc` the last. `crc` is the CRC-32 (zlib's, lower-case hexadecimal, zero-padded) of all
bytes of the line before `,"crc":`. It is inside the object so that `jq` and `tail` read the file as it is.
`"lenient":true` marks a record that orjson refuses to write (lone surrogates, integers over 64 bits) and that
`lossless_json` wrote and reads; testing each line for that took as long as all other work on it. The kinds:

    run    a session begins: `format` (`FORMAT`), `version` of batchchat, `job` as written with secrets redacted,
           `mock`, `endpoint`, `model`, `inputs`, `columns` (Arrow schema of the input, base64), `pid`, `host`, `at`
    hold   what may be outstanding from here on: `requests`, 0 where none is, and `usd` as decimal text, null without
           a bound; where the model has a price `price`, its label; under a budget `answers`, how many it has seen,
           and `dearest`, the ratio of their real to their expected cost that is reserved for; `at`; where a session
           has several writers the number of this one as `writer`, and that of the killed one that it `replaces`
    step   attempts at a row that cost or may have cost, and did not finish it: `id`, `variant`, `sample`, `fp`,
           `step`, `attempts`, `possibly_billed`, `cost_usd`, `usage`, `why`, `error`, `at`; with `attempts` 0 and the
           `why` "sent" a note that a row which was or may have been billed is being sent again, with its `writer`
    row    a finished output row, whole: see `batchchat.core.record.RowRecord`
    amend  a finished row has another key or other passthrough columns now: see `batchchat.store.amendments`

Records are applied in the order of the lines. A reader ignores members that it does not know. A line whose checksum
does not match is never used; the intact lines behind it are.
"""

from __future__ import annotations

import zlib
from typing import Any

import orjson

from batchchat import lossless_json

__all__ = ["FORMAT", "KINDS", "ROW_START", "decode", "encode", "intact", "parse", "salvage"]

FORMAT = 1
"""Incremented when a reader of the old format could not read the new one."""

KINDS = frozenset({"run", "hold", "step", "row", "amend"})

_START = b'{"kind":"'
ROW_START = b'{"kind":"row",'
"""How the line of a `row` record begins."""
_CRC = b',"crc":"'
_TAIL = len(b',"crc":"00000000"}')
_LENIENT = b',"lenient":true'


def encode(record: Any) -> bytes:
    """The line of `record`, newline included. `kind` must be its first key."""
    try:
        written = orjson.dumps(record)
    except TypeError:
        written = lossless_json.dumps(record)[:-1] + _LENIENT + b"}"
    body = memoryview(written)[:-1]  # a record may be large: it is copied once
    return b"".join((body, b',"crc":"%08x"}\n' % zlib.crc32(body)))


def intact(line: bytes) -> bool:
    """Whether `line` (without its newline) ends in the checksum of its own bytes."""
    return line.startswith(_START) and line.endswith(b',"crc":"%08x"}' % zlib.crc32(memoryview(line)[:-_TAIL]))


def decode(line: bytes) -> dict[str, Any] | None:
    """The record of `line` (without its newline), or None if it is damaged."""
    return parse(line) if intact(line) else None


def parse(line: bytes) -> dict[str, Any] | None:
    """The record of an intact `line` (without its newline); None where its bytes are no record."""
    try:
        record = lossless_json.loads(line) if line.endswith(_LENIENT, 0, -_TAIL) else orjson.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and record.get("kind") in KINDS else None


def salvage(line: bytes) -> list[tuple[int, bytes]]:
    """The intact lines, with their offsets, within a `line` that damaged newlines have joined."""
    parts, start = [], 0
    while (start := line.find(_START, start)) >= 0:
        end, tail = 0, start
        while not end and (tail := line.find(_CRC, tail + 1)) >= 0:
            if intact(line[start : tail + _TAIL]):
                end = tail + _TAIL
                parts.append((start, line[start:end]))
        start = end or start + 1
    return parts
