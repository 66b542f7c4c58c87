"""A record made a row."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from batchchat.core.conversation import BadRow, Key, Row
from tests.sources.folder import told, user

if TYPE_CHECKING:
    from tests.sources.folder import Folder

HI = user("hi")


def test_a_good_row_is_whole(folder: Folder) -> None:
    """Key, ordinal, place, conversation, params, model and carried columns stand where they belong."""
    folder.write(
        "x.jsonl", [{"id": 7, "messages": HI, "p": {"seed": 1, "model": "m"}, "tag": ["a"], "model": "carried"}]
    )
    assert folder.rows("x.jsonl", id="id", params="p") == [
        Row(Key("7"), 0, "x.jsonl:1", HI, {"seed": 1}, "m", {"id": 7, "tag": ["a"], "model": "carried"}, plain=True)
    ]


def test_a_bad_row_carries_what_was_parsed(folder: Folder) -> None:
    """A row without a conversation keeps its id and columns; a line that is no JSON has neither."""
    folder.write("x.jsonl", b'{"id":"a","messages":[],"tag":1}\n{"id":"b"\n{"tag":2,"messages":[]}')
    missing = "`id` is missing. There is `tag`, `messages`."
    assert folder.rows("x.jsonl", id="id", format="messages") == [
        BadRow(Key("a"), 0, "x.jsonl:1", "`messages` is empty", {"tag": 1}),
        BadRow(Key("x.jsonl:2"), 1, "x.jsonl:2", "the line is not JSON: expecting ',' delimiter at column 10"),
        BadRow(Key("x.jsonl:3"), 2, "x.jsonl:3", missing, {"tag": 2}),
    ]


def test_repeated_ids(folder: Folder) -> None:
    """Of a repeated id the first stands, bad as it may be; text and number of one look are one id."""
    rows = [
        {"id": 1, "messages": []},
        {"id": "1", "messages": HI},
        {"id": 2, "messages": HI},
        {"id": 2, "messages": []},
    ]
    folder.write("x.jsonl", rows)
    assert told(folder.rows("x.jsonl", id="id")) == [
        ("1", "`messages` is empty"),
        ("1#x.jsonl:2", 'duplicate id "1", first used at x.jsonl:1'),
        ("2", ""),
        ("2#x.jsonl:4", 'duplicate id "2", first used at x.jsonl:3'),
    ]


def test_a_given_id_that_looks_like_a_place(folder: Folder) -> None:
    """Ids made of places never meet given ones, whichever comes first."""
    lines = [
        {"id": "x.jsonl:2", "messages": HI},
        {"messages": HI},
        {"messages": HI},
        {"id": "x.jsonl:3", "messages": HI},
    ]
    folder.write("x.jsonl", lines)
    ids = [row.key.id for row in folder.rows("x.jsonl", id="id")]
    assert ids == ["x.jsonl:2", "x.jsonl:2#x.jsonl:2", "x.jsonl:3", "x.jsonl:3#x.jsonl:4"]


def test_equal_conversations_without_ids(folder: Folder) -> None:
    """They are numbered from the second on; what else a row holds plays no part."""
    folder.write("x.jsonl", [{"messages": HI, "n": n} for n in range(3)] + [{"messages": user("ho")}])
    first, second, third, other = (row.key.id for row in folder.rows("x.jsonl"))
    assert (second, third) == (f"{first}-2", f"{first}-3")
    assert other[:16] != first
    assert len(first) == 16


@pytest.mark.parametrize(
    ("given", "carried"),
    [
        ({}, {"a": 1, "b": None}),
        ({"columns": ("a",)}, {"a": 1}),
        ({"columns": ("nowhere", "a")}, {"nowhere": None, "a": 1}),
        ({"columns": ()}, {}),
        ({"columns": ("id", "messages")}, {"id": "x", "messages": HI}),
        ({"id": None}, {"id": "x", "a": 1, "b": None}),
        ({"params": None}, {"p": {}, "a": 1, "b": None}),
    ],
)
def test_carried_columns(folder: Folder, given: dict[str, Any], carried: dict[str, Any]) -> None:
    """All but conversation, id and params are carried, or just those that are named."""
    folder.write("x.jsonl", [{"id": "x", "messages": HI, "p": {}, "a": 1, "b": None}])
    (row,) = folder.rows("x.jsonl", **{"id": "id", "params": "p", **given})
    assert row.passthrough == carried


def test_openai_batch_rows(folder: Folder) -> None:
    """The body asks, `custom_id` names, and what else stands beside them is carried."""
    body = {"model": "m", "messages": HI, "max_tokens": 5}
    line = {"custom_id": "r1", "method": "POST", "url": "/v1/chat/completions", "body": body, "tag": 1}
    folder.write("x.jsonl", [line, {"body": body}, {**line, "body": {"messages": []}}])
    good, nameless, repeated = folder.rows("x.jsonl")
    assert good == Row(Key("r1"), 0, "x.jsonl:1", HI, {"max_tokens": 5}, "m", {"tag": 1}, plain=True)
    assert told([nameless, repeated]) == [
        ("x.jsonl:2", "`custom_id` is missing. There is `body`."),
        ("r1#x.jsonl:3", 'duplicate id "r1", first used at x.jsonl:1'),
    ]
    assert folder.rows("x.jsonl", id="tag")[0].key.id == "1"


def test_a_params_column_wins_over_the_body(folder: Folder) -> None:
    """Who names a params column means it."""
    body = {"model": "m", "messages": HI, "seed": 1, "top_p": 0.5}
    folder.write("x.jsonl", [{"custom_id": "r1", "body": body, "p": {"seed": 2, "model": "n"}}])
    (row,) = folder.rows("x.jsonl", params="p")
    assert isinstance(row, Row)
    assert (row.params, row.model) == ({"seed": 2, "top_p": 0.5}, "n")


def test_bad_params_spoil_the_row(folder: Folder) -> None:
    """The sentence is of the params column."""
    folder.write("x.jsonl", [{"messages": HI, "p": {"stream": True}}, {"messages": HI}])
    bad, good = folder.rows("x.jsonl", params="p")
    assert told([bad]) == [("x.jsonl:1", "`p.stream` is true. Leave it out: `endpoint.stream` is for all rows.")]
    assert isinstance(good, Row)


def test_a_bare_request_body_is_a_row_of_messages(folder: Folder) -> None:
    """Its `model` is a column like any other: the job says which model is asked."""
    folder.write("x.jsonl", [{"model": "m", "messages": HI}])
    (row,) = folder.rows("x.jsonl")
    assert isinstance(row, Row)
    assert (row.model, row.passthrough) == (None, {"model": "m"})


def test_null_keys_of_parquet_structs(folder: Folder) -> None:
    """They are no keys of messages, params or bodies; carried structs keep them."""
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
    tool = {"role": "tool", "content": "4", "tool_call_id": "1"}
    rows = [
        {"messages": [*HI, call, tool], "p": {"seed": 1, "top_p": None}, "s": {"a": 1, "b": None}},
        {"messages": HI, "p": {"seed": None, "top_p": 0.5}, "s": None},
    ]
    folder.write("x.parquet", rows)
    one, two = folder.rows("x.parquet", params="p")
    assert isinstance(one, Row)
    assert isinstance(two, Row)
    assert one.messages == [*HI, call, tool]
    assert (one.params, two.params) == ({"seed": 1}, {"top_p": 0.5})
    assert one.passthrough["s"] == {"a": 1, "b": None} or one.passthrough["s"] == {"a": 1}
    assert two.messages == HI


def test_json_text_in_parquet(folder: Folder) -> None:
    """A column of JSON text is a conversation too."""
    folder.write("x.parquet", [{"messages": json.dumps(HI)}, {"messages": "["}])
    good, bad = folder.rows("x.parquet")
    assert isinstance(good, Row)
    assert good.messages == HI
    assert told([bad]) == [("x.parquet:2", "`messages` is not JSON: expecting value at column 2")]
