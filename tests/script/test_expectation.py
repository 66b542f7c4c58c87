"""What becomes of a reply that is expected to be something."""

from __future__ import annotations

import time
from typing import Any

import pytest

from batchchat.core.attempt import Parsed, Reply
from batchchat.script.expectation import Expectation, ReplyCheck
from batchchat.script.json_schema import SEARCH_S, SchemaCheck, TimeLimitedSearch

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"label": {"type": "string", "pattern": "^[a-z]+$"}, "score": {"type": "integer", "maximum": 10}},
    "required": ["label"],
}
TOO_LONG = "took too long to search the reply: it may try the same text in ways without end"
AGAIN = "Reply again with the JSON alone, without any other text."


def check(text: str | None, schema: Any = SCHEMA, matches: str | None = None, **reply: Any) -> ReplyCheck:
    return Expectation(schema, matches).check(Reply(text, **{"finish_reason": "stop", **reply}), 64)


def test_a_reply_that_fits() -> None:
    """With its value, and whether it was repaired."""
    assert check('{"label": "a"}') == ReplyCheck(Parsed({"label": "a"}))
    assert check('As [1] says: {"label": "a"}') == ReplyCheck(Parsed({"label": "a"}, repaired=True))
    assert check("null", {}) == ReplyCheck(Parsed(None))
    assert check("yes", None, "^(yes|no)$") == ReplyCheck()


@pytest.mark.parametrize(
    ("text", "problem", "words"),
    [
        (
            '{"score": 11}',
            "does not fit the schema: $.score: 11 is greater than the maximum of 10 (and 1 more)",
            "does not fit the JSON Schema that was asked for:\n- $.score: 11 is greater than the maximum of 10\n"
            f"- $: 'label' is a required property\n{AGAIN}",
        ),
        (
            '{"label": "A"}',
            "does not fit the schema: $.label: 'A' does not match '^[a-z]+$'",
            "does not fit the JSON Schema that was asked for:\n- $.label: 'A' does not match '^[a-z]+$'\n" + AGAIN,
        ),
        ("No.", "has no JSON object or list in it", f"has no JSON object or list in it. {AGAIN}"),
        (
            '{"label": "a"} or {"label": "b"}',
            "has 2 JSON values that fit the schema",
            f"has 2 JSON values that fit the schema. {AGAIN}",
        ),
        (
            "[1] [2]",
            "has 2 JSON values and none fits the schema",
            f"has 2 JSON values and none fits the schema. {AGAIN}",
        ),
    ],
)
def test_a_reply_that_does_not_fit(text: str, problem: str, words: str) -> None:
    """The user gets the first error, the model all of them."""
    assert check(text) == ReplyCheck(None, f"the reply {problem}", f"Your reply {words}")


@pytest.mark.parametrize(
    ("text", "reply", "problem"),
    [
        ('{"label": "a', {"finish_reason": "length"}, "was cut off at its token limit (64): raise `max_tokens`"),
        ('{"label": "a"', {"finish_reason": "length"}, "was cut off at its token limit (64): raise `max_tokens`"),
        (None, {"refusal": "I can't."}, "has no text: the model refused: I can't."),
        (None, {"tool_calls": [{}]}, "has no text: it has 1 tool call"),
        (" ", {"parts": [{}]}, "has no text: it has images or audio"),
    ],
)
def test_what_asking_again_would_not_change(text: str | None, reply: dict[str, Any], problem: str) -> None:
    """It is told as what it is."""
    assert check(text, **reply) == ReplyCheck(problem=f"the reply {problem}")


def test_a_whole_reply_at_its_token_limit_fits() -> None:
    """It ended just there."""
    assert check('{"label": "a"}', finish_reason="length") == ReplyCheck(Parsed({"label": "a"}))


def test_patterns_are_bounded_in_time() -> None:
    """In the schema and in `matches`; what is bounded is the sum over a reply."""
    start = time.thread_time()
    text = "x" * 60 + "!"
    schema = {"items": {"pattern": "(x|xx)+$"}, "type": "array"}
    result = check(f'["{text}", "{text}"]', schema)
    assert result == ReplyCheck(problem=f"a `pattern` of `expect.json_schema` {TOO_LONG}")
    keys = {"patternProperties": {"(x|xx)+$": {}}, "additionalProperties": False}
    assert check(f'{{"{text}": 1}}', keys) == result
    assert check(text, None, "(x|xx)+$").problem == f"`expect.matches` {TOO_LONG}"
    assert time.thread_time() - start < 20 * SEARCH_S


@pytest.mark.parametrize(
    ("schema", "value", "valid"),
    [
        ({"patternProperties": {"^a": {"type": "integer"}}, "additionalProperties": False}, {"ab": 1}, True),
        ({"patternProperties": {"^a": {"type": "integer"}}, "additionalProperties": False}, {"ab": "1"}, False),
        ({"patternProperties": {"^a": {}}, "additionalProperties": False}, {"b": 1}, False),
        ({"patternProperties": {"^a": {}}, "additionalProperties": {"type": "string"}}, {"b": 1}, False),
        ({"patternProperties": {"^a": {}}, "additionalProperties": {"type": "string"}}, {"b": "1"}, True),
        ({"additionalProperties": False, "properties": {"a": {}}}, {"b": 1}, False),
        ({"uniqueItems": True}, [1, 2], True),
        ({"uniqueItems": True}, [1, 1.0], False),
        ({"uniqueItems": True}, [{"a": n} for n in range(60)], True),
        ({"uniqueItems": True}, [*({"a": n} for n in range(60)), {"a": 1.0}], False),
        ({"multipleOf": 0.1}, 10**400, False),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}, "x", True),
        ({"format": "date"}, "no date", True),  # an annotation, as the standard has it
    ],
)
def test_the_validator(schema: Any, value: Any, *, valid: bool) -> None:
    """The keywords of our own do as the library's."""
    assert (SchemaCheck(schema, _search()).errors(value) == []) is valid


def _search() -> TimeLimitedSearch:
    search = TimeLimitedSearch()
    search.begin(0)
    return search


def test_what_is_expected_has_a_hash() -> None:
    """Of its content, whatever the order of its keys."""
    salts = [Expectation(*content).salt for content in ((SCHEMA, None), (SCHEMA, "a"), (None, "a"), ({}, None))]
    assert len(set(salts)) == 4
    assert Expectation(dict(reversed(SCHEMA.items())), None).salt == salts[0]


def test_the_check_against_a_schema_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two ways at each level are 65,536 at 16 levels; the event loop waits meanwhile."""
    monkeypatch.setattr("batchchat.script.json_schema.CHECK_S", 0.05)
    level = {"type": "array", "items": {"$ref": "#/$defs/n"}}
    schema = {"$defs": {"n": {"anyOf": [level, level, {"type": "string"}]}}, "$ref": "#/$defs/n"}
    check = Expectation(schema, None).check(Reply("[" * 16 + "1" + "]" * 16, "stop"))
    assert check.problem == "the reply takes too long to check against `expect.json_schema`"
    assert check.words is None
