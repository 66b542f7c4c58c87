"""A conversation in ShareGPT's turns is read back as it was, or is not written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.core.bad import Bad
from batchchat.results.sharegpt_turns import as_read_back, sharegpt_turns
from batchchat.sources.sharegpt import parse_sharegpt

texts = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(["[1, 2]", '["a", "b"]', "{}", "null"])
functions = st.fixed_dictionaries(
    {"name": texts, "arguments": st.dictionaries(texts, st.integers() | texts | st.booleans(), max_size=2) | texts}
)


@st.composite
def sharegpt(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Turns as datasets have them: a system message, questions, answers, calls with their results."""
    turns: list[dict[str, Any]] = []
    if draw(st.booleans()):
        turns.append({"from": "system", "value": draw(texts)})
    for _ in range(draw(st.integers(1, 3))):
        turns.append({"from": "human", "value": draw(texts)})
        if draw(st.booleans()):
            calls = draw(st.lists(functions, min_size=1, max_size=3))
            turns.append({"from": "function_call", "value": json.dumps(calls if len(calls) > 1 else calls[0])})
            results = draw(st.lists(texts, min_size=len(calls), max_size=len(calls)))
            turns.append({"from": "observation", "value": json.dumps(results) if len(calls) > 1 else results[0]})
        turns.append({"from": "gpt", "value": draw(texts)})
    return turns


@given(turns=sharegpt())
def test_a_sharegpt_conversation_comes_back(turns: list[dict[str, Any]]) -> None:
    """Read, written and read again it is the same, to the ids of its calls."""
    messages = parse_sharegpt(turns, "conversations")
    assert not isinstance(messages, Bad)
    written = sharegpt_turns(messages)
    assert written is not None
    assert parse_sharegpt(written, "conversations") == messages


calls = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.sampled_from(["a", "b", "call_2", "call_1"]),
            "type": st.just("function"),
            "function": st.fixed_dictionaries({"name": texts, "arguments": texts}),
        }
    ),
    max_size=3,
)
any_message = st.one_of(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "developer", "user", "assistant", "tool"]), "content": texts | st.none()},
        optional={"name": texts, "tool_call_id": st.sampled_from(["a", "b", "call_1"]), "x": texts},
    ),
    st.fixed_dictionaries(
        {"role": st.just("assistant"), "content": texts | st.none(), "tool_calls": calls},
    ),
    st.fixed_dictionaries({"role": st.just("tool"), "content": texts, "tool_call_id": st.sampled_from(["a", "b"])}),
)


@given(messages=st.lists(any_message, min_size=1, max_size=6))
def test_any_conversation_comes_back_or_is_not_written(messages: list[dict[str, Any]]) -> None:
    """Whatever stands in it, nothing is changed on the way but the ids of calls and the blanks in arguments."""
    turns = sharegpt_turns(messages)
    if turns is not None:
        assert parse_sharegpt(turns, "conversations") == as_read_back(messages)


CALL = {"id": "x7", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Bonn"}'}}


def test_how_calls_are_written() -> None:
    """As LLaMA-Factory has them: one turn of calls, one of their results."""
    other = {**CALL, "id": "x8"}
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "content": "7", "tool_call_id": "x7"},
        {"role": "assistant", "content": "", "tool_calls": [CALL, other]},
        {"role": "tool", "content": "8", "tool_call_id": "x7"},
        {"role": "tool", "content": "9", "tool_call_id": "x8"},
        {"role": "assistant", "content": "Mild."},
    ]
    one = '{"name":"weather","arguments":{"city":"Bonn"}}'
    assert sharegpt_turns(messages) == [
        {"from": "human", "value": "Weather?"},
        {"from": "function_call", "value": one},
        {"from": "observation", "value": "7"},
        {"from": "function_call", "value": f"[{one},{one}]"},
        {"from": "observation", "value": '["8","9"]'},
        {"from": "gpt", "value": "Mild."},
    ]
    numbered = as_read_back(messages)
    assert [numbered[2]["tool_call_id"], numbered[5]["tool_call_id"]] == ["call_1", "call_3"]


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {"role": "developer", "content": "Be brief."},
        {"role": "assistant", "content": "Let me see.", "tool_calls": [CALL]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "custom", "custom": {"input": "x"}}]},
        {"role": "user", "content": "Hi", "cache_control": {"type": "ephemeral"}},
    ],
)
def test_what_turns_cannot_hold(message: dict[str, Any]) -> None:
    """Is not written."""
    assert sharegpt_turns([message]) is None
