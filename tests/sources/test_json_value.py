"""One JSON text to a value, and values shown."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchchat.sources.json_value import (
    RepeatedKeyError,
    describe,
    list_columns,
    parse,
    parse_object,
    parse_text,
    short_json,
)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b'{"a":', "is not JSON: expecting value at column 6"),
        (b'{"a":1} x', "is not JSON: extra data at column 9"),
        (b'["\xc3"]', "is not UTF-8: byte 3 is 0xc3"),
        *((b"[" * depth + b"]" * depth, "is nested more than 200 deep") for depth in (201, 255, 600, 898)),
        (b"[" * 100_000, "can't be read: nested too deeply"),
        (b"1" * 5000, "can't be read: exceeds the limit (4300 digits)"),
    ],
)
def test_what_is_wrong_is_said(data: bytes, error: str) -> None:
    """The fragment names what is wrong and where."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 -- compared in full below
        parse(data)
    assert str(caught.value) == error


@pytest.mark.parametrize("data", [b"[" * 200 + b"]" * 200, b"[" + b"[{}]," * 500 + b"1]"])
def test_many_brackets_alone_are_no_fault(data: bytes) -> None:
    """Only depth is refused."""
    assert parse(data) == json.loads(data)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (7, "7, a number"),
        (0.5, "0.5, a number"),
        ("robot", '"robot", text'),
        ("a\nb", '"a\\nb", text'),
        ("\ud800", '"\ufffd", text'),
        ([1], "[1], a list"),
        ({"a": 1}, '{"a":1}, an object'),
        ("x" * 100, '"' + "x" * 58 + "…, text"),
    ],
)
def test_values_are_said(value: Any, text: str) -> None:
    """A value stands as JSON, with a word for what it is."""
    assert describe(value) == text


@given(st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=50))
def test_what_is_shown_is_short(value: Any) -> None:
    """Nothing longer than 60 characters is ever shown, on one line."""
    assert len(short_json(value)) <= 60
    assert "\n" not in short_json(value)


def test_names_are_listed() -> None:
    """The first eight stand in full."""
    assert list_columns([]) == "no column"
    assert list_columns(["a"]) == "`a`"
    assert list_columns("abcdefgh") == "`a`, `b`, `c`, `d`, `e`, `f`, `g`, `h`"
    assert list_columns("abcdefghij") == "`a`, `b`, `c`, `d`, `e`, `f`, `g`, `h` and 2 more"


_nested: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.integers(0, 3) | st.sampled_from(["content", '"content"', "prompt"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["content", "messages", "prompt", "a"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["content", "messages", "prompt"]), _nested, max_size=3))
def test_what_has_each_key_once_is_an_object(value: dict[str, Any]) -> None:
    """However often a word stands in a row, it is refused only where one object has a key twice."""
    assert parse_object(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b'{"messages":[{"content":"a"}],"messages":[]}', "messages"),
        (b'{"messages":[],"messages":[{"content":"a"},{"content":"b"}]}', "messages"),
        (b'{"messages":[{"content":"a"}],"messages":[{"content":"b"}]}', "messages"),
        (b'{"messages":[{"content":"a","content":"b"}]}', "messages[0].content"),
        (b'{"messages":[{"role":"user","role":"system","content":"b"}]}', "messages[0].role"),
        (b'{"conversations":[{"from":"human","value":"a", "value" :"b"}]}', "conversations[0].value"),
        (b'{"custom_id":"1","custom_id":"2","body":{}}', "custom_id"),
        (b'{"body":{"a":1},"body":{"a":1}}', "body"),
        (b'{"body":{"temperature":0,"temperature":1}}', "body.temperature"),
        (b'{"a\\u0022":"\\u0022","b":{"c":1,"\\u0063":2}}', "b.c"),
        (b'{"a":{"' + b"k" * 100 + b'":1,"' + b"k" * 100 + b'":1}}', "\u2026" + "k" * 59),
        (b'{"prompt":"a","prompt":"b"}', "prompt"),
        (b'{"messages":[{"content":"a"}],"n":1,"n":2}', "n"),
    ],
)
def test_no_value_is_lost_to_a_key_that_stands_twice(data: bytes, name: str) -> None:
    """At any level, however it is spelt; the path of the key is said."""
    with pytest.raises(RepeatedKeyError) as caught:
        parse_object(data)
    assert str(caught.value) == f"has the key `{name}` twice in one object. Leave one out."


_spellings = (
    "a",
    "b",
    ":",
    "{",
    "[",
    "é",
    "\\u0061",
    "\\u00e9",
    '\\"',
    "\\u0022",
    "\\\\",
    "\\u005c",
    "\\/",
    "\\ud83d\\udc4d",
    "\\ud800",
)


_strings = st.lists(st.sampled_from(_spellings), max_size=3).map(lambda parts: f'"{"".join(parts)}"')
_spaces = st.sampled_from(["", "", " ", "\n\t "])
_members = st.lists(st.tuples(_strings, _spaces), max_size=4)


def _object(names: list[tuple[str, str]], values: list[str]) -> str:
    members = (f"{name}{space}:{space}{value}" for (name, space), value in zip(names, values * 4, strict=False))
    return "{" + ",".join(members) + "}"


_texts: st.SearchStrategy[str] = st.recursive(
    _strings | st.sampled_from(["1", "-0", "1e5", "12345678901234567890123", "null", "NaN"]),
    lambda inner: (
        st.builds(lambda values: f"[{', '.join(values)}]", st.lists(inner, max_size=3))
        | st.builds(_object, _members, st.lists(inner, min_size=1, max_size=4))
    ),
    max_leaves=10,
)


@given(_texts)
@example('{"a":1,"a":"\\u0022\\u0022"}')
def test_a_key_that_stands_twice_is_found_as_by_looking_at_each(text: str) -> None:
    """However texts are spelt, the verdict is that of a reader which compares the keys of each object."""
    repeats = False

    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeats
        repeats = repeats or len(dict(members)) < len(members)
        return dict(members)

    value = json.loads(text, object_pairs_hook=pairs)
    try:
        parsed = parse(text.encode())
    except RepeatedKeyError:
        assert repeats
    else:
        assert not repeats
        assert repr(parsed) == repr(value)


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":"\\u0022:","b":1}',
        b'{"a\\\\":1,"a":2}',
        b'{"a":"\\":","b" : "x\\\\"}',
        b'{"a":NaN,"b":"\\ud800","c":123456789012345678901234567890}',
        '{"a\u00e9":"\\u00e9","a":{"a":[{"a":"\u2026"}]}}'.encode(),
    ],
)
def test_quotes_and_escapes_alone_are_no_fault(data: bytes) -> None:
    """Only a key that stands twice is."""
    assert repr(parse_object(data)) == repr(json.loads(data))


@pytest.mark.parametrize(
    ("text", "is_python"),
    [
        ("[{'role': 'user', 'content': 'hi'}]", True),
        ("{'temperature': 0}", True),
        ("array([{'role': 'user'}], dtype=object)", False),
        ("[{'role': 'user'}\n {'role': 'user'}]", True),
        ("['a']", True),
        ("hello 'you'", False),
        ("{\"a\": 'b'}", False),
    ],
)
def test_what_python_shows_is_no_json(text: str, *, is_python: bool) -> None:
    """Pandas writes a list in a cell of CSV as `repr` does."""
    with pytest.raises(ValueError, match="is not JSON") as caught:
        parse_text(text)
    assert ("json.dumps" in str(caught.value)) is is_python
