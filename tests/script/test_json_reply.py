"""The JSON of a reply: what is read of it, and what is never guessed."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchchat.core.bad import Bad
from batchchat.script.json_reply import MAX_DEPTH, JsonReading, read_json

A = {"a": 1}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', A),
        (' \n{"a": 1}\n', A),
        ('\ufeff{"a": 1}', A),
        ('"positive"', "positive"),
        ("3", 3),
        ("null", None),
        ('{"a": 123456789012345678901234567890}', {"a": 123456789012345678901234567890}),
        ('{"a": "\\ud800"}', {"a": "\ud800"}),
    ],
)
def test_a_reply_that_is_json_is_not_repaired(text: str, value: Any) -> None:
    """Nor are blanks around it, or a byte order mark."""
    assert read_json(text) == JsonReading((value,), repaired=False)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('```json\n{"a": 1}\n```', A),
        ('Here you are:\n\n```\n{"a": 1}\n```\nAnything else?', A),
        ('```json\n"positive"\n```', "positive"),
        ('```python\nprint({"b": 2})\n```\n```json\n{"a": 1}\n```', A),
        ('```text\nnone\n```\n{"a": 1}', A),
        ('```json\n{"a": 1}', A),
        ('Sure! {"a": 1} Let me know.', A),
        ('As [the paper] says: {"a": 1}', A),
        ('{"a": 1} and again {"a": 1}', A),
        ('<think>{"a": 2}? No.</think>{"a": 1}', A),
        ('It is {"a": 2}.</think>\n\n{"a": 1}', A),
        ('<thinking>hm</thinking>Well: {"a": 1}', A),
        ("{'a': 1}", A),
        ("{'a': \"it's\", 'b': None, 'c': True}", {"a": "it's", "b": None, "c": True}),
        ('{"a": 1,}', A),
        ('{"a": [1, 2, ], }', {"a": [1, 2]}),
        ('{a: 1, // one\n /* two */ b: "x"}', {"a": 1, "b": "x"}),
        ('{"a": "two\nlines"}', {"a": "two\nlines"}),
        ('{"a": "it\\\'s"}', {"a": "it's"}),
        ('{"a": {"b": "x"}', {"a": {"b": "x"}}),
        ('{"a": ["x", "y"', {"a": ["x", "y"]}),
        ('{"a": "x"', {"a": "x"}),
        ('{"a": true', {"a": True}),
        ('```json\n{"a": [{"b": "x"}]\n```', {"a": [{"b": "x"}]}),
        ('{"a": 1}}', A),
    ],
)
def test_what_leaves_no_doubt_is_repaired(text: str, value: Any) -> None:
    """Fences, prose, reasoning, the ways of Python and JavaScript, brackets that are missing at the end."""
    assert read_json(text) == JsonReading((value,), repaired=True)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('["x"] ' * 101, "has more than 100 JSON values in it"),
        ("", "is not JSON: Expecting value at line 1, column 1"),
        ("I can't do that.", "has no JSON object or list in it"),
        ('{"a": "x', "is not JSON: it breaks off at line 1, column 7"),
        ('{"a": 12', "is not JSON: it breaks off at line 1, column 9"),
        ('{"a": 1, ', "is not JSON: it breaks off at line 1, column 9"),
        ('{"a": 1, "b"', "is not JSON: it breaks off at line 1, column 13"),
        ('{"a": 1, "b":', "is not JSON: it breaks off at line 1, column 14"),
        ('{"a": [', "is not JSON: it breaks off at line 1, column 8"),
        ('{"a": "x, "b": "y"}', "is not JSON: 'b' at line 1 is no value"),
        ('{"a": {"b": 1} "c": 2}', "is not JSON: Expecting ',' delimiter"),
        ('{"person": {"name": "x"}, oops}', "is not JSON: 'oops' at line 1 is no value"),
        ('{"a": 1, "a": 2}', 'has the key "a" twice in one object'),
        ('Well: {"a": 1, "a": 2}', 'has the key "a" twice in one object'),
        ('{"a": NaN}', "is not JSON: 'NaN' at line 1 is no value"),
        ('{"a": 1e999}', "has a number that is none, or has no end"),
        ('{"a": [1}', "is not JSON: a } closes another bracket"),
        ('{"a": "\\alpha"}', "is not JSON: a string has an escape that is none"),
        ("[" * 100_000, "has no JSON object or list in it"),
        ("[" * 100_000 + "1", f"is nested more than {MAX_DEPTH} levels deep"),
        ("[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2), f"is nested more than {MAX_DEPTH} levels deep"),
        ('{"a":' * 100_000, f"is nested more than {MAX_DEPTH} levels deep"),
        ('<think>It may be {"a": 1}', "ends in its reasoning, which has no end"),
        ('x</think><think>{"a": 1}', "ends in its reasoning, which has no end"),
        (f'{{"a": {"9" * 5000}}}', "has a number that is none, or has no end"),
    ],
)
def test_what_is_open_is_not_guessed(text: str, problem: str) -> None:
    """A part of something unreadable is never taken for the whole; depth and digits have a bound."""
    reading = read_json(text)
    assert isinstance(reading, Bad)
    assert reading.sentence == problem


def test_several_values_are_all_returned() -> None:
    """The schema may tell which of them is meant."""
    assert read_json('As [1] says: {"a": 1} or {"a": 2}') == JsonReading(([1], {"a": 1}, {"a": 2}), repaired=True)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=50)
@given(JSON)
def test_json_is_read_as_it_is(value: Any) -> None:
    """Whatever it holds, and however it is indented."""
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=2)):
        assert read_json(text) == JsonReading((value,), repaired=False)


@settings(max_examples=50)
@given(
    st.dictionaries(st.text(), JSON, min_size=1, max_size=4), st.sampled_from(["Here: %s", "```json\n%s\n```", "%s."])
)
def test_what_surrounds_json_changes_none_of_it(value: dict[str, Any], around: str) -> None:
    """Fences and prose, with any characters in the strings."""
    text = json.dumps(value)
    assert read_json(around % text) == JsonReading((value,), repaired=True)


@settings(max_examples=50)
@given(st.dictionaries(st.text(max_size=3), JSON, min_size=1, max_size=3), st.integers(1, 60))
def test_json_that_is_cut_is_not_another(value: dict[str, Any], cut: int) -> None:
    """What is read of the beginning of JSON has no member that the whole does not have."""
    text = json.dumps(value)
    reading = read_json(text[: max(1, len(text) - cut)])
    if not isinstance(reading, Bad):
        (beginning,) = reading.values
        assert _is_part(beginning, value)


def _is_part(part: Any, whole: Any) -> bool:
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(name in whole and _is_part(part[name], whole[name]) for name in part)
    if isinstance(part, list) and isinstance(whole, list):
        return len(part) <= len(whole) and all(_is_part(a, b) for a, b in zip(part, whole, strict=False))
    return json.dumps(part) == json.dumps(whole)


@settings(max_examples=50)
@given(st.text(alphabet="{}[]\",:'\\ \n/*-1ae`<>think", max_size=60))
def test_any_text_has_an_end(text: str) -> None:
    """Nothing is raised, and what is read is JSON."""
    reading = read_json(text)
    if not isinstance(reading, Bad):
        json.dumps(reading.values, allow_nan=False)


@pytest.mark.parametrize("unit", ["[ ", "{a ", '{"a"/*', "```\n", "/*", '["x"] ', "<think>", "['"])
def test_hostile_text_takes_no_quadratic_time(unit: str) -> None:
    """Sixteen times the text takes far less than 256 times the time; measured in CPU of this thread."""

    def cpu_s(text: str) -> float:
        start = time.thread_time()
        read_json(text)
        return time.thread_time() - start

    short, long = (min(cpu_s(unit * count) for _ in range(3)) for count in (1_000, 16_000))
    assert long < 100 * max(short, 0.001)
