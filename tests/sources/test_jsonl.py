"""JSON lines, plain and gzip."""

from __future__ import annotations

import gzip
import json
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchchat.core.bad import Bad
from batchchat.errors import InputError
from batchchat.sources.files import Record, find_files
from batchchat.sources.jsonl import number_lines, read_jsonl
from tests.sources.folder import records_told, the_file

if TYPE_CHECKING:
    from tests.sources.folder import Folder


def records(path: Path, content: bytes) -> list[Record]:
    return records_told(partial(read_jsonl, the_file(path, content)), len(content))


def gz(folder: Folder, content: bytes) -> list[Record]:
    return records(folder.path / "x.jsonl.gz", content)


def plain(folder: Folder, content: bytes) -> list[Record]:
    return records(folder.path / "x.jsonl", content)


@given(
    st.lists(st.binary(max_size=12) | st.sampled_from([b'{"a":1}', b"\n", b"\r\n", b"\xef\xbb\xbf", b" "])).map(
        b"".join
    )
)
@example(b"\xef\xbb\xbf\n{}")
@example(b"\xef\xbb\xbf")
def test_each_line_is_one_record(content: bytes) -> None:
    """Any bytes give exactly one record for each line that isn't blank, with its number, and nothing is raised."""
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    expected = [number for number, line in enumerate(lines, 1) if line.strip()]
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "x.jsonl")
        if content[:2] in {b"\xff\xfe", b"\xfe\xff", b"\x1f\x8b", b"PA", b"PK"} or content[:1] == b"\x28":
            return
        found = records(path, content)
        assert [line for line, _ in found] == expected
        assert records(Path(name, "x.jsonl.gz"), gzip.compress(content)) == found


def test_line_ends_marks_and_blank_lines(folder: Folder) -> None:
    """CRLF, a byte order mark and blank lines are taken; line numbers stay true."""
    assert plain(folder, b'\xef\xbb\xbf{"a":1}\r\n\r\n  \n{"a":2}') == [(1, {"a": 1}), (4, {"a": 2})]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"[1]", "the line is [1], a list. It takes an object."),
        (b"null", "the line is null. It takes an object."),
        (b'{"a":\xff}', "the line is not UTF-8: byte 6 is 0xff"),
        (b'{"a":1', "the line is not JSON: expecting ',' delimiter at column 7"),
    ],
)
def test_a_bad_line_says_why(folder: Folder, line: bytes, error: str) -> None:
    """A line that is no object is a record with the sentence; the next one is good."""
    assert plain(folder, line + b"\n{}") == [(1, Bad(error)), (2, {})]


def test_lines_longer_than_a_block(folder: Folder) -> None:
    """No line is too long."""
    value = {"a": "x" * 1_000_000}
    line = json.dumps(value).encode()
    assert plain(folder, line + b"\n{}\n" + line) == [(1, value), (2, {}), (3, value)]
    assert gz(folder, gzip.compress(line + b"\n{}\n" + line)) == [(1, value), (2, {}), (3, value)]


def test_a_break_is_a_bad_line(folder: Folder) -> None:
    """Where a packed file breaks off, the lines before are used and the break is one record, of the line after."""
    whole = gzip.compress(b'{"a":1}\n\n{"a":2}\n{"a":')
    ends = Bad("the file breaks off here: the gzip stream ends too early")
    assert gz(folder, whole[:-3]) == [(1, {"a": 1}), (3, {"a": 2}), (4, ends)]


def test_a_file_that_has_gone_is_an_input_error(folder: Folder) -> None:
    """What vanished since it was found is told, not thrown."""
    folder.write("x.jsonl", b"{}")
    (file,) = find_files([str(folder.path / "x.jsonl")], ["x.jsonl"]).files
    (folder.path / "x.jsonl").unlink()
    with pytest.raises(InputError, match=r"^x\.jsonl is not there\."):
        list(read_jsonl(file, lambda _: None))


@given(st.lists(st.sampled_from([b'{"a":1}', b"", b"  \r", b"broken", b"[]", b'"\xff"']), max_size=6))
def test_lines_are_counted_as_they_are_read(lines: list[bytes]) -> None:
    """As many records as are read, good and bad, on the same lines; none is parsed."""
    with tempfile.TemporaryDirectory() as folder:
        file = the_file(Path(folder) / "x.jsonl", b"\n".join(lines))
        numbers = [line for line, _ in records_told(partial(read_jsonl, file), file.size)]
        assert records_told(partial(number_lines, file), file.size) == [(line, {}) for line in numbers]
