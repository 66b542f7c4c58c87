"""The verdict table, row by row as `docs/endpoints.md` has it; and that nothing a server says can break the judge."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.core.attempt import Action, Billed, Scope
from batchchat.core.conversation import ErrorKind
from batchchat.endpoint.body import read_body
from batchchat.endpoint.judged_response import JudgedResponse, judge_response
from batchchat.endpoint.verdicts import retry_after_s
from batchchat.secret import Redactor

RETRY, FAIL, STOP, STOP_IF_NEW = Action.RETRY, Action.FAIL_ROW, Action.STOP_RUN, Action.STOP_UNLESS_ANSWERED
PASSING = Action.RETRY_IF_ANSWERED
ROW, ENDPOINT = Scope.ROW, Scope.ENDPOINT
NO, MAYBE, YES = Billed.NO, Billed.MAYBE, Billed.YES

DEEPINFRA_BUSY = {
    "error": {"message": "Model busy, retry later", "type": "invalid_request_error", "code": "engine_overloaded"}
}
DEEPINFRA_TOO_LONG = {"error": {"message": "Requested input length 99009 exceeds maximum input length 8192"}}
DEEPINFRA_422 = {"detail": [{"loc": ["body", "messages", 0], "msg": "field required", "type": "value_error.missing"}]}
VLLM_OLD = {
    "object": "error",
    "message": "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens.",
    "type": "BadRequestError",
    "param": None,
    "code": 400,
}
LLAMA_TOO_LONG = {
    "error": {
        "code": 400,
        "message": "the request exceeds the available context size, try increasing it",
        "type": "exceed_context_size_error",
        "n_prompt_tokens": 9000,
        "n_ctx": 4096,
    }
}
LLAMA_LOADING = {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}
AZURE_FILTER = {
    "error": {
        "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {"code": "ResponsibleAIPolicyViolation"},
    }
}


def openai(code: str | None, kind: str = "requests", message: str = "You exceeded…") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def router(code: Any, message: str = "Provider returned error", **other: Any) -> dict[str, Any]:
    return {"choices": None, "error": {"code": code, "message": message}, **other}


NONE: dict[str, str] = {}
AFTER = {"retry-after": "7"}
K = ErrorKind

TABLE: list[tuple[int, dict[str, str], Any, tuple[ErrorKind, Action, Scope, Billed, float | None]]] = [
    # DeepInfra
    (401, NONE, {"detail": "Unauthorized"}, (K.UNAUTHORIZED, STOP, ROW, NO, None)),
    (402, NONE, {"detail": {"error": "Please add funds"}}, (K.QUOTA, STOP, ROW, NO, None)),
    (404, NONE, {"detail": {"error": "The model `x` does not exist"}}, (K.NOT_FOUND, STOP_IF_NEW, ROW, NO, None)),
    (422, NONE, DEEPINFRA_422, (K.BAD_REQUEST, FAIL, ROW, NO, None)),
    (500, NONE, DEEPINFRA_TOO_LONG, (K.CONTEXT_LENGTH, FAIL, ROW, NO, None)),
    (400, NONE, DEEPINFRA_TOO_LONG, (K.CONTEXT_LENGTH, FAIL, ROW, NO, None)),
    (500, AFTER, DEEPINFRA_TOO_LONG, (K.CONTEXT_LENGTH, FAIL, ROW, NO, None)),
    (429, NONE, DEEPINFRA_BUSY, (K.OVERLOADED, RETRY, ENDPOINT, NO, None)),
    (429, AFTER, DEEPINFRA_BUSY, (K.OVERLOADED, RETRY, ENDPOINT, NO, 7.0)),
    (429, NONE, {"detail": "Rate limited"}, (K.RATE_LIMIT, RETRY, ENDPOINT, NO, None)),
    # OpenAI
    (429, NONE, openai("insufficient_quota", "insufficient_quota"), (K.QUOTA, STOP, ROW, NO, None)),
    (429, AFTER, openai(None, "insufficient_quota"), (K.QUOTA, STOP, ROW, NO, None)),
    (429, NONE, openai("billing_hard_limit_reached"), (K.QUOTA, STOP, ROW, NO, None)),
    (429, NONE, openai("rate_limit_exceeded"), (K.RATE_LIMIT, RETRY, ENDPOINT, NO, None)),
    (429, {"retry-after-ms": "250"}, openai("rate_limit_exceeded"), (K.RATE_LIMIT, RETRY, ENDPOINT, NO, 0.25)),
    (429, NONE, openai("slow_down"), (K.OVERLOADED, RETRY, ENDPOINT, NO, None)),
    (503, NONE, openai("slow_down"), (K.OVERLOADED, RETRY, ENDPOINT, NO, None)),
    (429, {"x-should-retry": "false"}, openai("rate_limit_exceeded"), (K.RATE_LIMIT, RETRY, ENDPOINT, NO, None)),
    (500, {"x-should-retry": "false"}, openai(None), (K.SERVER_ERROR, RETRY, ROW, NO, None)),
    (502, {"x-should-retry": "false"}, openai(None), (K.GATEWAY_TIMEOUT, RETRY, ROW, MAYBE, None)),
    (409, {"x-should-retry": "false"}, openai(None), (K.OTHER, FAIL, ROW, NO, None)),
    (400, {"x-should-retry": "true"}, openai(None), (K.BAD_REQUEST, RETRY, ROW, NO, None)),
    (401, {"x-should-retry": "true"}, openai("invalid_api_key"), (K.UNAUTHORIZED, STOP, ROW, NO, None)),
    (400, NONE, openai("context_length_exceeded"), (K.CONTEXT_LENGTH, FAIL, ROW, NO, None)),
    (404, NONE, openai("model_not_found"), (K.NOT_FOUND, STOP_IF_NEW, ROW, NO, None)),
    (408, NONE, openai(None), (K.TIMEOUT, RETRY, ROW, MAYBE, None)),
    (409, NONE, openai(None), (K.OTHER, RETRY, ROW, NO, None)),
    # OpenRouter
    (200, NONE, router(429), (K.RATE_LIMIT, RETRY, ENDPOINT, NO, None)),
    (200, NONE, router("502"), (K.GATEWAY_TIMEOUT, RETRY, ROW, MAYBE, None)),
    (200, NONE, router(402), (K.QUOTA, STOP, ROW, NO, None)),
    (200, NONE, router("server_error"), (K.SERVER_ERROR, RETRY, ROW, NO, None)),
    (200, NONE, {"error": {"message": "flagged", "code": 403}}, (K.CONTENT_FILTER, FAIL, ROW, NO, None)),
    (200, NONE, router(9 * 10**4300), (K.BAD_RESPONSE, RETRY, ROW, MAYBE, None)),
    (200, NONE, router("4" * 5000), (K.SERVER_ERROR, RETRY, ROW, NO, None)),
    (402, AFTER, router(402), (K.QUOTA, RETRY, ENDPOINT, NO, 7.0)),
    (402, NONE, router(402), (K.QUOTA, STOP, ROW, NO, None)),
    (403, NONE, router(403, "Your input was flagged"), (K.CONTENT_FILTER, FAIL, ROW, NO, None)),
    # Groq, Together, Cloudflare, Fireworks
    (498, NONE, openai(None), (K.OVERLOADED, RETRY, ENDPOINT, NO, None)),
    (503, NONE, openai(None), (K.OVERLOADED, RETRY, ENDPOINT, NO, None)),
    (524, NONE, b"<html>A timeout occurred</html>", (K.GATEWAY_TIMEOUT, RETRY, ROW, MAYBE, None)),
    (529, NONE, openai("overloaded_error"), (K.OVERLOADED, RETRY, ENDPOINT, NO, None)),
    (412, NONE, {"error": "Account suspended"}, (K.QUOTA, STOP, ROW, NO, None)),
    # Azure
    (400, NONE, AZURE_FILTER, (K.CONTENT_FILTER, FAIL, ROW, NO, None)),
    (
        200,
        NONE,
        {"choices": [{"finish_reason": "content_filter", "message": {"role": "assistant"}}]},
        (K.CONTENT_FILTER, FAIL, ROW, YES, None),
    ),
    # vLLM, llama.cpp
    (400, NONE, VLLM_OLD, (K.CONTEXT_LENGTH, FAIL, ROW, NO, None)),
    (404, NONE, {**VLLM_OLD, "message": "no model", "code": 404}, (K.NOT_FOUND, STOP_IF_NEW, ROW, NO, None)),
    (400, NONE, LLAMA_TOO_LONG, (K.CONTEXT_LENGTH, FAIL, ROW, NO, None)),
    (503, NONE, LLAMA_LOADING, (K.OVERLOADED, RETRY, ENDPOINT, NO, None)),
    # By status alone
    (301, {"location": "https://x"}, b"", (K.BAD_RESPONSE, PASSING, ROW, NO, None)),
    (307, NONE, b"", (K.BAD_RESPONSE, PASSING, ROW, NO, None)),
    (400, NONE, b"no", (K.BAD_REQUEST, FAIL, ROW, NO, None)),
    (403, NONE, b"no", (K.FORBIDDEN, PASSING, ROW, NO, None)),
    (403, NONE, {"message": "Forbidden"}, (K.FORBIDDEN, STOP_IF_NEW, ROW, NO, None)),
    (403, NONE, b"flagged", (K.CONTENT_FILTER, FAIL, ROW, NO, None)),
    (404, NONE, b"<html>nginx", (K.NOT_FOUND, PASSING, ROW, NO, None)),
    (404, NONE, b"default backend - 404", (K.NOT_FOUND, PASSING, ROW, NO, None)),
    (404, NONE, b"", (K.NOT_FOUND, PASSING, ROW, NO, None)),
    (407, NONE, b"", (K.UNAUTHORIZED, STOP, ROW, NO, None)),
    (413, NONE, b"", (K.TOO_LARGE, FAIL, ROW, NO, None)),
    (418, NONE, b"", (K.BAD_REQUEST, FAIL, ROW, NO, None)),
    (500, NONE, b"", (K.SERVER_ERROR, RETRY, ROW, NO, None)),
    (502, AFTER, b"", (K.GATEWAY_TIMEOUT, RETRY, ROW, MAYBE, 7.0)),
    (504, NONE, b"", (K.GATEWAY_TIMEOUT, RETRY, ROW, MAYBE, None)),
    (522, NONE, b"", (K.CONNECTION, RETRY, ENDPOINT, NO, None)),
    (999, NONE, b"", (K.OTHER, FAIL, ROW, NO, None)),
]


def judged(status: int, headers: dict[str, str], body: bytes, *, complete: bool) -> JudgedResponse:
    read = read_body(body, "", Redactor(), complete=complete)
    return judge_response(status, headers, read, lambda usage, model, reply: None, Redactor())


def text_of(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, dict) and isinstance(value.get("error"), dict) and type(value["error"].get("code")) is int:
        code = value["error"]["code"]
        if code > 10**400:  # json.dumps refuses what no server should write
            return json.dumps({**value, "error": {"code": "@"}}).replace('"@"', "9" * 4400).encode()
    return json.dumps(value).encode()


@pytest.mark.parametrize(("status", "headers", "body", "expected"), TABLE)
def test_the_table(status: int, headers: dict[str, str], body: Any, expected: Any) -> None:
    """Each documented response has its kind, action, scope, billing and wait."""
    answer = judged(status, headers, text_of(body), complete=True)
    verdict = answer.verdict
    assert (verdict.kind, verdict.action, verdict.scope, verdict.billed, verdict.wait_s) == expected
    assert answer.failure is not None
    assert answer.failure.kind is verdict.kind
    assert 0 < len(answer.failure.text) <= 500


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**300, 10**330)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["error", "429", "content_filter", "x" * 900, "\ud800"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "error",
                    "detail",
                    "message",
                    "msg",
                    "code",
                    "type",
                    "loc",
                    "choices",
                    "usage",
                    "cost",
                    "estimated_cost",
                    "prompt_tokens",
                    "content",
                    "prompt_tokens_details",
                    "cached_tokens",
                    "tool_calls",
                    "refusal",
                    "finish_reason",
                    "model",
                    "id",
                    "text",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=15,
)
statuses = st.integers(100, 999) | st.sampled_from([200, 400, 422, 429, 500])
header_values = st.dictionaries(
    st.sampled_from(["retry-after", "retry-after-ms", "date", "x-should-retry", "location"]),
    st.text(max_size=30) | st.sampled_from(["nan", "inf", "-1", "Wed, 21 Oct 2099 07:28:00 GMT", "true"]),
)


def check(status: int, headers: dict[str, str], body: bytes, complete: bool) -> None:
    answer = judged(status, headers, body, complete=complete)
    verdict, failure = answer.verdict, answer.failure
    assert (verdict.action is Action.ACCEPT) == (verdict.kind is None) == (failure is None)
    if failure is not None:
        assert failure.kind is verdict.kind
        assert 0 < len(failure.text) <= 500
    if verdict.action is Action.ACCEPT:
        assert 200 <= status < 300
        assert answer.reply is not None
    assert verdict.wait_s is None or 0 <= verdict.wait_s < 86_400


@given(status=statuses, headers=header_values, payload=json_values, complete=st.booleans())
def test_any_json_has_a_verdict(status: int, headers: dict[str, str], payload: Any, complete: bool) -> None:
    """Whatever JSON comes with whatever status and headers, the judge says what it means and never raises."""
    check(status, headers, json.dumps(payload).encode(), complete)


@given(status=statuses, payload=json_values)
def test_any_completion_has_a_verdict(status: int, payload: Any) -> None:
    """The same where the JSON stands where the members of a completion do."""
    for body in (
        {"choices": [{"message": payload, "finish_reason": payload}], "usage": payload},
        {"choices": payload, "error": payload, "usage": {"cost": payload, "prompt_tokens": payload}},
        {"choices": [{"message": {"content": payload, "tool_calls": payload}}], "model": payload},
        {"error": {"message": payload, "code": payload, "type": payload}},
        {"detail": [payload, {"loc": payload, "msg": payload}]},
    ):
        check(status, {}, json.dumps(body).encode(), complete=True)


@given(status=statuses, body=st.binary(max_size=300), complete=st.booleans())
def test_any_bytes_have_a_verdict(status: int, body: bytes, complete: bool) -> None:
    """The same for bytes that are nothing."""
    check(status, {}, body, complete)


def test_deep_nesting_has_a_verdict() -> None:
    """A hundred thousand brackets are a bad response, not a crash."""
    check(200, {}, b"[" * 100_000, complete=True)
    check(500, {}, b'{"error":' * 100_000, complete=True)


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after-ms": "1500", "retry-after": "7"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7.0),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "86400"}, None),
        ({"retry-after": "86399"}, 86399.0),
        ({"retry-after": "later"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 30.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:27:30 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT"}, None),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 -0000", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"retry-after": f"Wed, 21 Oct {'9' * 30} 07:28:30 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"retry-after": f"Wed, 21 Oct 2026 07:28:30 +{'9' * 30}", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
    ],
)
def test_what_the_endpoint_asks_us_to_wait(headers: dict[str, str], wait_s: float | None) -> None:
    """Seconds, milliseconds, or a date against the server's own clock; what makes no sense is no wish."""
    assert retry_after_s(headers) == wait_s
