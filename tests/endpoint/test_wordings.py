"""What providers say, word for word: what each sentence means, and those that only look like another."""

from __future__ import annotations

import json
from typing import Any

import pytest

from batchchat.core.attempt import Action, Billed, Scope, Verdict
from batchchat.core.conversation import ErrorKind
from batchchat.endpoint.body import read_body
from batchchat.endpoint.judged_response import judge_response
from batchchat.secret import Redactor

K, A = ErrorKind, Action


def judged(status: int, payload: Any) -> tuple[Verdict, str]:
    body = read_body(json.dumps(payload).encode(), "", Redactor())
    answer = judge_response(status, {}, body, lambda usage, model, reply: None, Redactor())
    assert answer.failure is not None
    return answer.verdict, answer.failure.text


def openai(message: str, **fields: Any) -> dict[str, Any]:
    return {"error": {"message": message, **fields}}


def gemini(code: int, message: str, status: str, *details: Any) -> list[Any]:
    return [{"error": {"code": code, "message": message, "status": status, "details": list(details)}}]


def relayed(code: int, raw: Any, provider: str = "Lamp") -> dict[str, Any]:
    return openai("Provider returned error", code=code, metadata={"raw": raw, "provider_name": provider})


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens."),
        (400, "This endpoint's maximum context length is 32768 tokens. However, you requested about 40000 tokens"),
        (400, "prompt is too long: 210000 tokens > 200000 maximum"),
        (400, "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000"),
        (400, "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."),
        (400, "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length"),
        (400, "too many tokens: total number of tokens in the prompt cannot exceed 4081"),
        (403, "The prompt plus max_tokens is over the model's context"),
        (422, "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4097. Given: 5000"),
        (400, "The prompt is too long: 150000, model maximum context length: 131071"),
        (400, "The input (12000 tokens) is longer than the model's context length (8192 tokens)."),
        (422, "Input validation error: `inputs` must have less than 1024 tokens. Given: 2000"),
        (400, "the request exceeds the available context size, try increasing it"),
        (400, "The number of tokens to keep from the initial prompt is greater than the context length"),
        (400, "This model's maximum prompt length is 131072 but the request contains 147000 tokens."),
        (400, "Please reduce the length of the messages or completion."),
        (400, "Input is too long for requested model."),
        (400, "<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 30720]"),
        (400, "Invalid request: Your request exceeded model token limit: 8192 (requested: 9000)"),
        (400, "invalid params, context window exceeds limit (2013)"),
        (400, "The decoder prompt (length 9000) is longer than the maximum model length of 8192."),
        (500, "Requested input length 99009 exceeds maximum input length 8192"),
        (500, "This model's maximum context length is 8,192 tokens"),
    ],
)
def test_a_prompt_that_is_too_long(status: int, message: str) -> None:
    """Fails its row at once, whoever says it."""
    verdict, text = judged(status, openai(message, type="invalid_request_error"))
    assert (verdict.kind, verdict.action) == (K.CONTEXT_LENGTH, A.FAIL_ROW)
    assert message in text


@pytest.mark.parametrize(
    ("status", "payload"),
    [
        (400, openai("Input data may contain inappropriate content.", code="data_inspection_failed")),
        (400, openai("系统检测到输入或生成内容可能包含不安全或敏感内容", code="1301")),
        (200, {"choices": None, "base_resp": {"status_code": 1026, "status_msg": "input new_sensitive"}}),
        (200, {"choices": None, "base_resp": {"status_code": 1027, "status_msg": "output new_sensitive"}}),
        (500, openai("input new_sensitive (1026)", type="server_error")),
        (400, openai("Content Exists Risk", type="invalid_request_error", code="invalid_request_error")),
        (400, openai("The request was rejected because it was considered high risk", type="content_filter")),
        (400, openai("Output blocked by content filtering policy")),
        (400, openai("Invalid prompt: your prompt was flagged as potentially violating our usage policy.")),
        (400, openai("Your request was rejected as a result of our safety system.")),
        (403, {"code": "No permission", "error": "Content violates usage guidelines. Failed check: SAFETY_CHECK_BIO"}),
        (403, openai("openai/m requires moderation and your input was flagged for violence", code=403)),
        (403, relayed(403, '{"error":{"message":"bad words","code":"content_policy_violation"}}')),
        (400, openai("Violated content safety policy", type="ContentPolicyViolationError")),
        (421, openai("Content moderation", code="421")),
        (451, openai("The content you provided or machine outputted is blocked.", type="censorship_blocked")),
        (400, openai("filtered", code="x", innererror={"code": "ResponsibleAIPolicyViolation"})),
    ],
)
def test_a_prompt_that_is_filtered(status: int, payload: Any) -> None:
    """Fails its row, the first one too, and no other."""
    verdict, _ = judged(status, payload)
    assert (verdict.kind, verdict.action) == (K.CONTENT_FILTER, A.FAIL_ROW)


@pytest.mark.parametrize(
    ("status", "payload"),
    [
        (
            429,
            openai(
                "Request too large for m on tokens per min (TPM): Limit 30000, Requested 41000. Visit …",
                type="tokens",
                code="rate_limit_exceeded",
            ),
        ),
        (413, openai("Request too large for model `m` on tokens per minute (TPM): Limit 6000, Requested 7000")),
        (400, openai("Request too large on tokens per min (TPM): Limit 30,000, Requested 41,000")),
        (503, openai("Rate limit reached on tokens per day (TPD): Limit 100000, Used 20, Requested 120000.")),
        (429, openai("Extra usage is required for long context requests.", type="rate_limit_error")),
        (400, openai("The long context beta is not yet available for this subscription.")),
        (413, openai("Request body too large for m model. Max size: 8000 tokens.", code="tokens_limit_reached")),
        (429, openai("Too big", code="tokens_limit_reached")),
        (400, openai("Request exceeds the maximum size", type="request_too_large")),
    ],
)
def test_a_request_that_is_too_large_for_its_limits(status: int, payload: Any) -> None:
    """Would be refused for ever, so it fails its row at once and says nothing of the endpoint."""
    verdict, _ = judged(status, payload)
    assert (verdict.kind, verdict.action, verdict.scope) == (K.TOO_LARGE, A.FAIL_ROW, Scope.ROW)


LOW = "Your credit balance is too low to access the API. Please go to Plans & Billing."


@pytest.mark.parametrize(
    ("status", "payload"),
    [
        *((status, openai(LOW, type="invalid_request_error")) for status in (400, 403, 422, 424, 429, 500, 503)),
        (200, openai(LOW, type="invalid_request_error")),
        (400, openai("You have reached your specified API usage limits. You will regain access on 2027-01-01.")),
        (400, openai("Access denied, please make sure your account is in good standing.", code="Arrearage")),
        (400, openai("Budget has been exceeded! Current cost: 10.1, Max budget: 10.0", type="budget_exceeded")),
        (429, openai("insufficient balance (1008)", type="insufficient_balance_error", http_code="429")),
        (200, {"choices": None, "base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}),
        (402, openai("Insufficient Balance", type="unknown_error", code="invalid_request_error")),
        (403, openai("Key limit exceeded (daily limit). Manage it using https://…", code=403)),
        (403, openai("The free tier of the model has been exhausted.", code="AllocationQuota.FreeTierOnly")),
        (403, openai("token quota is not enough", code="pre_consume_token_quota_failed")),
        (403, openai("Your team has either used all available credits or reached its monthly spending limit.")),
        (429, openai("Your account x is suspended", type="exceeded_current_quota_error")),
        (429, openai("账户余额不足", code="1113")),
        (429, {"message": "You are using a Trial key, which is limited to 1000 API calls / month."}),
        (
            429,
            gemini(429, "* Quota exceeded for metric: free_tier_requests, limit: 0, model: m", "RESOURCE_EXHAUSTED"),
        ),
    ],
)
def test_an_empty_purse_stops_the_run(status: int, payload: Any) -> None:
    """Whatever status it comes with, since no row can be answered."""
    verdict, text = judged(status, payload)
    assert (verdict.kind, verdict.action) == (K.QUOTA, A.STOP_RUN)
    assert not text.startswith("{")


KEY_INVALID = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}


@pytest.mark.parametrize(
    ("status", "payload", "kind"),
    [
        (400, gemini(400, "Please pass a valid one.", "INVALID_ARGUMENT", KEY_INVALID), K.UNAUTHORIZED),
        (400, gemini(400, "API key expired. Please renew the API key.", "INVALID_ARGUMENT"), K.UNAUTHORIZED),
        (403, openai("Incorrect API key provided: sk-…"), K.UNAUTHORIZED),
        (500, openai("invalid api key (2049)"), K.UNAUTHORIZED),
        (200, {"base_resp": {"status_code": 1004, "status_msg": "login fail"}}, K.UNAUTHORIZED),
        (400, openai("Organization has been restricted.", code="organization_restricted"), K.FORBIDDEN),
        (400, openai("This organization has been disabled."), K.FORBIDDEN),
        (403, openai("Your account has been flagged for potentially abusive activity."), K.FORBIDDEN),
        (403, gemini(403, "Consumer 'api_key:x' has been suspended.", "PERMISSION_DENIED"), K.FORBIDDEN),
        (429, openai("Your account has been temporarily suspended."), K.FORBIDDEN),
    ],
)
def test_a_key_or_an_account_that_is_refused_stops_the_run(status: int, payload: Any, kind: ErrorKind) -> None:
    """In a 400 as in a 401, after a thousand answers too."""
    verdict, _ = judged(status, payload)
    assert (verdict.kind, verdict.action) == (kind, A.STOP_RUN)


QUOTA_A_MINUTE = (
    "You exceeded your current quota, please check your plan and billing details. "
    "* Quota exceeded for metric: free_tier_requests, limit: 10. Please retry in 34.07s."
)


@pytest.mark.parametrize(
    ("status", "payload", "kind"),
    [
        # Rate limits that mention tokens, lengths, quotas
        (429, openai("Rate limit reached on tokens per min (TPM): Limit 30000, Used 29000, Requested 2000"), "rate"),
        (429, openai("This would exceed your rate limit of 40,000 input tokens per minute. Reduce the prompt"), "rate"),
        (429, openai("Too many tokens per minute; the context length of your prompts counts"), "rate"),
        (400, openai("Rate limit exceeded: too many tokens per minute, context length 8192"), "rate"),
        (403, openai("API rate limit exceeded"), "rate"),
        (500, openai("Request was throttled: too many tokens, please wait"), "rate"),
        (429, openai("Tokens per minute limit exceeded - too many tokens processed.", code="x"), "rate"),
        (429, openai("Rate limit reached on tokens per day (TPD): Limit 9, Used 9, Requested 5. Try in 6h45m"), "rate"),
        (429, gemini(429, QUOTA_A_MINUTE, "RESOURCE_EXHAUSTED"), "rate"),
        (429, openai("Allocated quota exceeded, please increase your quota limit.", code="x"), "rate"),
        (429, {"message": "You are using a Trial key, which is limited to 40 API calls / minute."}, "rate"),
        (429, openai("long context is slow today"), "rate"),
        # A purse behind a router is not ours
        (429, relayed(429, '{"error":{"message":"You exceeded","code":"insufficient_quota"}}'), "rate"),
        (502, relayed(502, "Incorrect API key provided"), "gateway"),
        (503, relayed(503, "Your credit balance is too low"), "overloaded"),
        # Words of the prompt that a complaint repeats, and parameters that are called so
        (400, openai("content: Input should be a valid string, input_value='our content policy was flagged'"), "bad"),
        (400, openai("validation: {'input': 'a prompt is too long when the credit balance is too low'}"), "bad"),
        (422, {"detail": [{"loc": ["body"], "msg": "field required", "input": "invalid api key"}]}, "bad"),
        (400, openai("Unrecognized request argument supplied: content_filter_level"), "bad"),
        (400, openai("Unknown parameter: 'moderation'."), "bad"),
        (400, openai("max_tokens is too large: 100000. This model supports at most 16384 tokens"), "bad"),
        (400, openai("`max_tokens` must be less than or equal to `8192`, it is less than the `context_window`"), "bad"),
        (400, openai("Invalid token at position 3 of the JSON body"), "bad"),
        (400, openai("Invalid 'user': string too long"), "bad"),
        (400, openai("What is your content policy?"), "bad"),
        # The server's own lack of room
        (500, openai("Context size has been exceeded.", type="server_error", code=500), "overloaded"),
        (500, openai("context length exceeded"), "overloaded"),
        (500, openai("EngineCore encountered an issue.", type="InternalServerError", code=500), "server"),
        (424, {"error": "Request failed during generation: Server error", "error_type": "generation"}, "server"),
        (499, gemini(499, "The operation was cancelled.", "CANCELLED"), "server"),
        (429, {"error": "Model is overloaded", "error_type": "overloaded"}, "overloaded"),
    ],
)
def test_what_only_looks_like_another(status: int, payload: Any, kind: str) -> None:
    """Rate limits pass, a complaint about a field speaks of no content, a server without room is asked again."""
    expected = {
        "rate": (K.RATE_LIMIT, A.RETRY),
        "bad": (K.BAD_REQUEST, A.FAIL_ROW),
        "overloaded": (K.OVERLOADED, A.RETRY),
        "server": (K.SERVER_ERROR, A.RETRY),
        "gateway": (K.GATEWAY_TIMEOUT, A.RETRY),
    }
    verdict, _ = judged(status, payload)
    assert (verdict.kind, verdict.action) == expected[kind]


def test_a_server_without_room_is_bounded_by_the_rows_attempts() -> None:
    """llama.cpp with too few slots: the row is the one that waits, so its limits bound it."""
    verdict, _ = judged(500, openai("Context size has been exceeded."))
    assert verdict.scope is Scope.ROW


def test_the_words_of_the_provider_behind_a_router() -> None:
    """They follow the router's own, with the provider's name, from JSON or text."""
    _, text = judged(502, relayed(502, '{"error":{"message":"Upstream is on fire","code":"x"}}'))
    assert text == "Provider returned error: Upstream is on fire (Lamp)"
    _, text = judged(429, relayed(429, "m is temporarily rate-limited upstream"))
    assert text == "Provider returned error: m is temporarily rate-limited upstream (Lamp)"


def test_the_wait_that_google_asks_for_in_the_body() -> None:
    """It sends no Retry-After."""
    delay = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34s"}
    verdict, _ = judged(429, gemini(429, QUOTA_A_MINUTE, "RESOURCE_EXHAUSTED", delay))
    assert verdict.wait_s == 34.0


@pytest.mark.parametrize(
    ("status", "payload"),
    [
        (400, openai("Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.")),
        (400, openai("Invalid schema for response_format 'reply'", code="invalid_json_schema")),
        (400, openai("'messages' must contain the word 'json' in some form, to use 'response_format'")),
        (400, openai("This response_format type is unavailable now", type="invalid_request_error")),
        (400, openai("This model does not support response format `json_schema`. See supported models at docs")),
        (400, openai('response_format type must be one of "text" or "json_object", but got: json_schema')),
        (400, openai("'response_format.type' must be 'json_schema' or 'text'")),
        (
            422,
            {"detail": [{"loc": ["body", "response_format", "type"], "msg": "Input should be 'text'", "type": "enum"}]},
        ),
        (422, {"error": "Failed to deserialize the JSON body: response_format: unknown variant `json_schema`"}),
        (400, openai("JSON mode is not supported for this model")),
        (400, openai("This model doesn't support structured outputs")),
        (400, gemini(400, "Unknown name \"x\" at 'generation_config.response_schema'", "INVALID_ARGUMENT")),
        (404, openai("No endpoints found that support response_format", code=404)),
    ],
)
def test_a_format_that_is_refused(status: int, payload: Any) -> None:
    """The row fails; a request that asked for JSON is sent in another way."""
    verdict, _ = judged(status, payload)
    assert (verdict.kind, verdict.action, verdict.refused_field) == (K.BAD_REQUEST, A.FAIL_ROW, "response_format")


@pytest.mark.parametrize(
    ("status", "payload"),
    [
        (400, openai("This model's maximum context length is 4096 tokens, response_format included.")),
        (429, openai("Rate limit reached for response_format requests")),
        (400, openai("messages: field required")),
        (400, openai("Failed to validate JSON.", code="json_validate_failed")),
        (500, openai("response_format is broken")),
    ],
)
def test_what_refuses_no_format(status: int, payload: Any) -> None:
    """Another reason, another status; what the model wrote."""
    verdict, _ = judged(status, payload)
    assert verdict.refused_field is None


def test_a_model_that_wrote_no_json() -> None:
    """Groq checks it itself: the request is made again, and may have been billed."""
    verdict, _ = judged(400, openai("Failed to validate JSON.", code="json_validate_failed"))
    assert (verdict.kind, verdict.action, verdict.billed) == (K.SCHEMA, A.RETRY, Billed.MAYBE)
