"""A journal line: one JSON object of a closed list of kinds, ending in a checksum of all that stands before it.

    {"kind":"run",…,"crc":"1f0c22a9"}     a session begins: format, version, job as written, mock or real endpoint
    {"kind":"hold",…,"crc":"…"}           requests (and USD) that may be outstanding from here on; 0 when all settled
    {"kind":"step",…,"crc":"…"}           an attempt that cost, or may have cost, and did not finish its row
    {"kind":"row",…,"crc":"…"}            a finished output row, whole (`batchchat.core.record`)

The checksum (CRC-32, 8 hex digits) is inside the object so that `jq` and `tail` read the file as it is. A line that
orjson could not write (lone surrogates, integers over 64 bits) says `"lenient":true` before it, and is read back by
`lossless_json`; to look in each line whether it needs that took as long as all the rest.
"""

from __future__ import annotations

import zlib
from typing import Any

import orjson

from batchchat import lossless_json

__all__ = ["FORMAT", "KINDS", "decode", "encode", "salvage"]

FORMAT = 1
"""Raised when a reader of the old form could not read the new one."""

KINDS = frozenset({"run", "hold", "step", "row"})

_START = b'{"kind":"'
_CRC = b',"crc":"'
_TAIL = len(b',"crc":"00000000"}')
_LENIENT = b',"lenient":true'


def encode(record: Any) -> bytes:
    """The line of `record`, newline included. `kind` must be its first key."""
    try:
        body = orjson.dumps(record)[:-1]
    except TypeError:
        body = lossless_json.dumps(record)[:-1] + _LENIENT
    return b'%b,"crc":"%08x"}\n' % (body, zlib.crc32(body))


def intact(line: bytes) -> bool:
    """Whether `line` (without its newline) carries the checksum of its own bytes."""
    body, tail = line[:-_TAIL], line[-_TAIL:]
    return line.startswith(_START) and tail == b',"crc":"%08x"}' % zlib.crc32(body)


def decode(line: bytes) -> dict[str, Any] | None:
    """The record of `line` (without its newline), or None where a byte of it was hurt."""
    if not intact(line):
        return None
    try:
        record = lossless_json.loads(line) if line.endswith(_LENIENT, 0, -_TAIL) else orjson.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and record.get("kind") in KINDS else None


def salvage(line: bytes) -> list[tuple[int, bytes]]:
    """The intact lines, with their offsets, inside one that was joined of several by a hurt newline."""
    found, start = [], 0
    while (start := line.find(_START, start)) >= 0:
        end, tail = 0, start
        while not end and (tail := line.find(_CRC, tail + 1)) >= 0:
            if intact(line[start : tail + _TAIL]):
                end = tail + _TAIL
                found.append((start, line[start:end]))
        start = end or start + 1
    return found
