"""Responses out of a batch are judged as live ones, and nothing of them is tried again."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from batchchat.core.attempt import Action, Billed, Cost, Failure, Reply, Usage
from batchchat.core.conversation import ErrorKind, Key
from batchchat.endpoint.batch_response import judged_attempt, reports_no_cost
from batchchat.endpoint.wire import compose

REQUEST = compose(Key("a"), "m", [{"role": "user", "content": "Hi"}], {})
COMPLETION = {
    "id": "r", "created": 1_700_000_000, "model": "m-1",
    "choices": [{"message": {"content": "Fine."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
}  # fmt: skip


def judged(status: int | None, body: Any = None, error: Any = None, *, keep_raw: bool = False) -> Any:
    def cost_of(usage: Usage, _model: str, _reply: Reply | None) -> Cost | None:
        return None if usage.cost_usd is None else Cost(Decimal(repr(usage.cost_usd)), "reported")

    return judged_attempt(REQUEST, status, body, error, cost_of, keep_raw=keep_raw)


@pytest.mark.parametrize(
    "body", [COMPLETION, '{"created": 1700000000, "choices": [{"message": {"content": "Fine."}}]}']
)
def test_an_answer(body: Any) -> None:
    """Is accepted; its end is when it was created."""
    attempt = judged(200, body)
    assert (attempt.verdict.action, attempt.reply.text, attempt.finished_at) == (Action.ACCEPT, "Fine.", 1_700_000_000)
    assert attempt.raw is None
    assert '"Fine."' in judged(200, body, keep_raw=True).raw


@pytest.mark.parametrize(
    ("status", "body", "error", "kind", "text"),
    [
        (429, {"error": {"message": "slow down"}}, None, ErrorKind.RATE_LIMIT, "slow down"),
        (401, {"error": {"message": "bad key"}}, None, ErrorKind.UNAUTHORIZED, "bad key"),
        (400, {"error": {"message": "m", "code": "context_length_exceeded"}}, None, ErrorKind.CONTEXT_LENGTH, "m"),
        (500, "upstream", None, ErrorKind.SERVER_ERROR, "upstream"),
        (200, {"choices": [{"message": {"content": ""}, "finish_reason": "stop"}]}, None, ErrorKind.EMPTY_REPLY,
         "the reply is empty (finish_reason stop)"),
        (200, "<html>", None, ErrorKind.BAD_RESPONSE, "a web page in place of JSON: <html>"),
        # As an export has written them, kind and words are those of before.
        (400, {"error": {"message": "m", "type": "too_large", "param": None, "code": "too_large"}}, None,
         ErrorKind.TOO_LARGE, "m"),
        (None, None, {"code": "connection", "message": "m"}, ErrorKind.CONNECTION, "m"),
        # As providers write them.
        (None, None, {"code": "batch_expired", "message": "Too late."}, ErrorKind.TIMEOUT, "batch_expired: Too late."),
        (None, None, {"code": "batch_cancelled", "message": "Stop."}, ErrorKind.OTHER, "batch_cancelled: Stop."),
        (None, None, {"code": "strange", "message": "Odd."}, ErrorKind.OTHER, "Odd."),
        (None, None, "expired", ErrorKind.OTHER, "expired"),
        (None, None, {"a": 1}, ErrorKind.OTHER, "the batch has no response, and no reason"),
    ],
)  # fmt: skip
def test_a_failure(status: int | None, body: Any, error: Any, kind: ErrorKind, text: str) -> None:
    """Fails its row, whatever a live run would do about it."""
    attempt = judged(status, body, error)
    assert attempt.verdict.action is Action.FAIL_ROW
    assert (attempt.failure, attempt.http_status) == (Failure(kind, text), status)


def test_a_failure_that_was_paid() -> None:
    """Its cost is the row's."""
    body = {"choices": [{"message": {"content": ""}}], "usage": {"completion_tokens": 9, "cost": 0.5}}
    attempt = judged(200, body)
    assert (attempt.verdict.billed, attempt.cost) == (Billed.YES, Cost(Decimal("0.5"), "reported"))


def test_whether_the_cost_is_reported() -> None:
    """Of replies alone: an error costs nothing."""
    assert reports_no_cost(200, COMPLETION)
    assert not reports_no_cost(200, {**COMPLETION, "usage": {"prompt_tokens": 1, "estimated_cost": 0.1}})
    assert not reports_no_cost(400, {})
    assert not reports_no_cost(None, None)
