"""Requests to JSON and responses back, in the format of OpenAI-compatible endpoints; pure.

A request has what the user set, unchanged, and nothing else. All of a response is optional: what is missing or of an
unexpected type is None, never a guess and never an error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from batchchat import lossless_json
from batchchat.core.attempt import MaxUsage, Reply, Request, Usage
from batchchat.core.conversation import Key, Message
from batchchat.hash_table import stable_hash64

__all__ = ["MaxUsageOf", "compose", "read_reply", "read_usage"]

_MAX_USD = 10**9
_UNKNOWN = MaxUsage()

MaxUsageOf = Callable[[str, list[Message], Mapping[str, Any], int], MaxUsage]
"""(model, messages, params, bytes of the body) -> the maximum usage of the request."""


def compose(
    key: Key, model: str, messages: list[Message], params: Mapping[str, Any], max_usage_of: MaxUsageOf | None = None
) -> Request:
    """The request for one completion. Equal content has the same fingerprint, whatever the order of its keys."""
    content = {"model": model, "messages": messages, **params}
    body = lossless_json.dumps(content)
    return Request(
        key=key,
        step=0,
        model=model,
        messages=messages,
        body=body,
        fingerprint=stable_hash64(lossless_json.canonical(content)),
        max_usage=_UNKNOWN if max_usage_of is None else max_usage_of(model, messages, params, len(body)),
    )


def read_reply(payload: dict[str, Any]) -> Reply | None:
    """The first choice of the chat completion `payload`, or None where there is none."""
    choices = payload.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return None
    choice = choices[0]
    message = choice.get("message")
    if message is None and isinstance(choice.get("finish_reason"), str):
        message = {}  # Gemini leaves out the message of a reply that was cut off in its reasoning
    if not isinstance(message, dict):
        return None
    get, calls = message.get, message.get("tool_calls")
    text, reasoning = get("content"), get("reasoning_content")
    return Reply(
        text if type(text) is str else _parts(text),
        _text(choice.get("finish_reason")),
        calls if isinstance(calls, list) and calls else None,
        _text(get("refusal")),
        # vLLM, DeepSeek and DeepInfra send reasoning_content, OpenRouter sends reasoning.
        _text(reasoning) or _text(get("reasoning")),
        _text(payload.get("model")),
        _text(payload.get("service_tier")),
        _text(payload.get("id")),
    )


def read_usage(payload: dict[str, Any]) -> Usage | None:
    """The tokens and the cost that `payload` reports, or None where it reports nothing."""
    usage = payload.get("usage")
    if not isinstance(usage, dict):
        return None
    get = usage.get
    cost = _usd(get("estimated_cost"))
    return Usage(
        _count(get("prompt_tokens")),
        _count(get("completion_tokens")),
        _count(get("total_tokens")),
        _detail(get("prompt_tokens_details"), "cached_tokens"),
        _detail(get("completion_tokens_details"), "reasoning_tokens"),
        cost if cost is not None else _usd(get("cost")),
    )


def _parts(value: Any) -> str | None:
    """A reply's text; Mistral sends it as a list of parts when the model reasons."""
    if not isinstance(value, list):
        return None
    parts = [part.get("text") for part in value if isinstance(part, dict)]
    return "".join(part for part in parts if isinstance(part, str))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _count(value: Any) -> int | None:
    """A whole number of tokens from 0 up; some servers send 12.0."""
    if type(value) is int:
        return value if 0 <= value < 1 << 63 else None
    return int(value) if isinstance(value, float) and value.is_integer() and 0 <= value < 1 << 63 else None


def _detail(details: Any, name: str) -> int | None:
    return _count(details.get(name)) if isinstance(details, dict) else None


def _usd(value: Any) -> float | None:
    if type(value) is int and value > _MAX_USD:  # an integer may be longer than a float can hold
        return None
    if type(value) not in (int, float) or not math.isfinite(value) or value < 0:
        return None
    return float(value)
