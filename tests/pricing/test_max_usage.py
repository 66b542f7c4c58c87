"""The maximum usage and cost of a request."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat import lossless_json
from batchchat.core.attempt import MaxUsage
from batchchat.core.price import Price
from batchchat.mock.usage import count_prompt
from batchchat.pricing.max_usage import UsageBounds

PRICE = Price(Decimal("0.48"), Decimal("0.96"))
IMAGE = {"type": "image_url", "image_url": {"url": "data:"}}


def max_usage(messages: list[dict[str, Any]], price: Price = PRICE, **params: Any) -> MaxUsage:
    body = lossless_json.dumps({"model": "m", "messages": messages, **params})
    return UsageBounds(lambda model, tier: price)("m", messages, params, len(body))


def user(content: Any, **more: Any) -> dict[str, Any]:
    return {"role": "user", "content": content, **more}


def test_text_counts_its_bytes_and_sixteen_a_message() -> None:
    """A plain conversation: bytes of UTF-8, not characters; the reply at most max_tokens; USD at the job's price."""
    bound = max_usage([{"role": "system", "content": "Be brief."}, user("Où?")], max_tokens=100)
    assert (bound.prompt_tokens, bound.completion_tokens) == (9 + 4 + 32, 100)
    assert bound.cost_usd == (45 * Decimal("0.48") + 100 * Decimal("0.96")) / 1_000_000


def test_cached_tokens_may_cost_more() -> None:
    """The bound uses the higher of the two prices that a prompt's tokens may have."""
    price = Price(Decimal(1), Decimal(0), cached_input=Decimal(3))
    assert max_usage([user("")], price, max_tokens=1).cost_usd == Decimal(16 * 3) / 1_000_000


@pytest.mark.parametrize(
    ("params", "reply"), [({"max_tokens": 5, "n": 3}, 15), ({"max_tokens": None}, None), ({}, None)]
)
def test_without_a_limit_on_the_reply_the_cost_has_no_bound(params: dict[str, Any], reply: int | None) -> None:
    """The cost of a request is bounded exactly if its reply is."""
    bound = max_usage([user("a")], **params)
    assert bound.completion_tokens == reply
    assert (bound.cost_usd is None) == (reply is None)


@pytest.mark.parametrize(
    "messages",
    [
        [user([IMAGE])],
        [user("a"), user([{"type": "text", "text": "a"}, IMAGE])],
        [user([{"type": "input_audio", "input_audio": {"data": ""}}])],
        [user([7])],
        [{"role": "assistant", "content": None, "audio": {"id": "audio_1"}}, user("a")],
    ],
)
def test_what_is_not_text_has_no_bound(messages: list[dict[str, Any]]) -> None:
    """Nobody knows the tokens of images, sounds and unknown parts beforehand."""
    assert max_usage(messages, max_tokens=5) == MaxUsage(None, 5, None)


def test_each_row_has_its_own_params() -> None:
    """The bound of one row's params is not used for another's, in whatever order they come."""
    bounds, job, row = UsageBounds(lambda model, tier: PRICE), {"max_tokens": 5}, {"max_tokens": 7, "tools": [{}]}
    messages = [user("a")]
    replies = [bounds("m", messages, params, 100).completion_tokens for params in (job, row, job, job, {}, row)]
    assert replies == [5, 7, 5, 5, None, 7]
    assert [bounds("m", messages, params, 100).prompt_tokens for params in (job, row, job)] == [17, 116, 17]


texts = st.text(max_size=60)
parts = st.lists(st.builds(lambda text: {"type": "text", "text": text}, texts), max_size=3)
calls = st.just([{"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}])
messages_ = st.lists(
    st.builds(user, texts | parts | st.none())
    | st.builds(lambda text, call: user(text, tool_calls=call), texts, calls)
    | st.builds(lambda text: user(text, name="ann"), texts),
    min_size=1,
    max_size=5,
)
tools = st.none() | st.just([{"type": "function", "function": {"name": "f", "description": "d" * 100}}])


def words(content: Any) -> list[str]:
    return [content] if isinstance(content, str) else [part["text"] for part in content or ()]


@given(messages_, tools)
def test_no_tokenizer_passes_the_bound(messages: list[dict[str, Any]], tool_list: Any) -> None:
    """It counts every byte of text, tool calls and tools, so it is never below the mock's count."""
    tool_params = {} if tool_list is None else {"tools": tool_list}
    bound = max_usage(messages, max_tokens=1, **tool_params).prompt_tokens
    assert bound is not None
    text_bytes = sum(len(text.encode("utf-8")) for message in messages for text in words(message["content"]))
    extra = sum(len(lossless_json.dumps(message.get("tool_calls", []))) - 2 for message in messages)
    assert bound >= text_bytes + extra + 16 * len(messages) + (len(lossless_json.dumps(tool_list)) if tool_list else 0)
    assert bound >= count_prompt(messages, tool_list)
