"""Journal lines: whole or not at all."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from batchchat.store import records
from tests.store.given import answered, bare

_json: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_records = st.builds(lambda kind, value: {"kind": kind, "value": value}, st.sampled_from(sorted(records.KINDS)), _json)


@given(_records)
def test_a_record_comes_back_as_it_was(record: dict[str, Any]) -> None:
    """Any JSON value survives a line, integers of any size and lone surrogates too."""
    line = records.encode(record)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    found = records.decode(line[:-1])
    assert found is not None
    assert bare(found) == record
    assert next(iter(found)) == "kind"


def test_lone_surrogates_and_huge_integers_keep_every_digit() -> None:
    """What orjson refuses or would round is read back exactly."""
    record = {"kind": "row", "text": "a\ud800b", "number": 2**70 + 1, "low": -(2**63) - 1, "high": 2**64 - 1}
    line = records.encode(record)
    assert b'"lenient":true,"crc":"' in line
    found = records.decode(line[:-1])
    assert found is not None
    assert bare(found) == record


def test_a_line_that_orjson_writes_has_no_mark() -> None:
    """Most lines hold the record and its checksum, nothing else."""
    record = answered()
    assert json.loads(records.encode(record)) == {**record, "crc": records.encode(record)[-11:-3].decode()}


@given(_records, st.data())
@settings(max_examples=200)
def test_a_hurt_byte_is_never_read(record: dict[str, Any], data: st.DataObject) -> None:
    """A line with any one byte changed, or cut anywhere, is no record."""
    line = records.encode(record)[:-1]
    at = data.draw(st.integers(0, len(line) - 1))
    flip = data.draw(st.integers(1, 255))
    hurt = bytearray(line)
    hurt[at] ^= flip
    assert records.decode(bytes(hurt)) is None
    assert records.decode(line[:at]) is None


def test_a_line_of_an_unknown_kind_is_no_record() -> None:
    """The kinds are a closed list."""
    assert records.decode(records.encode({"kind": "other"})[:-1]) is None
    assert records.decode(b"") is None
    assert records.decode(b"{}") is None


def test_joined_lines_are_told_apart() -> None:
    """What hurt newlines joined is found again with its offsets, what is hurt itself is left out."""
    one, two, three = (records.encode({"kind": "row", "n": n})[:-1] for n in range(3))
    hurt = b"!" + two[1:]
    assert records.salvage(one + b"x" + two) == [(0, one), (len(one) + 1, two)]
    assert records.salvage(one + b"x" + hurt + b"x" + three) == [(0, one), (len(one) + len(two) + 2, three)]
    assert records.salvage(b"\xff\xfe" * 20) == []
    assert records.salvage(two[:-1]) == []
