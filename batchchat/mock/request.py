"""A client's request, parsed and checked once; one that gets no answer is a `RefusedRequest`.

The statuses and bodies of refusals are DeepInfra's. Not every parameter has an effect, but each one is part of
the request's identity, and unknown ones are no error.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import orjson

from batchchat.mock.json_format import FORMATS, wanted_schema
from batchchat.mock.usage import count_prompt

__all__ = ["MockRequest", "RefusedRequest", "check_model", "parse_request", "parse_request_ids"]

ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
UNKNOWN_MODEL = "no-such"
MAX_IDS = 10_000
STREAM_KEYS = frozenset({"stream", "stream_options"})


class RefusedRequest(Exception):  # noqa: N818 - a refusal is an answer, not an error of the mock
    """A request that gets a status and a JSON body instead of an answer."""

    def __init__(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.body = body
        self.headers = headers


@dataclass(frozen=True, slots=True)
class MockRequest:
    """One valid request.

    `identity` is a digest of the whole body, `content` of the body without the keys of streaming. `json_schema` is
    what the answer is to fit, None for one in prose.
    """

    model: str
    messages: list[dict[str, Any]]
    prompt_tokens: int
    max_tokens: int | None
    stream: bool
    include_usage: bool
    identity: bytes
    content: bytes
    json_schema: dict[str, Any] | None


def parse_request(raw: bytes, context_length: int, refused_formats: Collection[str] = ()) -> MockRequest:
    """Parse and check a request's body.

    Raises `RefusedRequest`: 400 no JSON, 404 model, 422 fields, 400 context or a type of `response_format` that is
    among `refused_formats`.
    """
    body, identity = _parsed(raw)
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise _bad_field("Field required" if model is None else "Input should be a name", "missing", "model")
    messages = _checked_messages(body.get("messages"))
    stream = _checked_flag(body, "stream")
    max_tokens = _checked_max_tokens(body)
    if body.get("n") not in (None, 1):
        raise _bad_field("The mock gives one choice", "less_than_equal", "n")
    check_model(model)
    response_format = _checked_format(body.get("response_format"), refused_formats)
    prompt_tokens = count_prompt(messages, body.get("tools"))
    if prompt_tokens > context_length:
        message = f"Requested input length {prompt_tokens} exceeds maximum input length {context_length}"
        raise RefusedRequest(400, {"error": {"message": message, "type": "invalid_request_error"}})
    delivered = not STREAM_KEYS.isdisjoint(body)
    return MockRequest(
        model=model,
        messages=messages,
        prompt_tokens=prompt_tokens,
        max_tokens=max_tokens,
        stream=stream,
        include_usage=stream and _wants_usage(body.get("stream_options")),
        identity=identity,
        content=_digest({k: v for k, v in body.items() if k not in STREAM_KEYS}) if delivered else identity,
        json_schema=wanted_schema(response_format, messages),
    )


def parse_request_ids(raw: bytes) -> list[str]:
    """The ids to return the costs of. Raises `RefusedRequest`: 400 no JSON, 422 no list of texts."""
    ids = _parsed(raw)[0].get("requestIds")
    if ids is None:
        raise _bad_field("Field required", "missing", "requestIds")
    if not isinstance(ids, list):
        raise _bad_field("Input should be a list", "list_type", "requestIds")
    if len(ids) > MAX_IDS:
        raise _bad_field(f"List should have at most {MAX_IDS} items", "too_long", "requestIds")
    for position, id_ in enumerate(ids):
        if not isinstance(id_, str):
            raise _bad_field("Input should be a text", "string_type", "requestIds", position)
    return ids


def check_model(model: str) -> None:
    """Raise the 404 of an unknown model; only names that start with `no-such` are unknown."""
    if model.startswith(UNKNOWN_MODEL):
        raise RefusedRequest(404, {"detail": {"error": f"The model `{model}` does not exist"}})


def _parsed(raw: bytes) -> tuple[dict[str, Any], bytes]:
    """The body and its digest."""
    try:
        body = orjson.loads(raw)
        # Fails too, at 254 levels of nesting, where reading allows 1024.
        digest = _digest(body)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError) as error:
        raise RefusedRequest(400, {"error": {"message": f"The body is not JSON: {error}"}}) from None
    if not isinstance(body, dict):
        raise _bad_field("Input should be an object", "dict_type")
    return body, digest


def _digest(value: Any) -> bytes:
    return blake2b(orjson.dumps(value, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()


def _bad_field(message: str, kind: str, *location: str | int) -> RefusedRequest:
    return RefusedRequest(422, {"detail": [{"loc": ["body", *location], "msg": message, "type": kind}]})


def _checked_messages(messages: Any) -> list[dict[str, Any]]:
    if messages is None:
        raise _bad_field("Field required", "missing", "messages")
    if not isinstance(messages, list):
        raise _bad_field("Input should be a list", "list_type", "messages")
    if not messages:
        raise _bad_field("List should have at least 1 item", "too_short", "messages")
    for position, message in enumerate(messages):
        if not isinstance(message, dict):
            raise _bad_field("Input should be an object", "dict_type", "messages", position)
        role = message.get("role")
        if not isinstance(role, str) or role not in ROLES:
            roles = ", ".join(sorted(ROLES))
            raise _bad_field(f"Input should be one of {roles}", "enum", "messages", position, "role")
        if not isinstance(message.get("content"), str | list | None):
            raise _bad_field("Input should be a text or parts", "string_type", "messages", position, "content")
    return messages


def _checked_flag(body: dict[str, Any], name: str) -> bool:
    value = body.get(name)
    if not isinstance(value, bool | None):
        raise _bad_field("Input should be true or false", "bool_type", name)
    return bool(value)


def _checked_max_tokens(body: dict[str, Any]) -> int | None:
    limits: list[int] = []
    for name in ("max_tokens", "max_completion_tokens"):
        value = body.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise _bad_field("Input should be a whole number from 1 up", "int_type", name)
        limits.append(value)
    return min(limits, default=None)


def _checked_format(value: Any, refused: Collection[str]) -> dict[str, Any] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise _bad_field("Input should be an object", "dict_type", "response_format")
    kind = value.get("type")
    if kind in refused:
        # OpenAI's words for a model without structured outputs.
        message = f"Invalid parameter: 'response_format' of type '{kind}' is not supported with this model."
        error = {"message": message, "type": "invalid_request_error", "param": "response_format", "code": None}
        raise RefusedRequest(400, {"error": error})
    if kind not in FORMATS:
        raise _bad_field(f"Input should be one of {', '.join(FORMATS)}", "enum", "response_format", "type")
    if kind == "json_schema":
        described = value.get("json_schema")
        for key, type_ in (("name", str), ("schema", dict)):
            if not (isinstance(described, dict) and isinstance(described.get(key), type_)):
                raise _bad_field("Field required", "missing", "response_format", "json_schema", key)
    return value


def _wants_usage(options: Any) -> bool:
    return isinstance(options, dict) and options.get("include_usage") is True
