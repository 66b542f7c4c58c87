"""Whether a conversation fits its model's context, before it is sent."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.core.attempt import Request
from batchchat.core.conversation import Key
from batchchat.endpoint import wire
from batchchat.tokens.context_window import ContextWindow, TooLong
from batchchat.tokens.for_model import tokenizer_for
from batchchat.tokens.tokenizer import Tokenizer

MODEL = "microsoft/WizardLM-2-8x22B"


def request(text: str, model: str = MODEL, **params: Any) -> Request:
    return wire.compose(Key("1"), model, [{"role": "user", "content": text}], params)


def context(length: int | None) -> ContextWindow:
    return ContextWindow(lambda model: length, tokenizer_for)


def test_a_request_that_fits_in_bytes_is_not_counted() -> None:
    """A token has at least a byte: where the bytes fit, or the context is unknown, no tokenizer is loaded."""

    def never(model: str) -> Tokenizer:
        raise AssertionError(model)

    short = request("a" * 500, max_tokens=100)
    assert ContextWindow(lambda model: 1_000, never).too_long(short, {"max_tokens": 100}) is None
    assert ContextWindow(lambda model: None, never).too_long(short, {"max_tokens": 10**9}) is None


@pytest.mark.parametrize(
    ("length", "params", "fits"),
    [
        (40, {}, True),  # 39 tokens of prompt leave one for the reply
        (39, {}, False),
        (49, {"max_tokens": 10}, True),
        (48, {"max_tokens": 10}, False),
        (48, {"max_completion_tokens": 10}, False),
        (1, {}, False),
    ],
)
def test_the_limit_is_exact(length: int, params: dict[str, Any], fits: bool) -> None:
    """The prompt and the maximum reply must fit together; without a maximum one token must be left for the reply."""
    too_long = context(length).too_long(request("Hello!", **params), params)
    assert (too_long is None) is fits


def test_its_description() -> None:
    """It has both figures where the prompt alone would fit, and `about` where the count is not exact."""
    too_long = context(48).too_long(request("Hello!", max_tokens=10), {"max_tokens": 10})
    assert too_long is not None
    assert too_long.description == "39 prompt tokens and up to 10 of the reply do not fit the context of 48 tokens"
    assert TooLong(70_000, 5, 65_536, exact=False, counted_by="x").description == (
        "about 70,000 prompt tokens do not fit the context of 65,536 tokens"
    )


def test_only_an_exact_count_is_called_so() -> None:
    """The rule of thumb is not, nor the model's own tokenizer for a conversation its template does not cover."""
    text = "many words " * 50
    assert context(50).too_long(request(text), {}) == TooLong(138, None, 50, True, "WizardLM-2's, mistral-common v1")
    estimated = context(50).too_long(request(text, "another"), {})
    assert estimated is not None
    assert not estimated.exact
    tools: dict[str, Any] = {"tools": [{"type": "function", "function": {"name": "f"}}]}
    with_tools = context(50).too_long(request(text, **tools), tools)
    assert with_tools is not None
    assert not with_tools.exact


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
def test_no_prompt_has_more_tokens_than_the_bound(text: str) -> None:
    """Whatever the text: its tokens are at most its request's bytes plus the allowance for the template."""
    sent = request(text)
    assert tokenizer_for(MODEL).count(sent.messages) <= len(sent.body) + 80
