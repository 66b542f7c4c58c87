"""What is sent is what the user set; what comes back is read as far as it is of the expected type."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.core.attempt import Reply, Usage
from batchchat.core.conversation import Key
from batchchat.endpoint.wire import compose, read_reply, read_usage

HELLO = [{"role": "user", "content": "Hello!"}]
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**25), 10**25)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
names = st.text(min_size=1).filter(lambda name: name not in {"model", "messages"})


@given(content=plain, params=st.dictionaries(names, plain, max_size=4))
def test_the_body_is_what_was_set(content: Any, params: dict[str, Any]) -> None:
    """Model, messages and params, each as it stood, lone surrogates and long integers included; nothing else."""
    messages = [{"role": "user", "content": content}]
    request = compose(Key("1"), "a/model", messages, params)
    assert json.loads(request.body) == {"model": "a/model", "messages": messages, **params}
    assert request.messages is messages
    assert (request.key, request.step, request.model) == (Key("1"), 0, "a/model")


@given(params=st.dictionaries(names, plain, min_size=1, max_size=4))
def test_the_fingerprint_knows_content_and_not_order(params: dict[str, Any]) -> None:
    """The order of keys makes no difference; messages, model and each param do."""

    def fingerprint(model: str = "m", messages: Any = HELLO, given: Any = None) -> int:
        return compose(Key("1"), model, messages, params if given is None else given).fingerprint

    turned = dict(reversed(params.items()))
    assert fingerprint(given=turned, messages=[dict(reversed(HELLO[0].items()))]) == fingerprint()
    fewer = dict(list(params.items())[1:])
    others = [fingerprint("n"), fingerprint(messages=[*HELLO, *HELLO]), fingerprint(given=fewer)]
    assert fingerprint() not in others
    assert fingerprint() < 1 << 64


@pytest.mark.parametrize(
    ("payload", "reply"),
    [
        ({}, None),
        ({"choices": None}, None),
        ({"choices": []}, None),
        ({"choices": ["text"]}, None),
        ({"choices": [{"text": "legacy"}]}, None),
        ({"choices": [{"message": {}}]}, Reply(None)),
        ({"choices": [{"message": {"content": 5}, "finish_reason": 1}], "model": 3, "id": []}, Reply(None)),
        ({"choices": [{"message": {"content": "a"}}, {"message": {"content": "b"}}]}, Reply("a")),
        ({"choices": [{"message": {"content": "a", "tool_calls": []}}]}, Reply("a")),
        ({"choices": [{"message": {"content": None, "tool_calls": [{"id": 1}]}}]}, Reply(None, tool_calls=[{"id": 1}])),
        ({"choices": [{"message": {"content": "a", "reasoning_content": "r"}}]}, Reply("a", reasoning="r")),
        ({"choices": [{"message": {"content": "a", "reasoning": "r"}}]}, Reply("a", reasoning="r")),
        (
            {
                "choices": [
                    {"message": {"content": [{"type": "thinking"}, {"text": "a"}, {"text": "b"}, 7, {"text": 7}]}}
                ]
            },
            Reply("ab"),
        ),
    ],
)
def test_a_reply_is_read_as_far_as_it_goes(payload: dict[str, Any], reply: Reply | None) -> None:
    """What is missing or of another type is None; without a choice there is no reply."""
    assert read_reply(payload) == reply


@pytest.mark.parametrize(
    ("reported", "tokens"),
    [(12, 12), (12.0, 12), (0, 0), (-1, None), (1.5, None), ("12", None), (True, None), (None, None), (1 << 63, None)],
)
def test_tokens_are_counts(reported: Any, tokens: int | None) -> None:
    """A whole number that a column can hold, else nothing."""
    usage = read_usage(
        {
            "usage": {
                "prompt_tokens": reported,
                "completion_tokens": reported,
                "total_tokens": reported,
                "prompt_tokens_details": {"cached_tokens": reported},
                "completion_tokens_details": {"reasoning_tokens": reported},
            }
        }
    )
    assert usage == Usage(tokens, tokens, tokens, tokens, tokens, None)


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        ({"estimated_cost": 0.0000268}, 0.0000268),
        ({"cost": 0.5}, 0.5),
        ({"cost": 0}, 0.0),
        ({"estimated_cost": 0.1, "cost": 0.5}, 0.1),
        ({"estimated_cost": None, "cost": 0.5}, 0.5),
        ({"estimated_cost": "0.1"}, None),
        ({"estimated_cost": -0.1}, None),
        ({"estimated_cost": True}, None),
        ({"estimated_cost": float("nan")}, None),
        ({"estimated_cost": float("inf")}, None),
        ({"estimated_cost": 10**400}, None),
        ({"estimated_cost": {}, "prompt_tokens_details": 5}, None),
    ],
)
def test_a_cost_is_what_was_reported_or_nothing(usage: dict[str, Any], cost: float | None) -> None:
    """`estimated_cost` before `cost`; text, booleans, negatives, NaN and what no float holds are no cost."""
    read = read_usage({"usage": usage})
    assert read is not None
    assert read.cost_usd == cost


@pytest.mark.parametrize("usage", [None, [], "12", 12])
def test_without_usage_nothing_is_reported(usage: Any) -> None:
    """A usage that is missing or no object is none."""
    assert read_usage({"usage": usage}) is None
    assert read_usage({}) is None
