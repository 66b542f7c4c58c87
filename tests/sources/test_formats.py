"""Where a row's conversation stands, and what else it asks for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from batchchat.core.bad import Bad
from batchchat.sources.conversations import drop_null_keys
from batchchat.sources.formats import RowRequest, format_of, match_format
from tests.sources.folder import user

HI = user("hi")


@pytest.mark.parametrize(
    ("name", "column", "columns", "asked"),
    [
        ("messages", None, {"messages": HI, "model": "m"}, RowRequest(HI, {}, None, plain=True)),
        ("messages", None, {"messages": json.dumps(HI)}, RowRequest(HI, {}, None, plain=True)),
        ("messages", "chat", {"chat": HI, "messages": 0}, RowRequest(HI, {}, None, plain=True)),
        ("prompt", None, {"prompt": "hi"}, RowRequest(HI, {}, None, plain=True)),
        ("prompt", "q", {"q": "hi"}, RowRequest(HI, {}, None, plain=True)),
        ("openai-batch", "q", {"body": {"messages": HI}}, RowRequest(HI, {}, None, plain=True)),
        (
            "openai-batch",
            None,
            {"body": {"messages": HI, "model": "m", "seed": 0}, "url": "/v1/chat/completions", "method": "POST"},
            RowRequest(HI, {"seed": 0}, "m", plain=True),
        ),
        (
            "openai-batch",
            None,
            {"body": json.dumps({"messages": HI, "stream": False})},
            RowRequest(HI, {"stream": False}, None, plain=True),
        ),
    ],
)
def test_what_a_row_asks(name: str, column: str | None, columns: dict[str, Any], asked: RowRequest) -> None:
    """Each format gives conversation, parameters and model, and leaves the columns as they were."""
    before = json.dumps(columns)
    assert format_of(name, column).parse(columns) == asked
    assert json.dumps(columns) == before


@pytest.mark.parametrize(
    ("name", "columns", "error"),
    [
        ("messages", {"id": 1, "text": "x"}, "`messages` is missing. There is `id`, `text`."),
        ("messages", {}, "`messages` is missing. There is no column."),
        (
            "messages",
            {"messages": "hi"},
            "`messages` is not JSON: expecting value at column 1."
            " `input.format: prompt` with `input.column: messages` sends text as it is.",
        ),
        ("messages", {"messages": "\ud800"}, "`messages` is not UTF-8: byte 1 is 0xed"),
        ("messages", {"messages": []}, "`messages` is empty"),
        ("prompt", {"text": "x"}, "`prompt` is missing. There is `text`."),
        ("prompt", {"prompt": 7}, "`prompt` is 7, a number. It takes text."),
        ("prompt", {"prompt": None}, "`prompt` is null. It takes text."),
        ("prompt", {"prompt": " \n"}, "`prompt` is empty"),
        ("openai-batch", {"custom_id": "1"}, "`body` is missing. There is `custom_id`."),
        ("openai-batch", {"body": [1]}, "`body` is [1], a list. It takes an object with messages."),
        (
            "openai-batch",
            {"body": "{"},
            "`body` is not JSON: expecting property name enclosed in double quotes at column 2",
        ),
        ("openai-batch", {"body": {"input": "x"}}, "`body.messages` is missing. There is `input`."),
        ("openai-batch", {"body": {"messages": []}}, "`body.messages` is empty"),
        (
            "openai-batch",
            {"body": {"messages": HI}, "url": "/v1/embeddings"},
            '`url` is "/v1/embeddings", text. It takes /v1/chat/completions.',
        ),
        (
            "openai-batch",
            {"body": {"messages": HI, "stream": True}},
            "`body.stream` is true. Leave it out: `endpoint.stream` is for all rows.",
        ),
        (
            "openai-batch",
            {"body": {"messages": HI, "n": 2}},
            "`body.n` is 2, a number. It takes 1: repeat the row under another id for more completions.",
        ),
        (
            "openai-batch",
            {"body": {"messages": HI, "model": 7}},
            "`body.model` is 7, a number. It takes a model's name.",
        ),
    ],
)
def test_what_a_row_cannot_ask(name: str, columns: dict[str, Any], error: str) -> None:
    """The sentence names the field, the value and what it takes."""
    problem = format_of(name, None).parse(columns)
    assert isinstance(problem, Bad)
    assert problem.sentence == error


@pytest.mark.parametrize(
    ("columns", "column", "name", "by"),
    [
        ({"custom_id": 1, "body": {}, "messages": [], "prompt": ""}, None, "openai-batch", "`custom_id` and `body`"),
        ({"custom_id": 1, "body": "{}"}, None, "openai-batch", "`custom_id` and `body`"),
        ({"custom_id": 1, "body": "x", "prompt": ""}, None, "prompt", "the column `prompt`"),
        ({"messages": [], "prompt": ""}, None, "messages", "the column `messages`"),
        ({"messages": "[]"}, None, "messages", "the column `messages`"),
        ({"model": "m", "messages": HI}, None, "messages", "the column `messages`"),
        ({"chat": [], "prompt": ""}, "chat", "messages", "the column `chat`"),
        ({"chat": "[1]"}, "chat", "messages", "the column `chat`"),
        ({"chat": "hello", "messages": []}, "chat", "prompt", "the column `chat`"),
        ({"messages": "hello", "prompt": "x"}, None, "prompt", "the column `prompt`"),
    ],
)
def test_what_a_row_is_recognised_by(columns: dict[str, Any], column: str | None, name: str, by: str) -> None:
    """openai-batch goes before messages, and messages before prompt."""
    found = match_format(columns, column)
    assert found is not None
    assert (found[0].name, found[1]) == (name, by)


@pytest.mark.parametrize(
    ("columns", "column"),
    [({}, None), ({"messages": "x"}, None), ({"prompt": [1]}, None), ({"prompt": "x"}, "q"), ({"q": 1}, "q")],
)
def test_what_fits_no_format(columns: dict[str, Any], column: str | None) -> None:
    """Nothing is guessed."""
    assert match_format(columns, column) is None


def test_nulls_that_arrow_put_in_are_taken_out() -> None:
    """Null keys of structs go, at any depth, but for `content`; lists keep their nulls."""
    value = [{"role": "assistant", "content": None, "name": None, "tool_calls": [{"id": "1", "x": None}, None]}]
    assert drop_null_keys(value) == [{"role": "assistant", "content": None, "tool_calls": [{"id": "1"}, None]}]
