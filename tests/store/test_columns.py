"""The output's columns, from a record's JSON."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.core.record import RowRecord
from batchchat.store.columns import COLUMNS, MESSAGES, conversation, passthrough_names, record_of
from tests.store.given import answered, failed, invalid

BY_NAME = {column.name: column for column in COLUMNS}
USER = {"role": "user", "content": "Look."}
IMAGE = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}


def cells(name: str, *rows: RowRecord) -> list[Any]:
    array = BY_NAME[name].array(list(rows))
    array.validate(full=True)
    assert array.type == BY_NAME[name].type
    assert array.to_pylist() == [value.to_pylist()[0] for value in (BY_NAME[name].array([row]) for row in rows)], (
        "a column does not depend on the rows beside"
    )
    return array.to_pylist()


def test_the_columns_are_those_of_the_documentation() -> None:
    """Names, order and types are those that scripts rely on."""
    text, int64, int32, float64, time = (
        pa.string(),
        pa.int64(),
        pa.int32(),
        pa.float64(),
        pa.timestamp("us", "UTC"),
    )
    assert [(column.name, column.type) for column in COLUMNS] == [
        ("id", text),
        ("variant", text),
        ("sample", int32),
        ("status", text),
        ("response", text),
        ("finish_reason", text),
        ("messages", pa.list_(pa.struct([("role", text), ("content", text)]))),
        *((name, text) for name in ("messages_json", "tool_calls", "parsed")),
        ("parse_repaired", pa.bool_()),
        *((name, text) for name in ("reasoning", "refusal", "logprobs")),
        *((name, text) for name in ("model", "model_requested", "service_tier", "response_id")),
        *((f"{what}_tokens", int64) for what in ("prompt", "completion", "total", "cached", "reasoning")),
        ("cost_usd", float64),
        ("cost_source", text),
        ("attempts", int32),
        ("possibly_billed_attempts", int32),
        ("re_asks", int32),
        ("latency_s", float64),
        ("first_token_s", float64),
        ("wait_s", float64),
        ("started_at", time),
        ("finished_at", time),
        ("http_status", int32),
        ("error_kind", text),
        ("error", text),
        ("raw", text),
    ]


@pytest.mark.parametrize("rows", [[], [invalid()], [failed(), invalid()], [answered(), failed()]])
def test_a_column_has_its_type_whatever_is_null(rows: list[RowRecord]) -> None:
    """No rows, no replies, no values: the declared type stands."""
    for column in COLUMNS:
        assert column.array(rows).type == column.type, column.name
        assert len(column.array(rows)) == len(rows)


def test_an_answer_and_a_failure() -> None:
    """Each column takes its value from its place in the record; what is not known is null."""
    rows = (answered(), failed(), invalid())
    values = {column.name: cells(column.name, *rows) for column in COLUMNS}
    assert values["response"] == ["Flour and butter.", None, None]
    assert values["model"] == ["served/model", None, None]
    assert values["model_requested"] == ["asked/model", "asked/model", None]
    assert values["total_tokens"] == [12, None, None]
    assert values["possibly_billed_attempts"] == [0, 0, None]
    assert values["http_status"] == [200, None, None]
    assert values["error_kind"] == [None, "timeout", "invalid_input"]
    assert values["started_at"][0] == dt.datetime(2023, 11, 14, 22, 13, 20, 250_000, tzinfo=dt.UTC)
    assert values["messages"][1:] == [[{"role": "user", "content": "What is a roux?"}], None]
    assert values["messages_json"] == [None, None, None]


def test_what_was_read_of_a_reply() -> None:
    """JSON's null is a value; whether it was repaired is known of parsed replies, re-asks of rows that were sent."""
    rows = [answered(reply={"text": "x", "parsed": value}) for value in (None, {"a": 1})]
    rows[1] |= {"parse_repaired": True, "re_asks": 2}
    rows += [answered(), failed(re_asks=1), invalid()]
    assert cells("parsed", *rows) == ["null", '{"a":1}', None, None, None]
    assert cells("parse_repaired", *rows) == [False, True, None, None, None]
    assert cells("re_asks", *rows) == [0, 2, 0, 1, None]
    names = ("status", "attempts", "parsed", "parse_repaired", "re_asks")
    read = [record_of({name: cells(name, row)[0] for name in names}) for row in rows]
    for name in names:
        assert cells(name, *read) == cells(name, *rows)


PLAIN_REPLY = {"role": "assistant", "content": "Yes."}


@pytest.mark.parametrize(
    ("asked", "reply", "whole"),
    [
        ([USER], {"text": "Yes."}, [USER, PLAIN_REPLY]),
        ([], {"text": "Yes."}, [PLAIN_REPLY]),
        ([USER], {"text": ""}, [USER, {"role": "assistant", "content": ""}]),
        ([{"content": "a", "role": "user"}], {"text": "Yes."}, [{"role": "user", "content": "a"}, PLAIN_REPLY]),
    ],
)
def test_plain_conversations_stand_in_the_struct(asked: list[Any], reply: Any, whole: list[Any]) -> None:
    """Role and content of each message, the reply last; no JSON beside it."""
    row = answered(messages=asked, reply=reply)
    assert cells("messages", row) == [whole]
    assert cells("messages_json", row) == [None]


@pytest.mark.parametrize(
    ("asked", "reply"),
    [
        ([IMAGE], {"text": "Yes."}),
        ([{**USER, "name": "Ann"}], {"text": "Yes."}),
        ([{"role": "assistant", "content": None, "tool_calls": []}, USER], {"text": "Yes."}),
        ([{"role": "assistant", "content": None}, USER], {"text": "Yes."}),
        ([{"role": "tool", "tool_call_id": "c"}], {"text": "Yes."}),
        ([USER], {"text": None}),
        ([USER], {"tool_calls": [{"id": "c"}]}),
        ([USER], {"text": "Yes.", "tool_calls": [{"id": "c"}]}),
        ([USER], {"text": "", "refusal": "No."}),
    ],
)
def test_other_conversations_stand_whole_in_json(asked: list[Any], reply: Any) -> None:
    """What role and content can't hold (tool calls, image parts, null content, more keys) is JSON, and only that."""
    row = answered(messages=asked, reply=reply)
    extras = {name: reply[name] for name in ("tool_calls", "refusal") if name in reply}
    whole = [*asked, {"role": "assistant", "content": reply.get("text"), **extras}]
    assert cells("messages", row) == [None]
    assert json.loads(cells("messages_json", row)[0]) == whole
    assert conversation(row) == whole
    assert cells("messages", answered(), row, answered())[1] is None


def test_a_failed_row_shows_what_was_asked() -> None:
    """Without a reply the conversation ends with the question."""
    assert cells("messages", failed(messages=[USER])) == [[USER]]
    assert json.loads(cells("messages_json", failed(messages=[IMAGE]))[0]) == [IMAGE]


TEXTS = [column.name for column in COLUMNS if column.type == pa.string()]


@pytest.mark.parametrize("name", TEXTS)
def test_a_lone_surrogate_breaks_no_column(name: str) -> None:
    """Half a pair becomes U+FFFD in text, and stays an escape in JSON; its neighbours are as they were."""
    bad = "a\ud800b"
    reply = dict.fromkeys(
        ("text", "finish_reason", "reasoning", "refusal", "model", "service_tier", "response_id"), bad
    )
    row: Any = answered(
        bad,
        variant=bad,
        status=bad,
        model=bad,
        cost_source=bad,
        error_kind=bad,
        error=bad,
        raw=bad,
        messages=[{"role": bad, "content": bad}],
        reply=reply | {"tool_calls": [bad], "parsed": bad, "logprobs": {"content": [{"token": bad}]}},
    )
    found = cells(name, row, answered("b"))
    if name in {"messages_json", "tool_calls", "parsed", "logprobs"}:
        assert "\ud800" in json.dumps(json.loads(found[0]), ensure_ascii=False)
    else:
        assert found[0] == "a\ufffdb"
    assert found[1] == cells(name, answered("b"))[0]


def test_a_lone_surrogate_in_a_message_breaks_none() -> None:
    """The struct's text is mended like any other."""
    row = answered(messages=[{"role": "user", "content": "\udfff!"}], reply={"text": "\ud83d"})
    (found,) = cells("messages", row)
    assert [message["content"] for message in found] == ["\ufffd!", "\ufffd"]


@given(st.floats(0, 4_000_000_000))
def test_times_are_the_same_in_every_form(at: float) -> None:
    """Parquet and JSON tell the same microsecond, give or take the float's own."""
    row = answered(started_at=at)
    stored: Any = BY_NAME["started_at"].array([row]).to_pylist()[0]
    told = dt.datetime.fromisoformat(BY_NAME["started_at"].json(row))
    assert abs(stored - told) <= dt.timedelta(microseconds=1)
    assert abs(stored.timestamp() - at) <= 1e-6


def test_json_values_are_plain() -> None:
    """An exported line has the record's own values, times in ISO 8601 UTC, unknown as null."""
    assert BY_NAME["started_at"].json(answered()) == "2023-11-14T22:13:20.250000Z"
    assert BY_NAME["messages"].json(failed(messages=[USER])) == [USER]
    assert BY_NAME["cost_usd"].json(answered()) == 0.000123
    assert [column.json(invalid()) for column in COLUMNS if column.name not in invalid()] == [None] * 31


def test_messages_is_one_type() -> None:
    """The type is compared by identity on the way: there is one."""
    assert BY_NAME["messages"].type is MESSAGES


@pytest.mark.parametrize(
    ("names", "out"),
    [
        (["topic", "difficulty"], ["topic", "difficulty"]),
        (["id", "status"], ["input_id", "input_status"]),
        (["id", "input_id"], ["input_id", "input_input_id"]),
        (["input_id", "id"], ["input_id", "input_input_id"]),
        (["a\ud800", "a\ufffd"], ["a\ufffd", "input_a\ufffd"]),
        ([], []),
    ],
)
def test_carried_columns_make_way(names: list[str], out: list[str]) -> None:
    """A name of ours gets `input_` before it, as often as it takes."""
    assert passthrough_names(names) == dict(zip(names, out, strict=True))


@given(st.lists(st.sampled_from(["id", "input_id", "input_input_id", "x", "sample"]), unique=True))
def test_no_two_columns_share_a_name(names: list[str]) -> None:
    """Whatever is carried, all names of the output differ."""
    out = [*BY_NAME, *passthrough_names(names).values()]
    assert len(set(out)) == len(out)
