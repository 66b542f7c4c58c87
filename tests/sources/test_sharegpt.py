"""ShareGPT conversations."""

from __future__ import annotations

from typing import Any

import pytest

from batchchat.core.bad import Bad
from batchchat.sources.formats import RowRequest, format_of, match_format
from batchchat.sources.sharegpt import parse_sharegpt
from tests.sources.folder import Folder, user

TOOL = {"type": "function", "function": {"name": "f"}}
TAKES = (
    "It takes system, human, gpt, function_call or observation (or user, assistant, chatgpt, model, tool, function)."
)


def said(*turns: tuple[str, str], weight: int | None = None) -> list[dict[str, Any]]:
    mark = {} if weight is None else {"weight": weight, "loss": True}
    return [{"from": speaker, "value": value, **mark} for speaker, value in turns]


@pytest.mark.parametrize(
    ("turns", "roles"),
    [
        (said(("human", "a")), ["user"]),
        (said(("system", "s"), ("human", "a"), ("gpt", "b"), ("human", "c"), weight=1),
         ["system", "user", "assistant", "user"]),
        (said(("User", "a"), ("ChatGPT", "b"), ("user", "c")), ["user", "assistant", "user"]),
        (said(("user", "a"), ("assistant", "b"), ("tool", "c")), ["user", "assistant", "tool"]),
        (said(("human", "a"), ("model", "b"), ("function", "c")), ["user", "assistant", "tool"]),
        (said(("human", "a"), ("gpt", "b"), ("observation", "c")), ["user", "assistant", "tool"]),
        ([{"role": "user", "content": "a", "train": False}], ["user"]),
        ([{"role": "user", "content": [{"type": "text", "text": "a"}]}], ["user"]),
        ([{"from": "human", "role": "assistant", "value": "a"}], ["user"]),
    ],
)  # fmt: skip
def test_both_spellings_are_messages(turns: list[Any], roles: list[str]) -> None:
    """Who speaks has one name of the endpoint's; nothing but role and content is sent."""
    messages = parse_sharegpt(turns, "conversations")
    assert not isinstance(messages, Bad)
    assert [message["role"] for message in messages] == roles
    assert [message["content"] for message in messages] == [t["value"] if "value" in t else t["content"] for t in turns]
    assert all(set(message) == {"role", "content"} for message in messages)


@pytest.mark.parametrize(
    ("turns", "error"),
    [
        ("hello", '`c` is "hello", text. It takes a list of {from, value}.'),
        ([], "`c` is empty"),
        ([7], "`c[0]` is 7, a number. It takes an object with from and value."),
        ([{"value": "a"}], f"`c[0].from` is missing. {TAKES}"),
        ([*said(("human", "a")), *said(("narrator", "b"))], f'`c[1].from` is "narrator", text. {TAKES}'),
        ([{"role": None, "content": "a"}], f"`c[0].role` is null. {TAKES}"),
        ([{"from": "human"}], "`c[0].value` is missing. It takes text."),
        ([{"from": "human", "value": ["a"]}], '`c[0].value` is ["a"], a list. It takes text.'),
        ([{"from": "human", "value": None}], "`c[0].value` is null. It takes text."),
        ([{"role": "user", "content": 7}], "`c[0].content` is 7, a number. It takes text."),
        ([{"role": "user", "content": []}], "`c[0].content` is an empty list. It takes text or a list of parts."),
        (
            said(("human", "a"), ("function_call", "weather(Bonn)")),
            "`c[1].value` is not JSON: expecting value at column 1. A function_call holds"
            ' {"name": ..., "arguments": {...}}, or a list of these.',
        ),
        (
            said(("human", "a"), ("function_call", "[]")),
            '`c[1].value` is "[]", text. A function_call holds {"name": ..., "arguments": {...}}, or a list of these.',
        ),
    ],
)
def test_what_cannot_be_asked(turns: Any, error: str) -> None:
    """The sentence names the turn, the field and the value."""
    problem = parse_sharegpt(turns, "c")
    assert isinstance(problem, Bad)
    assert problem.sentence == error


@pytest.mark.parametrize(
    ("columns", "column", "name", "by"),
    [
        ({"conversations": said(("human", "a"))}, None, "sharegpt", "conversations"),
        ({"conversations": user("a"), "prompt": "b"}, None, "sharegpt", "conversations"),
        ({"messages": said(("human", "a"))}, None, "sharegpt", "messages"),
        ({"messages": user("a"), "conversations": said(("human", "a"))}, None, "messages", "messages"),
        ({"chat": said(("human", "a"))}, "chat", "sharegpt", "chat"),
        ({"chat": user("a")}, "chat", "messages", "chat"),
        ({"chat": '[{"from":"human","value":"a"}]'}, "chat", "sharegpt", "chat"),
    ],
)
def test_it_is_recognised(columns: dict[str, Any], column: str | None, name: str, by: str) -> None:
    """By the column's name, or by a message that says `from`."""
    found = match_format(columns, column)
    assert found is not None
    assert (found[0].name, found[0].columns, found[1]) == (name, (by,), f"the column `{by}`")
    assert isinstance(found[0].parse(columns), RowRequest)


def test_it_is_a_format_of_rows(folder: Folder) -> None:
    """A row's conversation may be JSON text, and a row without one says so."""
    turns = said(("human", "a"))
    assert format_of("sharegpt", None).parse({"conversations": turns}) == RowRequest(user("a"), {}, None)
    problem = format_of("sharegpt", None).parse({"c": 1})
    assert isinstance(problem, Bad)
    assert problem.sentence == "`conversations` is missing. There is `c`."
    folder.write("x.parquet", [{"id": 1, "conversations": turns}])
    source = folder.open("x.parquet", id="id")
    assert source.description == "sharegpt conversations from x.parquet"
    assert [getattr(row, "messages", None) for row in source.read()] == [user("a")]


def test_calls_and_observations(folder: Folder) -> None:
    """A function_call turn is the assistant's tool calls, an observation the result of the one before, by its id."""
    call = '{"name": "weather", "arguments": {"city": "Bonn"}}'
    turns = said(("human", "a"), ("function_call", call), ("observation", "7"), ("gpt", "b"), ("tool", "8"))
    messages = parse_sharegpt(turns, "c")
    assert messages == [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": None, "tool_calls": [weather("call_1", '{"city":"Bonn"}')]},
        {"role": "tool", "content": "7", "tool_call_id": "call_1"},
        {"role": "assistant", "content": "b"},
        {"role": "tool", "content": "8"},
    ]


@pytest.mark.parametrize("results", [['["7","8"]'], ["7", "8"]])
def test_calls_at_once(results: list[str]) -> None:
    """Each has its own result, whether the observations are one list or a turn each."""
    calls = '[{"name": "weather", "arguments": "{}"}, {"name": "weather"}]'
    messages = parse_sharegpt(
        said(("human", "a"), ("function_call", calls), *(("observation", result) for result in results)), "c"
    )
    assert not isinstance(messages, Bad)
    assert [call["id"] for call in messages[1]["tool_calls"]] == ["call_1", "call_2"]
    assert messages[2:] == [
        {"role": "tool", "content": "7", "tool_call_id": "call_1"},
        {"role": "tool", "content": "8", "tool_call_id": "call_2"},
    ]


def weather(id_: str, arguments: str) -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": "weather", "arguments": arguments}}


def test_what_a_message_knows_is_kept_of_a_turn() -> None:
    """Tool calls of turns in the newer form are not dropped; marks of a training are."""
    calls = [weather("x", "{}")]
    turns = [
        {"role": "user", "content": "a", "train": False, "name": "bob"},
        {"role": "assistant", "content": None, "tool_calls": calls, "weight": 0},
        {"role": "tool", "content": "7", "tool_call_id": "x"},
    ]
    assert parse_sharegpt(turns, "c") == [
        {"role": "user", "content": "a", "name": "bob"},
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "content": "7", "tool_call_id": "x"},
    ]


@pytest.mark.parametrize(
    ("beside", "system", "params"),
    [
        ({}, None, {}),
        ({"system": "", "tools": ""}, None, {}),
        ({"system": None, "tools": "[]"}, None, {}),
        ({"system": "s", "tools": '[{"name": "f"}]'}, "s", {"tools": [TOOL]}),
        ({"tools": [TOOL]}, None, {"tools": [TOOL]}),
    ],
)  # fmt: skip
def test_columns_beside_the_conversation(beside: dict[str, Any], system: str | None, params: dict[str, Any]) -> None:
    """`system` is its system message, `tools` its tools, in OpenAI's form."""
    request = format_of("sharegpt", None).parse({"conversations": said(("human", "a")), **beside})
    first = [] if system is None else [{"role": "system", "content": system}]
    assert request == RowRequest([*first, *user("a")], params, None)


def test_a_system_turn_wins_over_the_column() -> None:
    """As in LLaMA-Factory: the column is of conversations that have none."""
    turns = said(("system", "own"), ("human", "a"))
    request = format_of("sharegpt", None).parse({"conversations": turns, "system": "column"})
    assert isinstance(request, RowRequest)
    assert [message["content"] for message in request.messages] == ["own", "a"]


@pytest.mark.parametrize(
    ("beside", "error"),
    [
        ({"system": 7}, "`system` is 7, a number. It takes text."),
        ({"tools": "weather"}, "`tools` is not JSON: expecting value at column 1"),
        ({"tools": '{"name": "f"}'}, '`tools` is "{"name": "f"}", text. It takes a list.'),
    ],
)
def test_columns_beside_it_that_cannot_be_sent(beside: dict[str, Any], error: str) -> None:
    """The row is invalid: without them the answer would be another one."""
    problem = format_of("sharegpt", None).parse({"conversations": said(("human", "a")), **beside})
    assert isinstance(problem, Bad)
    assert problem.sentence == error
