"""Whether a conversation can be sent."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.core.bad import Bad
from batchchat.core.conversation import ROLES
from batchchat.sources.conversations import check_messages

U = {"role": "user", "content": "hi"}
CALL = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
TAKES = "It takes system, developer, user, assistant or tool."
LIST = 'It takes a list of messages: [{"role": "user", "content": "..."}].'
PARTS = "It takes text or a list of parts."


@pytest.mark.parametrize(
    "messages",
    [
        [U],
        [{"role": "system", "content": "s"}, U],
        [{"role": "developer", "content": "s"}, U],
        [U, {"role": "assistant", "content": "a"}, U],
        [U, CALL, {"role": "tool", "content": "4", "tool_call_id": "1"}],
        [U, {"role": "assistant", "tool_calls": [{}]}, {"role": "tool", "content": ""}],
        [U, {"role": "assistant", "content": None, "refusal": "no"}, U],
        [
            U,
            {"role": "assistant", "content": None, "function_call": {"name": "f"}},
            {"role": "function", "content": "1"},
        ],
        [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}], "name": "x", "odd": 1}],
        [{"role": "user", "content": ""}],
        [U, {"role": "assistant", "content": None, "audio": {"id": "audio_1"}}, U],
        [U, {"role": "assistant", "content": "a"}],
    ],
)
def test_what_can_be_sent(messages: list[Any]) -> None:
    """Known roles with text, parts, or something in place of content; other keys are no concern."""
    assert check_messages(messages, "messages") is None


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        (None, f"`m` is null. {LIST}"),
        ("x", f'`m` is "x", text. {LIST}'),
        ({}, f"`m` is {{}}, an object. {LIST}"),
        ([], "`m` is empty"),
        (["x"], '`m[0]` is "x", text. It takes an object with role and content.'),
        ([U, {"content": "x"}], f"`m[1].role` is missing. {TAKES}"),
        ([U, U, {"role": "robot", "content": "x"}], f'`m[2].role` is "robot", text. {TAKES}'),
        ([{"role": "User", "content": "x"}], f'`m[0].role` is "User", text. {TAKES}'),
        ([{"role": ["user"], "content": "x"}], f'`m[0].role` is ["user"], a list. {TAKES}'),
        ([{"role": None, "content": "x"}], f"`m[0].role` is null. {TAKES}"),
        ([{"role": "user"}], f"`m[0].content` is missing. {PARTS}"),
        ([{"role": "user", "content": None}], f"`m[0].content` is null. {PARTS}"),
        ([{"role": "tool", "content": None, "tool_calls": [1]}], f"`m[0].content` is null. {PARTS}"),
        ([{"role": "assistant", "content": None}, U], f"`m[0].content` is null. {PARTS}"),
        ([{"role": "assistant", "content": None, "tool_calls": []}, U], f"`m[0].content` is null. {PARTS}"),
        ([{"role": "user", "content": 7}], f"`m[0].content` is 7, a number. {PARTS}"),
        ([{"role": "user", "content": []}], f"`m[0].content` is an empty list. {PARTS}"),
        ([{"role": "user", "content": [{}, "x"]}], '`m[0].content` holds "x", text. Each part takes an object.'),
        ([{"role": "user", "content": [None]}], "`m[0].content` holds null. Each part takes an object."),
    ],
)
def test_what_cannot_be_sent(messages: Any, error: str) -> None:
    """The sentence names the message, the field, the value and what it takes."""
    problem = check_messages(messages, "m")
    assert isinstance(problem, Bad)
    assert problem.sentence == error


_any: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.sampled_from(sorted(ROLES)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["role", "content", "tool_calls", "x"]), inner, max_size=4)
    ),
    max_leaves=10,
)


@given(_any)
def test_any_value_is_judged(value: Any) -> None:
    """Whatever stands in the column, there is a short sentence or none."""
    problem = check_messages(value, "messages")
    if problem is None:
        assert value[-1]["role"] in ROLES
    else:
        assert len(problem.sentence) < 200
