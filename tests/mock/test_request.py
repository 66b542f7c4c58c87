from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.mock.request import MockRequest, RefusedRequest, parse_request

HI = [{"role": "user", "content": "Hi"}]


def parse(body: Any, context_length: int = 65536) -> MockRequest:
    return parse_request(orjson.dumps(body), context_length)


@given(st.permutations([("model", "m"), ("messages", HI), ("temperature", 0.5), ("stop", ["a", "b"])]))
def test_the_order_of_keys_is_no_matter(items: list[tuple[str, Any]]) -> None:
    """Bodies equal but for the order of keys are the same request."""
    first = parse({"stop": ["a", "b"], "temperature": 0.5, "messages": HI, "model": "m"})
    assert parse(dict(items)) == first


def test_identity_and_content() -> None:
    """A streamed request is another body with the same content; another parameter makes another of both."""
    plain = parse({"model": "m", "messages": HI})
    streamed = parse({"model": "m", "messages": HI, "stream": True})
    warmer = parse({"model": "m", "messages": HI, "temperature": 1})
    assert plain.content == streamed.content != warmer.content
    assert len({plain.identity, streamed.identity, warmer.identity}) == 3


@pytest.mark.parametrize("raw", [b"", b"{", b"{'model': 1}", b"\xff", b'{"a": NaN}', b"[" * 300 + b"]" * 300])
def test_what_is_no_json_is_400(raw: bytes) -> None:
    """Bytes that can't be read as JSON are a 400 with a message."""
    with pytest.raises(RefusedRequest) as refused:
        parse_request(raw, 65536)
    assert refused.value.status == 400
    assert "not JSON" in refused.value.body["error"]["message"]


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ([], []),
        ({"messages": HI}, ["model"]),
        ({"model": 3, "messages": HI}, ["model"]),
        ({"model": "m"}, ["messages"]),
        ({"model": "m", "messages": "Hi"}, ["messages"]),
        ({"model": "m", "messages": []}, ["messages"]),
        ({"model": "m", "messages": ["Hi"]}, ["messages", 0]),
        ({"model": "m", "messages": [*HI, {"role": "human", "content": ""}]}, ["messages", 1, "role"]),
        ({"model": "m", "messages": [{"role": ["user"]}]}, ["messages", 0, "role"]),
        ({"model": "m", "messages": [{"role": "user", "content": 3}]}, ["messages", 0, "content"]),
        ({"model": "m", "messages": HI, "stream": "yes"}, ["stream"]),
        ({"model": "m", "messages": HI, "max_tokens": 0}, ["max_tokens"]),
        ({"model": "m", "messages": HI, "max_tokens": True}, ["max_tokens"]),
        ({"model": "m", "messages": HI, "n": 2}, ["n"]),
        ({"model": "m", "messages": HI, "response_format": "json"}, ["response_format"]),
        ({"model": "m", "messages": HI, "response_format": {"type": "xml"}}, ["response_format", "type"]),
        (
            {"model": "m", "messages": HI, "response_format": {"type": "json_schema", "json_schema": {"name": "n"}}},
            ["response_format", "json_schema", "schema"],
        ),
    ],
)
def test_a_bad_field_is_422_and_named(body: Any, place: list[str | int]) -> None:
    """A body with a bad field is a 422 that says where it is, in DeepInfra's shape."""
    with pytest.raises(RefusedRequest) as refused:
        parse(body)
    assert refused.value.status == 422
    (detail,) = refused.value.body["detail"]
    assert detail["loc"] == ["body", *place]
    assert set(detail) == {"loc", "msg", "type"}


def test_messages_of_every_kind_pass() -> None:
    """Tool calls, parts, names and null contents are taken."""
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "developer", "content": "d", "name": "n"},
        {"role": "user", "content": [{"type": "text", "text": "t"}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "r", "tool_call_id": "1"},
    ]
    asked = parse({"model": "m", "messages": messages, "max_tokens": 9, "max_completion_tokens": 5})
    assert asked.max_tokens == 5


def test_context_is_the_prompts() -> None:
    """A prompt of exactly the context length passes; one token more is a 400 with both numbers."""
    body = {"model": "m", "messages": [{"role": "user", "content": "x" * 400}]}
    assert parse(body, 107).prompt_tokens == 107
    with pytest.raises(RefusedRequest) as refused:
        parse(body, 106)
    assert refused.value.status == 400
    assert refused.value.body["error"]["message"] == "Requested input length 107 exceeds maximum input length 106"


def test_an_unknown_model_is_404() -> None:
    """A model that begins with no-such does not exist, in DeepInfra's words."""
    with pytest.raises(RefusedRequest) as refused:
        parse({"model": "no-such/model", "messages": HI})
    assert refused.value.status == 404
    assert refused.value.body == {"detail": {"error": "The model `no-such/model` does not exist"}}
