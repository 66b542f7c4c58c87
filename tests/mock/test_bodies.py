from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from batchchat.mock.bodies import chunks, completion, model_list, response_id
from batchchat.mock.replies import Reply
from batchchat.mock.usage import usage_of


def read_events(raw: bytes) -> list[Any]:
    events = raw.decode().split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    return [orjson.loads(event.removeprefix("data: ")) for event in events[:-2]]


def test_a_completion_has_the_pages_keys_in_order() -> None:
    """A plain answer is the page's, key for key."""
    body = completion(Reply("Hi", "stop", usage_of(1, 1)), "m", "chatcmpl-1", 5)
    assert body == (
        b'{"id":"chatcmpl-1","object":"chat.completion","created":5,"model":"m","choices":[{"index":0,'
        b'"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,'
        b'"completion_tokens":1,"total_tokens":2,"estimated_cost":0.0000016}}'
    )


@given(st.text(max_size=200), st.booleans())
def test_deltas_join_to_the_text(text: str, include_usage: bool) -> None:
    """The streamed pieces join to the reply's text; usage comes only if asked, with empty choices."""
    reply = Reply(text, "length", usage_of(3, 4))
    raw = b"".join(chunks(reply, "m", "chatcmpl-1", 5, include_usage=include_usage))
    events = read_events(raw)
    if include_usage:
        last = events.pop()
        assert last["choices"] == []
        assert last["usage"]["total_tokens"] == 7
    assert all("usage" not in event and event["object"] == "chat.completion.chunk" for event in events)
    choices = [event["choices"][0] for event in events]
    assert choices[0]["delta"]["role"] == "assistant"
    assert choices[-1] == {"index": 0, "delta": {}, "finish_reason": "length"}
    assert "".join(choice["delta"]["content"] for choice in choices[:-1]) == text
    assert all(choice["finish_reason"] is None for choice in choices[:-1])


def test_ids_are_apart_and_hold_what_was_billed() -> None:
    """Each arrival has an id of its own, whose last 12 digits are its cost."""
    ids = {response_id(0, arrival, 26_800) for arrival in range(1000)}
    assert len(ids) == 1000
    assert {int(id_[-12:], 16) for id_ in ids} == {26_800}


def test_models_tell_context_and_price() -> None:
    """The list has the page's model with its context and prices per million tokens."""
    entry = model_list(65536)["data"][0]
    assert entry["id"] == "microsoft/WizardLM-2-8x22B"
    assert entry["metadata"]["context_length"] == 65536
    assert entry["metadata"]["pricing"] == {"input_tokens": 0.761, "output_tokens": 0.839}
