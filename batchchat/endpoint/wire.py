"""Requests to JSON and responses back, in the format of OpenAI-compatible endpoints; pure.

A request has what the user set, unchanged, and nothing else. All of a response is optional: what is missing or of an
unexpected type is None, never a guess and never an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from batchchat import lossless_json
from batchchat.core.attempt import MaxUsage, Reply, Request
from batchchat.core.conversation import Key, Message
from batchchat.hash_table import PrefixHash, stable_hash64

__all__ = ["Composer", "MaxUsageOf", "as_stream", "compose", "fingerprint_of", "read_reply", "with_model"]

_UNKNOWN = MaxUsage()
_STREAM = b',"stream":true}'
_STREAM_WITH_USAGE = b',"stream":true,"stream_options":{"include_usage":true}}'
_TEXT_TYPES = ("text", "refusal", "thinking", "reference")  # a set would need what can be hashed

MaxUsageOf = Callable[[str, list[Message], Mapping[str, Any], int], MaxUsage]
"""(model, messages, params, bytes of the body) -> the maximum usage of the request."""


def compose(
    key: Key,
    model: str,
    messages: list[Message],
    params: Mapping[str, Any],
    max_usage_of: MaxUsageOf | None = None,
    *,
    plain: bool = False,
) -> Request:
    """The request for one completion; see `Composer`, which makes many."""
    return Composer(max_usage_of)(key, model, messages, params, plain=plain)


class Composer:
    """Makes requests. Equal content has the same fingerprint, whatever the order of its keys.

    Messages are written once, with sorted keys, and hashed as they stand in the body: those that have a role and a text
    and no more. In others the order of keys may have a meaning, which a prompt that an endpoint makes of them shows:
    these are written once more to be hashed. What stands around the messages is written once for all rows with the same
    model and params object.
    """

    def __init__(self, max_usage_of: MaxUsageOf | None = None) -> None:
        self._max_usage_of = max_usage_of
        self._model: str | None = None
        self._params: Mapping[str, Any] | None = None
        self._around: _Around | None = None

    def __call__(
        self, key: Key, model: str, messages: list[Message], params: Mapping[str, Any], *, plain: bool = False
    ) -> Request:
        """The request for one completion; `plain`: the messages are known to be a role and a text and no more."""
        if params is not self._params or model != self._model:
            self._model, self._params, self._around = model, params, _around(model, params)
        around, written = self._around, None
        if around is not None and (plain or _are_plain(messages)):
            written = lossless_json.canonical_or_none(messages)
        if around is None or written is None:
            content = {"model": model, "messages": messages, **params}
            body, fingerprint = lossless_json.dumps(content), fingerprint_of(content)
        else:
            body = b"".join((around.before, written, around.after))
            fingerprint = around.hash_before.of(written, around.hashed_after)
        usage_of = self._max_usage_of
        max_usage = _UNKNOWN if usage_of is None else usage_of(model, messages, params, len(body))
        return Request(key, 0, model, messages, body, fingerprint, max_usage)


class _Around(NamedTuple):
    """What a body has `before` and `after` its messages; the same with sorted keys, as it is hashed."""

    before: bytes
    after: bytes
    hash_before: PrefixHash
    hashed_after: bytes


def _around(model: str, params: Mapping[str, Any]) -> _Around | None:
    """What is around the messages of a request; None where they can't be written apart from it."""
    if "messages" in params or "model" in params or lossless_json.canonical_or_none(params) is None:
        return None
    head = lossless_json.dumps({"model": model})
    before = lossless_json.canonical({name: value for name, value in params.items() if name < "messages"})
    after = lossless_json.canonical(
        {"model": model, **{name: value for name, value in params.items() if name > "messages"}}
    )
    return _Around(
        head[:-1] + b',"messages":',
        b"," + lossless_json.dumps(params)[1:] if params else b"}",
        PrefixHash((before[:-1] + b"," if len(before) > 2 else before[:-1]) + b'"messages":'),  # noqa: PLR2004
        b"," + after[1:],
    )


def _are_plain(messages: list[Message]) -> bool:
    """Whether each of `messages` has a role and a text and no more."""
    for message in messages:
        if len(message) != 2 or "role" not in message or type(message.get("content")) is not str:  # noqa: PLR2004
            return False
    return True


def fingerprint_of(content: Mapping[str, Any]) -> int:
    """The fingerprint of a request's `content`: its messages, its model and its params."""
    return stable_hash64(lossless_json.canonical(content))


def as_stream(body: bytes, *, usage: bool = True) -> bytes:
    """The `body` of a request with `stream: true`, and with `stream_options` that ask for the `usage`.

    What it has of `stream_options` itself stays as it is. How a reply is sent is no part of a request's fingerprint.
    """
    if b'"stream"' in body or b'"stream_options"' in body:
        content = lossless_json.loads(body)
        content["stream"] = True
        if usage:
            content.setdefault("stream_options", {"include_usage": True})
        return lossless_json.dumps(content)
    return body[:-1] + (_STREAM_WITH_USAGE if usage else _STREAM)


def with_model(body: bytes, model: str, served_as: str) -> bytes:
    """`body`, of a request for `model`, with the name that an endpoint has for it."""
    head, new_head = (lossless_json.dumps({"model": name})[:-1] for name in (model, served_as))
    if body.startswith(head):
        return new_head + body[len(head) :]
    return lossless_json.dumps({**lossless_json.loads(body), "model": served_as})


def read_reply(payload: dict[str, Any]) -> Reply | None:
    """The first choice of the chat completion `payload`, or None where there is none."""
    choices = payload.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return None
    choice = choices[0]
    message = choice.get("message")
    if not isinstance(message, dict):
        message = _other_message(choice)
        if message is None:
            return None
    get, calls = message.get, message.get("tool_calls")
    text, reasoning, refusal, parts = get("content"), get("reasoning_content"), get("refusal"), None
    # vLLM, DeepSeek and DeepInfra send reasoning_content, OpenRouter sends reasoning.
    thought = _text(reasoning) or _text(get("reasoning"))
    if type(text) is not str and text is not None:
        content = _read_content(text)
        text, parts = content.text, content.parts or None
        thought, refusal = thought or content.reasoning, refusal or content.refusal
    if "images" in message or "audio" in message:
        parts = [*(parts or ()), *_media(message)] or None
    return Reply(
        text,
        _text(choice.get("finish_reason")),
        calls if isinstance(calls, list) and calls else _calls(message),
        _text(refusal),
        thought,
        _text(payload.get("model")),
        _text(payload.get("service_tier")),
        _text(payload.get("id")),
        parts,
        logprobs if isinstance(logprobs := choice.get("logprobs"), dict) and logprobs else None,
    )


def _other_message(choice: Mapping[str, Any]) -> dict[str, Any] | None:
    """The message of a choice that has it as one delta, or as the text of a legacy completion; else None.

    Gemini leaves out the message of a reply that was cut off in its reasoning.
    """
    delta, text = choice.get("delta"), choice.get("text")
    if isinstance(delta, dict):
        return delta
    if isinstance(text, str):
        return {"content": text}
    return {} if isinstance(choice.get("finish_reason"), str) and choice.get("message") is None else None


def _calls(message: Mapping[str, Any]) -> list[Any] | None:
    """The tool call of a message that has it alone, or as the `function_call` of before there were several."""
    call, function = message.get("tool_calls"), message.get("function_call")
    if isinstance(call, dict) and call:
        return [call]
    return [{"type": "function", "function": function}] if isinstance(function, dict) and function.get("name") else None


def _media(message: Mapping[str, Any]) -> list[Any]:
    """The images (OpenRouter) and the audio (OpenAI) of `message`, each as a part with its type."""
    images, audio = message.get("images"), message.get("audio")
    parts = [image for image in images if image] if isinstance(images, list) else []
    return [*parts, {"type": "audio", "audio": audio}] if isinstance(audio, dict) and audio else parts


class _Content(NamedTuple):
    text: str | None
    reasoning: str | None
    refusal: str | None
    parts: list[Any]


def _read_content(value: Any) -> _Content:
    """A content that is no text: a list of parts, as Mistral sends it when the model reasons, or one part.

    Any other JSON is a text that somebody parsed on its way.
    """
    if not isinstance(value, list) and not (isinstance(value, dict) and "type" in value):
        return _Content(lossless_json.dumps(value).decode() if value != {} else None, None, None, [])
    texts, reasoning, refusals, parts = list[str](), list[str](), list[str](), list[Any]()
    for part in value if isinstance(value, list) else [value]:
        if isinstance(part, str):
            texts.append(part)
        elif not isinstance(part, dict):
            continue
        elif isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif part.get("type") == "refusal" and isinstance(part.get("refusal"), str):
            refusals.append(part["refusal"])
        elif part.get("type") == "thinking":
            reasoning.append(_thinking(part.get("thinking")))
        elif part and "text" not in part and part.get("type") not in _TEXT_TYPES:
            parts.append(part)
    return _Content("".join(texts), "".join(reasoning) or None, "".join(refusals) or None, parts)


def _thinking(value: Any) -> str:
    if isinstance(value, str):
        return value
    inner = [part.get("text") for part in value if isinstance(part, dict)] if isinstance(value, list) else []
    return "".join(text for text in inner if isinstance(text, str))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
