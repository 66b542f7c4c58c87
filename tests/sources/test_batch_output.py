"""A provider's batch output file: its lines by the rows that they answer, whatever state it is in."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import zstandard

from batchchat.core.conversation import Key
from batchchat.errors import InputError
from batchchat.sources.batch_output import BatchOutput, BatchResponse, open_batch_output

OK = {"status_code": 200, "request_id": "r", "body": {"choices": []}}


def lines(*custom_ids: Any) -> bytes:
    return b"".join(
        json.dumps({"custom_id": id_, "response": OK, "error": None}).encode() + b"\n" for id_ in custom_ids
    )


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Any]:
    with ExitStack() as stack:

        def of(content: bytes) -> BatchOutput:
            path = tmp_path / "results"
            path.write_bytes(content)
            return stack.enter_context(open_batch_output(path, lambda data: data.replace(b"secret", b"***")))

        yield of


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.ZstdCompressor().compress], ids=["", "gz", "zst"])
def test_it_is_read_whatever_its_name(opened: Any, pack: Any) -> None:
    """Compressed or not, with a byte order mark, blank lines, CRLF and no line feed at its end."""
    content = b"\xef\xbb\xbf" + lines("a") + b"\n  \n" + lines(7, "b#x#2").replace(b"\n", b"\r\n").removesuffix(b"\r\n")
    batch: BatchOutput = opened(pack(content))
    assert (len(batch), batch.counts.lines) == (3, 3)
    assert [batch.match(key) for key in (Key("a"), Key("b", "x", 2), Key("7"), Key("b"))] == [0, 2, 1, None]
    assert batch.response(1) == BatchResponse(200, {"choices": []}, None)


def test_a_file_that_breaks_off(opened: Any) -> None:
    """What stands before is taken, and the break is one line that can't be read."""
    batch: BatchOutput = opened(gzip.compress(lines(*range(1000)), compresslevel=0)[:5000])
    assert 0 < len(batch) < 1000
    assert batch.counts.malformed == 1
    assert batch.counts.first_malformed[0].endswith("the file breaks off here: the gzip stream ends too early.") or (
        "breaks off here" in batch.counts.first_malformed[0]
    )


@pytest.mark.parametrize(
    ("fields", "response"),
    [
        ({"response": {"choices": [1]}}, BatchResponse(200, {"choices": [1]}, None)),
        ({"response": {"error": {"message": "m"}}}, BatchResponse(200, {"error": {"message": "m"}}, None)),
        ({"response": {"status_code": 429, "body": "busy"}}, BatchResponse(429, "busy", None)),
        ({"response": {"body": {"a": "my secret"}}}, BatchResponse(200, {"a": "my ***"}, None)),
        ({"response": OK, "error": {"code": "x"}}, BatchResponse(200, OK["body"], None)),
        ({"response": None, "error": "expired"}, BatchResponse(None, None, "expired")),
        ({"error": {"code": "batch_expired"}}, BatchResponse(None, None, {"code": "batch_expired"})),
    ],
)
def test_what_lines_hold(opened: Any, fields: dict[str, Any], response: BatchResponse) -> None:
    """As providers write them; a response comes before an error."""
    batch: BatchOutput = opened(json.dumps({"custom_id": "a", **fields}).encode())
    assert list(batch.responses()) == [response]


def test_what_is_not_taken_in_is_named(opened: Any) -> None:
    """The first few of each kind, and the count of all."""
    batch: BatchOutput = opened(lines("a", "x", "a", "y", "z", "u", "x") + b"{\n")
    assert batch.match(Key("a")) == 0
    batch.counts.answered = 1
    batch.count_lines(2)
    counts = batch.counts
    assert (counts.unknown, counts.repeated, counts.malformed, counts.kept, counts.missing) == (4, 2, 1, 0, 2)
    assert counts.first_unknown == ('results:2: "x"', 'results:4: "y"', 'results:5: "z"')
    assert counts.first_repeated == ('results:3: "a", first at line 1', 'results:7: "x", first at line 2')


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Is named."""
    with pytest.raises(InputError, match="none is not there"), open_batch_output(tmp_path / "none", bytes):
        pass
