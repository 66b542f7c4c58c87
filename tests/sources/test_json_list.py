"""A list of objects in JSON as records."""

from __future__ import annotations

import gzip
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.core.bad import Bad
from batchchat.errors import InputError
from batchchat.sources.files import Record
from batchchat.sources.json_list import is_list, read_json
from tests.sources.folder import records_told, the_file

if TYPE_CHECKING:
    from tests.sources.folder import Folder


def records(path: Path, content: bytes, **sizes: int) -> list[Record]:
    file = the_file(path, content)
    return records_told(lambda on_progress: read_json(file, on_progress, **sizes), len(content))


def rows(folder: Folder, content: bytes) -> list[Record]:
    return records(folder.path / "x.json", content)


_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["", "]", '"', "\\", '\\"}', "[{", "\n", "é,"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "}", '"']), inner, max_size=3),
    max_leaves=6,
)
_objects = st.dictionaries(st.sampled_from(["a", "b", "]"]), _values, max_size=3)


@given(
    st.lists(_objects, max_size=6), st.sampled_from([None, 0, 2]), st.booleans(), st.sampled_from([1, 2, 7, 1 << 18])
)
def test_what_was_written_is_read(elements: list[Any], indent: int | None, mark: bool, block: int) -> None:
    """Each element is a record, by its number, however it is laid out and wherever the blocks fall."""
    content = (b"\xef\xbb\xbf" if mark else b"") + json.dumps(elements, indent=indent, ensure_ascii=False).encode()
    with tempfile.TemporaryDirectory() as name:
        sizes = {"block_bytes": max(block, 3)}  # the mark comes whole
        assert records(Path(name, "x.json"), content, **sizes) == list(enumerate(elements, 1))


@given(
    st.lists(st.sampled_from([b"{", b"}", b"[", b"]", b",", b'"', b"\\", b"1", b"\n", b" ", b"{}", b'{"a":1}']))
    .map(b"".join)
)  # fmt: skip
def test_any_bytes_are_records(content: bytes) -> None:
    """Nothing is raised, records are numbered from 1, and what is well-formed is read as JSON reads it."""
    with tempfile.TemporaryDirectory() as name:
        found = records(Path(name, "x.json"), b"[" + content)
    assert [number for number, _ in found] == list(range(1, len(found) + 1))
    try:
        expected = json.loads(b"[" + content)
    except ValueError:
        return
    assert [row for _, row in found if not isinstance(row, Bad)] == [row for row in expected if isinstance(row, dict)]
    assert len(found) == len(expected)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b'[{"a":1},]', [{"a": 1}]),
        (b'[{"a":1}\n{"a":2}]', [{"a": 1}, {"a": 2}]),
        (b'[{"a":1},,{"a":2}]', [{"a": 1}, "there is no element between two commas on line 1", {"a": 2}]),
        (
            b'[{"a":1},\n {"a": tru}, {"a":3}]',
            [{"a": 1}, "the element is not JSON: expecting value at line 2, column 8", {"a": 3}],
        ),
        (
            b'[\n {\n  "a": 1,\n  "b" 2\n },\n {"a":3}\n]',
            ["the element is not JSON: expecting ':' delimiter at line 4, column 7", {"a": 3}],
        ),
        (b'[{"a":"\xff"},{}]', ["the element on line 1 is not UTF-8: byte 7 is 0xff", {}]),
        (b'[\n1,"x",[2],null,{}]', [
            "the element on line 2 is 1, a number. It takes an object.",
            'the element on line 2 is "x", text. It takes an object.',
            "the element on line 2 is [2], a list. It takes an object.",
            "the element on line 2 is null. It takes an object.",
            {},
        ]),
        (b"[" + b"{}," + b"[" * 300 + b"]" * 300 + b",{}]",
         [{}, "the element on line 1 is nested more than 200 deep", {}]),
        (b'[{"a":1}},{"a":2}]',
         [{"a": 1}, "the file breaks off here: a bracket on line 1, column 9 closes what none has opened"]),
        (b'[{"a":1},\n{"a":"x},{}]',
         [{"a": 1}, "the file breaks off here: the element that begins on line 2, column 1 has no end"]),
        (b'[{"a":1},\n', [{"a": 1}, "the file breaks off here: its list is not closed"]),
        (b'[{"a":1}]\n[{"a":2}]', [{"a": 1}, "what begins on line 2 comes after the list's end and is not read"]),
        (b"[]", []),
        (b" \n", []),
        (b"", []),
    ],
)  # fmt: skip
def test_what_is_wrong_costs_its_element(folder: Folder, content: bytes, found: list[Any]) -> None:
    """A broken element whose brackets balance is one bad record, with its line; the next ones are used."""
    rows_found = [Bad(row) if isinstance(row, str) else row for row in found]
    assert rows(folder, content) == list(enumerate(rows_found, 1))


def test_a_break_is_a_bad_element(folder: Folder) -> None:
    """Where a packed file breaks off, the elements before are used, wherever it is cut."""
    elements = [{"n": n, "s": f"{n * 7919 % 10007:x}"} for n in range(200)]
    whole = gzip.compress(json.dumps(elements).encode())
    for cut in range(12, len(whole), 41):
        *good, broken = records(folder.path / "x.json.gz", whole[:cut])
        assert good == list(enumerate(elements[: len(good)], 1))
        assert broken == (len(good) + 1, Bad("the file breaks off here: the gzip stream ends too early"))


def test_an_element_longer_than_a_block(folder: Folder) -> None:
    """None is too long, up to a bound that keeps a bracket nobody closes from filling the memory."""
    value = {"a": 'x"]' * 1_500_000}
    content = json.dumps([value, {}]).encode()
    assert rows(folder, content) == [(1, value), (2, {})]
    too_long = Bad("the element is longer than 64 MiB, the most that a row may have")
    path = folder.path / "x.json"
    assert records(path, content, max_element_bytes=1 << 20) == [(1, too_long), (2, {})]
    for unclosed in (content[:-6], content.replace(b'"}', b"}")):
        *_, (number, broken) = records(path, unclosed, max_element_bytes=1 << 20)
        assert (number, broken) == (
            1,
            Bad("the file breaks off here: the element that begins on line 1, column 2 has no end"),
        )


@given(st.lists(_values | _objects, max_size=6), st.sampled_from([None, 1]), st.integers(1, 40), st.integers(1, 30))
def test_too_long_elements_cost_themselves(elements: list[Any], indent: int | None, limit: int, block: int) -> None:
    """Wherever their strings, escapes and brackets are cut by blocks, those behind are read as ever."""
    written = [json.dumps(element, indent=indent).encode() for element in elements]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.json"
        content = b"[" + b",\n".join(written) + b"]"
        whole = records(path, content, block_bytes=block)
        bounded = records(path, content, block_bytes=block, max_element_bytes=limit)
    assert [number for number, _ in bounded] == [number for number, _ in whole]
    for text, (_, row), (_, expected) in zip(written, bounded, whole, strict=True):
        assert row == (
            expected if len(text) <= limit else Bad("the element is longer than 64 MiB, the most that a row may have")
        )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'\xef\xbb\xbf\n [{"a":1}]', True),
        (b"", True),
        (b'{"a":1}\n{"a":2}', False),
        (b'{"a":1}', False),
        (b'\n{"a":1}\r\n{"a', False),
        (
            b'{\n "a": [{}]\n}',
            "x.json is one object, not a list of rows. It takes [{...}, {...}], or one object a line.",
        ),
        (
            b"id,prompt\n",
            'x.json begins with "i", which is no list of rows. It takes [{...}, {...}], or one object a line.',
        ),
    ],
)
def test_what_a_json_file_holds(folder: Folder, content: bytes, said: bool | str) -> None:
    """JSON lines go by this name too; one object is told with the way out."""
    file = the_file(folder.path / "x.json", content)
    if isinstance(said, bool):
        assert is_list(file) is said
        return
    with pytest.raises(InputError) as caught:
        is_list(file)
    assert str(caught.value) == said
