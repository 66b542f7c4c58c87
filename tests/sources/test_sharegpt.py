"""ShareGPT conversations."""

from __future__ import annotations

from typing import Any

import pytest

from batchchat.core.bad import Bad
from batchchat.sources.formats import RowRequest, format_of, match_format
from batchchat.sources.sharegpt import parse_sharegpt
from tests.sources.folder import Folder, user

TAKES = "It takes system, human, gpt or tool (or user, assistant, chatgpt, model, function, observation)."


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
        ([*said(("human", "a")), *said(("bing", "b"))], f'`c[1].from` is "bing", text. {TAKES}'),
        ([{"role": None, "content": "a"}], f"`c[0].role` is null. {TAKES}"),
        ([{"from": "human"}], "`c[0].value` is missing. It takes text."),
        ([{"from": "human", "value": ["a"]}], '`c[0].value` is ["a"], a list. It takes text.'),
        ([{"from": "human", "value": None}], "`c[0].value` is null. It takes text."),
        ([{"role": "user", "content": 7}], "`c[0].content` is 7, a number. It takes text."),
        ([{"role": "user", "content": []}], "`c[0].content` is an empty list. It takes text or a list of parts."),
        (
            said(("human", "a"), ("gpt", "b")),
            "`c` ends with the model's turn: nothing to answer. Remove that turn to get a new answer to the one before"
            " it.",
        ),
    ],
)
def test_what_cannot_be_asked(turns: Any, error: str) -> None:
    """The sentence names the turn, the field and the value."""
    assert parse_sharegpt(turns, "c") == Bad(error)


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
    assert format_of("sharegpt", None).parse({"c": 1}) == Bad("`conversations` is missing. There is `c`.")
    folder.write("x.parquet", [{"id": 1, "conversations": turns}])
    source = folder.open("x.parquet", id="id")
    assert source.description == "sharegpt conversations from x.parquet"
    assert [getattr(row, "messages", None) for row in source.read()] == [user("a")]
