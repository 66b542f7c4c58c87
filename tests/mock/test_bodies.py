from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from batchchat.mock.bodies import billed_nano_usd, chunks, completion, model_list, request_costs, response_id
from batchchat.mock.replies import MockReply
from batchchat.mock.usage import usage_of


def read_events(raw: bytes) -> list[Any]:
    events = raw.decode().split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    return [orjson.loads(event.removeprefix("data: ")) for event in events[:-2]]


def test_a_completion_has_the_pages_keys_in_order() -> None:
    """A plain answer is the page's, key for key."""
    body = completion(MockReply("Hi", "stop", usage_of(1, 1)), "m", "chatcmpl-1", 5)
    assert body == (
        b'{"id":"chatcmpl-1","object":"chat.completion","created":5,"model":"m","choices":[{"index":0,'
        b'"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,'
        b'"completion_tokens":1,"total_tokens":2,"estimated_cost":0.0000016}}'
    )


@given(st.text(max_size=200), st.booleans())
def test_deltas_join_to_the_text(text: str, include_usage: bool) -> None:
    """The streamed pieces join to the reply's text; usage comes only if asked, with empty choices."""
    reply = MockReply(text, "length", usage_of(3, 4))
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


COSTS = st.integers(0, 2**48 - 1)
ARRIVALS = st.integers(0, 2**32 - 1)


@given(st.integers(), ARRIVALS, COSTS)
def test_a_cost_is_known_again_by_its_id(seed: int, arrival: int, cost: int) -> None:
    """An id gives its very cost, once its request has come and not a request earlier."""
    id_ = response_id(seed, arrival, cost)
    assert len(id_) == len("chatcmpl-") + 28
    assert billed_nano_usd(id_, seed, arrival + 1) == cost
    assert billed_nano_usd(id_, seed, arrival) is None


@given(ARRIVALS, COSTS, st.data())
def test_no_cost_is_invented(arrival: int, cost: int, data: st.DataObject) -> None:
    """An id with one digit changed, of another seed, or of no form at all has no cost."""
    id_ = response_id(7, arrival, cost)
    place = data.draw(st.integers(0, len(id_) - 1))
    digit = data.draw(st.sampled_from("0123456789abcdef").filter(lambda digit: digit != id_[place]))
    assert billed_nano_usd(f"{id_[:place]}{digit}{id_[place + 1 :]}", 7, 2**32) is None
    assert billed_nano_usd(id_, 8, 2**32) is None
    for other in (data.draw(st.text(max_size=40)), id_.upper(), f"{id_}\n", id_[:-1]):
        assert billed_nano_usd(other, 7, 2**32) is None


def test_costs_stand_in_the_order_asked() -> None:
    """Each id asked for has its own entry, twice where it was asked twice; what is unknown is null."""
    ids = [response_id(0, 1, 9), "x", response_id(0, 0, 5), response_id(0, 1, 9)]
    costs = request_costs(ids, 0, 2)["requests"]
    assert [cost["requestId"] for cost in costs] == ids
    assert [cost["costNanoUsd"] for cost in costs] == [9, None, 5, 9]


def test_models_tell_context_and_price() -> None:
    """The list has the page's model with its context and prices per million tokens."""
    entry = model_list(65536)["data"][0]
    assert entry["id"] == "microsoft/WizardLM-2-8x22B"
    assert entry["metadata"]["context_length"] == 65536
    assert entry["metadata"]["pricing"] == {"input_tokens": 0.761, "output_tokens": 0.839}
