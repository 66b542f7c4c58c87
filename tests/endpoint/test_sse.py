"""A stream is split as its standard says, and its chunks make the response that they would have been."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.endpoint.sse import ChunkJoiner, EventParser


def events(*pieces: bytes) -> list[tuple[str, bytes]]:
    parser = EventParser()
    return [event for piece in pieces for event in parser.feed(piece)] + list(parser.close())


def delta(content: Any = None, finish_reason: str | None = None, index: int = 0, **more: Any) -> dict[str, Any]:
    """A chunk with one choice."""
    inner = {"content": content, **more}
    return {"id": "1", "model": "m", "choices": [{"index": index, "delta": inner, "finish_reason": finish_reason}]}


def joined(*chunks: Any) -> dict[str, Any]:
    joiner = ChunkJoiner()
    for chunk in chunks:
        joiner.add(chunk)
    return joiner.response()


def message(*chunks: Any) -> dict[str, Any]:
    made: dict[str, Any] = joined(*chunks)["choices"][0]["message"]
    return made


STREAM = (
    "\ufeff: hi\r\ndata: a\ndata: ü\r\n\revent: error\ndata:c\n\n\nid: 7\nretry: 5\n\ndata\ndata:  🦉\n\ndata: last"
).encode()
EVENTS = [("", "a\nü".encode()), ("error", b"c"), ("", "\n 🦉".encode()), ("", b"last")]


def test_events_are_split_by_blank_lines() -> None:
    """Lines end in any way, comments and other fields are passed over, and the last event needs no blank line."""
    assert events(STREAM) == EVENTS


@given(st.lists(st.integers(0, len(STREAM)), max_size=5))
def test_it_makes_no_difference_where_pieces_end(cuts: list[int]) -> None:
    """A piece may end within a name, a text, a character, the mark at the start or a line end of two characters."""
    ends = [0, *sorted(cuts), len(STREAM)]
    assert events(*(STREAM[a:b] for a, b in pairwise(ends))) == EVENTS


def test_text_and_reasoning_are_appended() -> None:
    """What a delta has is the next piece; the first role stays, and a null is nothing."""
    chunks = (
        delta("", role="assistant"),
        delta(None, reasoning_content="I "),
        delta(None, reasoning_content="think"),
        delta("He"),
        delta("llo", role="assistant", refusal=None),
        delta("", "stop"),
    )
    assert message(*chunks) == {"content": "Hello", "role": "assistant", "reasoning_content": "I think"}
    assert joined(*chunks)["choices"][0]["finish_reason"] == "stop"


def test_usage_may_come_in_any_chunk() -> None:
    """The last usage counts; a chunk without choices has it at the end, and a null takes nothing back."""
    payload = joined(
        {**delta("a"), "usage": {"total_tokens": 1}},
        {**delta("b", "stop"), "usage": None},
        {"id": "1", "choices": [], "usage": {"total_tokens": 2}, "service_tier": "flex"},
    )
    assert payload["usage"] == {"total_tokens": 2}
    assert (payload["id"], payload["model"], payload["service_tier"]) == ("1", "m", "flex")
    assert payload["object"] == "chat.completion"


def call(index: int | None = None, **fields: Any) -> dict[str, Any]:
    """A chunk with a piece of a tool call."""
    return delta(tool_calls=[{**({} if index is None else {"index": index}), **fields}])


def test_tool_calls_are_joined_by_index() -> None:
    """Arguments come in pieces, of several calls in turn; a name that is repeated is one name."""
    made = message(
        call(0, id="a", type="function", function={"name": "f", "arguments": ""}),
        call(1, id="b", type="function", function={"name": "g", "arguments": '{"y"'}),
        call(0, function={"name": "f", "arguments": '{"x": '}),
        call(1, function={"arguments": ": 2}"}),
        call(0, id="", function={"arguments": "1}"}),
    )
    assert made["tool_calls"] == [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}},
        {"id": "b", "type": "function", "function": {"name": "g", "arguments": '{"y": 2}'}},
    ]


def test_an_empty_text_beside_tool_calls_is_none() -> None:
    """As in a whole response: the first delta of a text is often empty, whatever follows."""
    assert message(delta("", role="assistant"), call(0, function={"name": "f", "arguments": "{}"}))["content"] is None
    assert message(delta("", role="assistant"))["content"] == ""


def test_tool_calls_without_an_index() -> None:
    """Gemini sends each call whole; others send what follows without index and id."""
    made = message(
        call(id="a", function={"name": "f", "arguments": "{}"}),
        call(id="b", function={"name": "f", "arguments": '{"x"'}),
        call(function={"arguments": ":1}"}),
        call(function={"name": "g", "arguments": {"y": 1}}),
    )
    assert [piece["function"] for piece in made["tool_calls"]] == [
        {"name": "f", "arguments": "{}"},
        {"name": "f", "arguments": '{"x":1}'},
        {"name": "g", "arguments": {"y": 1}},
    ]


def test_everything_else_of_a_delta_is_kept() -> None:
    """A legacy function call, audio, images, parts of content and logprobs are joined too; choices stay apart."""
    assert message(delta(function_call={"name": "f", "arguments": "{"}), delta(function_call={"arguments": "}"}))[
        "function_call"
    ] == {"name": "f", "arguments": "{}"}
    audio = message(delta(audio={"id": "1", "data": "AA"}), delta(audio={"data": "BB", "transcript": "Hi"}))["audio"]
    assert audio == {"id": "1", "data": "AABB", "transcript": "Hi"}
    assert message(delta(images=[1]), delta(images=[2]))["images"] == [1, 2]
    assert message(delta("a"), delta([{"type": "x"}]), delta("b"))["content"] == [
        {"type": "text", "text": "a"},
        {"type": "x"},
        {"type": "text", "text": "b"},
    ]
    logprobs = [{"choices": [{"index": 0, "delta": {}, "logprobs": {"content": [n]}}]} for n in (1, 2)]
    assert joined(*logprobs)["choices"][0]["logprobs"] == {"content": [1, 2]}
    two = joined(delta("b", index=1), delta("a"), delta("a"))
    assert [choice["message"]["content"] for choice in two["choices"]] == ["aa", "b"]
    assert message({"choices": [{"text": "old"}]}, {"choices": [{"text": " style"}]})["content"] == "old style"
    assert message({"choices": [{"message": {"content": "whole"}}]})["content"] == "whole"


@pytest.mark.parametrize(
    ("chunks", "done", "complete"),
    [
        ([delta("a")], False, False),
        ([delta("a", "stop")], False, True),
        ([delta("a")], True, True),
        ([delta("a"), 5], True, False),
        ([], False, False),
    ],
)
def test_a_stream_that_breaks_off_is_not_complete(chunks: list[Any], *, done: bool, complete: bool) -> None:
    """Without a finish_reason and an end, or with a chunk that can't be read, something is missing."""
    joiner = ChunkJoiner()
    for chunk in chunks:
        joiner.add(chunk)
    if done:
        joiner.end()
    assert joiner.complete == complete


@pytest.mark.parametrize(
    ("chunk", "event"),
    [
        ({"error": {"message": "no", "code": 502}}, ""),
        ({"message": "no", "code": 502}, "error"),
        ({"object": "error", "message": "no", "code": 502}, ""),
    ],
)
def test_an_error_among_the_chunks_is_an_error(chunk: dict[str, Any], event: str) -> None:
    """It is one whatever its form, and what came before it is there still."""
    joiner = ChunkJoiner()
    joiner.add({**delta("Hel"), "usage": {"cost": 0.1}})
    failed = joiner.failed
    joiner.add(chunk, event)
    joiner.end()
    response = joiner.response()
    assert (failed, joiner.failed) == (False, True)
    assert response["error"]["code"] == 502
    assert response["usage"] == {"cost": 0.1}
    assert response["choices"][0]["message"] == {"content": "Hel"}


@pytest.mark.parametrize(
    ("fields", "has_content"),
    [
        ({"role": "assistant", "content": ""}, False),
        ({"content": None, "reasoning_content": ""}, False),
        ({"content": " "}, True),
        ({"reasoning": "Hm"}, True),
        ({"tool_calls": [{"index": 0}]}, True),
    ],
)
def test_the_first_chunk_with_content(fields: dict[str, Any], *, has_content: bool) -> None:
    """A role alone is none of the reply."""
    joiner = ChunkJoiner()
    joiner.add({"choices": [{"delta": fields}]})
    joiner.add({"choices": [], "usage": {"total_tokens": 1}})
    assert joiner.has_content == has_content


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "delta", "index", "content", "tool_calls", "function", "name", "arguments", "id"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.lists(json_values, max_size=4))
def test_no_chunks_are_an_error_of_ours(chunks: list[Any]) -> None:
    """Whatever JSON comes, the joiner has a response."""
    assert joined(*chunks)["object"] == "chat.completion"
