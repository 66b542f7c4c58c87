"""What a 2xx means: answers, empty replies and why they are empty, and bodies that are no chat completion."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.core.attempt import Action, Billed, Cost, Reply, Scope, Usage
from batchchat.core.conversation import ErrorKind
from batchchat.endpoint.body import read_body
from batchchat.endpoint.judged_response import JudgedResponse, judge_response
from batchchat.endpoint.reply_verdicts import judge_reply, judge_unreadable
from batchchat.secret import Redactor

K, A = ErrorKind, Action


@given(
    text=st.none() | st.text(max_size=5), calls=st.none() | st.lists(st.integers(), max_size=1), refusal=st.booleans()
)
def test_a_reply_answers_with_text_calls_or_refusal(text: str | None, calls: list[int] | None, refusal: bool) -> None:
    """Whatever the finish_reason, and with nothing else."""
    for reason in ("stop", "length", "content_filter", "tool_calls", None):
        reply = Reply(text, reason, calls or None, "no" if refusal else None)
        answered = bool((text and text.strip()) or calls or refusal)
        verdict, failure = judge_reply(reply)
        assert (verdict.action is Action.ACCEPT) == answered == (failure is None)
        assert verdict.billed is Billed.YES


def judged(payload: Any, status: int = 200) -> JudgedResponse:
    """Judge a 2xx where every token has a price."""

    def price(usage: Usage, model: str, reply: Reply | None) -> Cost:
        tokens = (usage.prompt_tokens or 0) + (usage.completion_tokens or 0)
        return Cost(Decimal(repr(usage.cost_usd)) if usage.cost_usd is not None else tokens * Decimal("0.01"), "job")

    return judge_response(status, {}, read_body(json.dumps(payload).encode(), "", Redactor()), price, Redactor())


def completion(text: str | None = "", finish_reason: str | None = "stop", *, usage: Any = None, **top: Any) -> Any:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish_reason}
    return {"choices": [choice | top.pop("choice", {})], "usage": usage, **top}


TOKENS = {"prompt_tokens": 10, "completion_tokens": 512, "total_tokens": 522}
UNPAID = {"prompt_tokens": 10, "completion_tokens": 0, "total_tokens": 10}


@pytest.mark.parametrize(
    ("reply", "usage", "text"),
    [
        (
            Reply(None, "length", reasoning="Let me think"),
            Usage(10, 512),
            "the reply is empty: all 512 tokens went into reasoning; raise `max_tokens`, or lower the reasoning effort",
        ),
        (Reply("", "LENGTH"), Usage(10, 512, reasoning_tokens=512), "all 512 tokens went into reasoning"),
        (Reply("", "length", reasoning="Hm"), None, "all its tokens went into reasoning"),
        (Reply("", "MAX_TOKENS"), Usage(10, 512), "cut off after 512 tokens (finish_reason MAX_TOKENS); raise"),
        (Reply("", "length"), None, "cut off (finish_reason length); raise"),
    ],
)
def test_a_reply_that_was_cut_off_before_its_text_is_one_attempt(reply: Reply, usage: Usage | None, text: str) -> None:
    """Another attempt would be paid for and end in the same place; the words say what to change."""
    verdict, failure = judge_reply(reply, usage)
    assert (verdict.kind, verdict.action, verdict.billed) == (K.EMPTY_REPLY, A.FAIL_ROW, Billed.YES)
    assert failure is not None
    assert text in failure.text


@pytest.mark.parametrize(
    "reason",
    [
        "content_filter",
        "content_filter: SAFETY",
        "SAFETY",
        "PROHIBITED_CONTENT",
        "Recitation",
        "BLOCKLIST",
        "sensitive",
    ],
)
def test_a_reply_that_was_filtered_is_one_attempt(reason: str) -> None:
    """In whatever case the endpoint writes it."""
    verdict, _ = judge_reply(Reply("", reason), Usage(10, 0))
    assert (verdict.kind, verdict.action) == (K.CONTENT_FILTER, A.FAIL_ROW)


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("abort", K.SERVER_ERROR),
        ("error", K.SERVER_ERROR),
        ("network_error", K.SERVER_ERROR),
        ("insufficient_system_resource", K.OVERLOADED),
    ],
)
def test_a_reply_that_the_server_broke_off(reason: str, kind: ErrorKind) -> None:
    """Empty and unpaid it is the endpoint's failure, as a 503 is; a price of the prompt alone is no cost."""
    answer = judged(completion(finish_reason=reason, usage=UNPAID))
    verdict = answer.verdict
    assert (verdict.kind, verdict.action, verdict.scope, verdict.billed) == (kind, A.RETRY, Scope.ENDPOINT, Billed.NO)
    assert answer.cost is None


def test_a_reply_that_the_server_broke_off_and_billed() -> None:
    """Tokens or a cost make it the row's."""
    for usage in (TOKENS, {**UNPAID, "cost": 0.001}):
        answer = judged(completion(finish_reason="error", usage=usage))
        assert (answer.verdict.scope, answer.verdict.billed) == (Scope.ROW, Billed.YES)
        assert answer.cost is not None


def test_a_full_context_is_the_rows_own_failure() -> None:
    """It would be full again."""
    verdict, _ = judge_reply(Reply("", "model_context_window_exceeded"), None)
    assert (verdict.kind, verdict.action) == (K.CONTEXT_LENGTH, A.FAIL_ROW)


ERROR = {"code": 502, "message": "Provider disconnected", "metadata": {"provider_name": "X"}}
BUSY = {"code": 429, "message": "Slow down"}


@pytest.mark.parametrize(
    ("payload", "kind", "text"),
    [
        (completion('{"half": "a te', "error", choice={"error": ERROR}), K.GATEWAY_TIMEOUT, "Provider disconnected"),
        (completion("", None, choice={"error": ERROR}), K.GATEWAY_TIMEOUT, "Provider disconnected"),
        ({"choices": [{"error": ERROR}]}, K.GATEWAY_TIMEOUT, "Provider disconnected"),
        (completion("half a te", error=BUSY), K.RATE_LIMIT, "Slow down"),
        ({"code": "internal", "error": "Something broke"}, K.SERVER_ERROR, "Something broke"),
        ({"base_resp": {"status_code": 1002, "status_msg": "rate limit"}, "choices": None}, K.RATE_LIMIT, "rate limit"),
        (completion("half", base_resp={"status_code": 1013, "status_msg": "internal"}), K.SERVER_ERROR, "internal"),
        ([{"error": {"code": 503, "message": "Overloaded", "status": "UNAVAILABLE"}}], K.OVERLOADED, "Overloaded"),
        ({"object": "error", "message": "no worker", "code": 50001}, K.SERVER_ERROR, "no worker"),
        ({"error_code": 336003, "error_msg": "bad messages"}, K.SERVER_ERROR, "bad messages"),
        ({"success": False, "errors": [{"code": 7009, "message": "upstream"}]}, K.SERVER_ERROR, "upstream"),
        ({"error": {"message": "no such field", "type": "invalid_request_error"}}, K.BAD_REQUEST, "no such field"),
    ],
)
def test_an_error_inside_a_200_is_judged_as_one(payload: Any, kind: ErrorKind, text: str) -> None:
    """Wherever it is, and whether there is text or not: half a text is no answer."""
    answer = judged(payload)
    assert (answer.verdict.kind, answer.failure and answer.failure.text) == (kind, text)
    assert answer.reply is None


@pytest.mark.parametrize("error", [None, {}, "", [], False, 0, {"message": None, "code": None}, {"code": "success"}])
def test_an_error_that_is_none_leaves_an_answer(error: Any) -> None:
    """Some endpoints send the key with each reply."""
    payloads = (
        completion("Hello", error=error),
        completion("Hello", choice={"error": error}),
        completion("Hello", base_resp={"status_code": 0, "status_msg": "success"}, error=error),
        completion("Hello", base_resp=error, errors=error),
    )
    assert [judged(payload).verdict.action for payload in payloads] == [A.ACCEPT] * 4


@pytest.mark.parametrize("code", [429, 503])
@pytest.mark.parametrize("usage", [TOKENS, {**UNPAID, "cost": 0.001}])
def test_a_refusal_that_was_billed_is_of_the_row(code: int, usage: Any) -> None:
    """An error inside a 200 that tells a cost: the row's limits bound it, whatever status it names."""
    verdict = judged(completion("", error={"code": code, "message": "x"}, usage=usage)).verdict
    assert (verdict.scope, verdict.billed, verdict.endpoint_is_up) == (Scope.ROW, Billed.YES, True)


def test_a_refusal_that_was_not_billed_is_of_the_endpoint() -> None:
    """The length of its prompt, or a cost of 0, is no bill."""
    for usage in (None, UNPAID, {**TOKENS, "cost": 0}):
        answer = judged(completion("", error={"code": 503, "message": "x"}, usage=usage))
        assert (answer.verdict.scope, answer.verdict.billed) == (Scope.ENDPOINT, Billed.NO)
        assert answer.cost is None


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        (202, b"", "HTTP 202 (accepted, pending) without a reply, with an empty body"),
        (202, b'{"request_id": "x"}', 'HTTP 202 (accepted, pending) without a reply: {"request_id": "x"}'),
        (204, b"", "HTTP 204 without a reply, with an empty body"),
        (200, b" ", "the response is empty (HTTP 200)"),
        (200, b"[1]", "the response is no chat completion: [1]"),
    ],
)
def test_a_complete_2xx_that_is_no_completion(status: int, body: bytes, text: str) -> None:
    """It says that the endpoint is up, and may have been billed."""
    verdict, failure = judge_unreadable(status, body, complete=True)
    assert failure.text == text
    assert (verdict.endpoint_is_up, verdict.billed) == (True, Billed.MAYBE)


def test_what_says_nothing_of_the_endpoint() -> None:
    """A web page comes from whoever stands before it, and a body that broke off may come from a crash."""
    for body, complete in ((b"<html>", True), (b'{"choices', False)):
        assert not judge_unreadable(200, body, complete=complete)[0].endpoint_is_up


def test_usage_without_a_reply_was_billed() -> None:
    """A 2xx that has no choice, and reports tokens."""
    verdict = judged({"choices": [], "usage": UNPAID}).verdict
    assert (verdict.billed, verdict.endpoint_is_up) == (Billed.YES, True)


def test_a_choice_without_a_message_is_an_empty_reply() -> None:
    """Gemini leaves it out when all tokens went into reasoning."""
    answer = judged({"choices": [{"index": 0, "finish_reason": "length"}], "usage": {"total_tokens": 522}})
    assert (answer.verdict.kind, answer.verdict.action) == (K.EMPTY_REPLY, A.FAIL_ROW)
