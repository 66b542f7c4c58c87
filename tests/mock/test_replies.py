from __future__ import annotations

import statistics
from collections import Counter
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.mock.replies import MockReply, empty_reply, reply_to
from batchchat.mock.request import MockRequest, RefusedRequest, parse_request


def ask(content: str = "Why?", **params: Any) -> MockRequest:
    body = {"model": "m", "messages": [{"role": "user", "content": content}], **params}
    return parse_request(orjson.dumps(body), 65536)


def reply(asked: MockRequest, seed: int = 0) -> MockReply:
    return reply_to(asked, seed, 85)


@given(st.text().filter(lambda content: content != "Hello!"), st.integers(), st.integers(1, 400))
def test_max_tokens_holds(content: str, seed: int, max_tokens: int) -> None:
    """No reply is longer than max_tokens; `length` says it was cut, and then it has exactly so many.

    But for "Hello!", whose recorded reply is a real model's.
    """
    got = reply(ask(content, max_tokens=max_tokens), seed)
    assert 1 <= got.usage.completion_tokens <= max_tokens
    assert len(got.text) <= 4 * max_tokens
    if got.finish_reason == "length":
        assert got.usage.completion_tokens == max_tokens
    else:
        assert got.text.endswith(".")


def test_the_seed_changes_the_reply() -> None:
    """A reply repeats for the same request and seed, and is another for another seed or parameter."""
    assert reply(ask()) == reply(ask())
    texts = {
        reply(ask()).text,
        reply(ask(), seed=1).text,
        reply(ask(temperature=0.5)).text,
        reply(ask(seed=3)).text,
    }
    assert len(texts) == 4


@pytest.mark.parametrize("content", ["Why?", "Hello!"])
@pytest.mark.parametrize(
    "extra", [{}, {"max_tokens": 5}, {"max_tokens": 16}, {"response_format": {"type": "json_object"}}]
)
def test_streaming_does_not_change_the_reply(content: str, extra: dict[str, Any]) -> None:
    """The same request streamed gets the same text, finish reason, usage and cost."""
    assert reply(ask(content, **extra)) == reply(ask(content, **extra, stream=True))
    assert reply(ask(content, **extra)) == reply(
        ask(content, **extra, stream=True, stream_options={"include_usage": True})
    )


def test_lengths_are_skewed() -> None:
    """Most replies have 60 to 120 tokens, a few are several times as long."""
    tokens = [reply(ask(f"question {number}")).usage.completion_tokens for number in range(2000)]
    assert 80 < statistics.median(tokens) < 110
    assert statistics.mean(tokens) > statistics.median(tokens) + 5
    assert max(tokens) > 400


@pytest.mark.parametrize("extra", [{}, {"temperature": 0.7}, {"max_tokens": 16}])
def test_hello_is_the_pages(extra: dict[str, Any]) -> None:
    """The page's first request gets the page's reply, with parameters too if it fits them."""
    got = reply(ask("Hello!", **extra))
    assert got.text.startswith(" Hello! It's nice")
    assert (got.usage.prompt_tokens, got.usage.completion_tokens, got.usage.cost_nano_usd) == (15, 16, 26_800)


def test_a_page_reply_that_does_not_fit_is_not_given() -> None:
    """max_tokens holds for the page's conversations as for any."""
    assert reply(ask("Hello!", max_tokens=5)).usage.completion_tokens <= 5


LABELS = ["positive", "negative", "mixed"]
SCHEMA = {
    "type": "object",
    "properties": {"label": {"enum": LABELS}, "why": {"type": "string", "minLength": 100}},
    "required": ["label", "why"],
}


def formatted(content: str, schema: Any = SCHEMA, **params: Any) -> MockRequest:
    format_ = {"type": "json_schema", "json_schema": {"name": "review", "schema": schema, "strict": True}}
    return ask(content, response_format=format_, **params)


def test_a_format_of_json_gets_json() -> None:
    """The reply is JSON that fits, the same each time, and other conversations get other values."""
    values = [orjson.loads(reply(formatted(f"review {number}")).text) for number in range(300)]
    assert all(len(value["why"]) >= 100 for value in values)
    labels = Counter(value["label"] for value in values)
    assert all(60 < labels[label] < 140 for label in LABELS)
    assert reply(formatted("review 1")) == reply(formatted("review 1"))
    assert reply(formatted("review 1")) != reply(formatted("review 1"), seed=1)
    assert isinstance(orjson.loads(reply(ask(response_format={"type": "json_object"})).text), dict)


def test_json_is_cut_as_text_is() -> None:
    """max_tokens breaks JSON off where it would break prose off, and the finish reason says so."""
    whole, cut = reply(formatted("a review")), reply(formatted("a review", max_tokens=10))
    assert (cut.finish_reason, cut.usage.completion_tokens) == ("length", 10)
    # Another max_tokens is another request, and so another reply: it begins alike, and no more.
    assert len(cut.text) == 40
    assert cut.text[:11] == whole.text[:11] == '{"label": "'


def test_bad_json_is_billed_as_it_is_sent() -> None:
    """Spoiled JSON counts its own tokens, and prose is not spoiled."""
    for number in range(20):
        spoiled = reply_to(formatted(f"review {number}"), 0, 85, bad_json=True)
        assert spoiled.text != reply(formatted(f"review {number}")).text
        assert spoiled.usage.completion_tokens == -(-len(spoiled.text) // 4)
        assert spoiled.finish_reason == "stop"
    assert reply_to(ask(), 0, 85, bad_json=True) == reply(ask())


@pytest.mark.parametrize(
    "schema", [{"minLength": "three"}, {"properties": ["a"], "required": ["a"]}, {"type": "integer", "multipleOf": 0}]
)
def test_a_schema_that_is_none_is_refused(schema: Any) -> None:
    """A schema of nonsense is a 400 with the provider's words, no failure of the mock."""
    with pytest.raises(RefusedRequest) as refused:
        reply(formatted("a review", schema))
    assert refused.value.status == 400
    assert refused.value.body["error"]["message"].startswith("Invalid schema for response_format")


def test_an_empty_reply_costs_its_prompt() -> None:
    """An empty reply has no completion tokens and a cost."""
    got = empty_reply(ask())
    assert (got.text, got.usage.completion_tokens) == ("", 0)
    assert got.usage.cost_nano_usd > 0
