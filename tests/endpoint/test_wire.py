"""What is sent is what the user set; what comes back is read as far as it is of the expected type."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat import lossless_json
from batchchat.core.attempt import Reply
from batchchat.core.conversation import Key
from batchchat.endpoint.wire import Composer, as_stream, compose, fingerprint_of, read_reply
from batchchat.hash_table import stable_hash64

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


_messages = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "user"]), "content": st.text() | plain})
    | st.fixed_dictionaries({"content": st.text(), "role": st.just("user")}, optional={"name": plain}),
    min_size=1,
    max_size=3,
)


@given(rows=st.lists(st.tuples(st.sampled_from("am"), _messages, st.integers(0, 1)), max_size=4), params=st.data())
def test_one_composer_makes_what_each_request_alone_is(rows: list[tuple[str, Any, int]], params: st.DataObject) -> None:
    """What it remembers of one request is in no other; the fingerprint is that of the whole content, with sorted keys.

    The keys of a message stay in their order, unless they are a role and a text, where it has no meaning.
    """
    own = [params.draw(st.dictionaries(names, plain, max_size=4)) for _ in range(2)]
    composer = Composer()
    for model, messages, number in rows:
        content = {"model": model, "messages": messages, **own[number]}
        request = composer(Key("1"), model, messages, own[number])
        assert request == compose(Key("1"), model, messages, own[number])
        assert request.fingerprint == fingerprint_of(content) == stable_hash64(lossless_json.canonical(content))
        sent = json.loads(request.body)
        assert sent == content
        assert list(sent) == list(content)
        if any(len(message) > 2 or not isinstance(message["content"], str) for message in messages):
            assert json.dumps(sent) == json.dumps(content)


@pytest.mark.parametrize(
    ("payload", "reply"),
    [
        ({}, None),
        ({"choices": None}, None),
        ({"choices": []}, None),
        ({"choices": ["text"]}, None),
        ({"choices": [{"text": "legacy"}]}, Reply("legacy")),
        ({"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]}, Reply("a", "stop")),
        ({"choices": [{"text": 5}]}, None),
        ({"choices": [{"finish_reason": "length"}]}, Reply(None, "length")),
        ({"choices": [{"message": {}}]}, Reply(None)),
        ({"choices": [{"message": {"content": 5}, "finish_reason": 1}], "model": 3, "id": []}, Reply("5")),
        ({"choices": [{"message": {"content": {"a": [1]}}}]}, Reply('{"a":[1]}')),
        ({"choices": [{"message": {"content": {}}}]}, Reply(None)),
        ({"choices": [{"message": {"content": {"type": "text", "text": "a"}}}]}, Reply("a")),
        ({"choices": [{"message": {"content": "a"}}, {"message": {"content": "b"}}]}, Reply("a")),
        ({"choices": [{"message": {"content": "a", "tool_calls": []}}]}, Reply("a")),
        ({"choices": [{"message": {"content": None, "tool_calls": [{"id": 1}]}}]}, Reply(None, tool_calls=[{"id": 1}])),
        ({"choices": [{"message": {"content": "a", "reasoning_content": "r"}}]}, Reply("a", reasoning="r")),
        ({"choices": [{"message": {"content": "a", "reasoning": "r"}}]}, Reply("a", reasoning="r")),
        (
            {"choices": [{"message": {"content": "a"}, "logprobs": {"content": [{"token": "a", "logprob": -0.5}]}}]},
            Reply("a", logprobs={"content": [{"token": "a", "logprob": -0.5}]}),
        ),
        ({"choices": [{"message": {"content": "a"}, "logprobs": None}]}, Reply("a")),
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


AUDIO = {"id": "a", "data": "AAAA"}
THOUGHT = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
CALL = {"name": "f", "arguments": '{"x": 1}'}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


@pytest.mark.parametrize(
    ("message", "reply"),
    [
        ({"content": None, "function_call": CALL}, Reply(None, tool_calls=[{"type": "function", "function": CALL}])),
        ({"content": "a", "function_call": None, "tool_calls": None}, Reply("a")),
        ({"content": "a", "function_call": {"name": "", "arguments": ""}}, Reply("a")),
        ({"content": None, "tool_calls": {"id": "1"}}, Reply(None, tool_calls=[{"id": "1"}])),
        ({"content": "", "images": [IMAGE]}, Reply("", parts=[IMAGE])),
        ({"content": "", "images": []}, Reply("")),
        (
            {"content": None, "audio": AUDIO},
            Reply(None, parts=[{"type": "audio", "audio": AUDIO}]),
        ),
        ({"content": [{"type": "text", "text": "Here:"}, IMAGE]}, Reply("Here:", parts=[IMAGE])),
        ({"content": [IMAGE], "images": [IMAGE]}, Reply("", parts=[IMAGE, IMAGE])),
        ({"content": [{"type": "refusal", "refusal": "No."}]}, Reply("", refusal="No.")),
        (
            {"content": [THOUGHT, {"type": "text", "text": "a"}]},
            Reply("a", reasoning="Hm."),
        ),
        ({"content": [{"type": "text"}, {}, None, {"type": "reference", "reference_ids": [1]}]}, Reply("")),
    ],
)
def test_what_is_no_text_is_a_reply_too(message: dict[str, Any], reply: Reply) -> None:
    """A legacy function call is a tool call; images, audio and parts of other types are kept as parts."""
    assert read_reply({"choices": [{"message": message}]}) == reply


@pytest.mark.parametrize("text", ["Hi", 'A "stream": of "stream_options"', "}"])
@pytest.mark.parametrize("usage", [True, False])
@pytest.mark.parametrize(
    ("params", "options"),
    [
        ({}, {"include_usage": True}),
        ({"stream": False, "seed": 12345678901234567890123}, {"include_usage": True}),
        ({"stream_options": {"include_obfuscation": False}}, None),
    ],
)
def test_a_request_for_a_stream(text: str, params: dict[str, Any], options: Any, *, usage: bool) -> None:
    """It is the same request but for how its reply is sent; each key is there once, and options of its own stay."""
    plain = compose(Key("1"), "m", [{"role": "user", "content": text}], params).body
    pairs: list[tuple[str, Any]] = json.loads(as_stream(plain, usage=usage), object_pairs_hook=lambda pairs: pairs)
    streamed = json.loads(as_stream(plain, usage=usage))
    assert len(pairs) == len(streamed)
    wanted = options if usage or options is None else None
    expected = {**json.loads(plain), "stream": True} | ({} if wanted is None else {"stream_options": wanted})
    assert streamed == expected
