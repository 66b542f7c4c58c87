"""A response out of a batch's output file, judged as a live one is; pure.

Nothing of a batch is tried again: what would be, or would stop a run, fails its row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from batchchat import lossless_json
from batchchat.core.attempt import Action, Attempt, Failure, Request, Verdict
from batchchat.core.conversation import ErrorKind
from batchchat.endpoint import verdicts
from batchchat.endpoint.body import NO_BODY, Body
from batchchat.endpoint.error_body import read_error
from batchchat.endpoint.judged_response import JudgedResponse, judge_response, raw_to_keep
from batchchat.endpoint.usage import read_usage
from batchchat.pricing.cost import Pricing
from batchchat.secret import Redactor

__all__ = ["judged_attempt", "reports_no_cost"]

_BAD_REQUEST = 400
_NO_STATUS = 0
_KINDS = {kind.value: kind for kind in ErrorKind}
_OF_BATCHES = {"batch_expired": ErrorKind.TIMEOUT, "batch_cancelled": ErrorKind.OTHER}
_REDACTED_BEFORE = Redactor(())
_NO_HEADERS: Mapping[str, str] = {}


def judged_attempt(
    request: Request, status: int | None, body: Any, error: Any, pricing: Pricing, *, keep_raw: bool
) -> Attempt:
    """The attempt at `request` whose response has `status` and `body`; without a status `error` says what went wrong.

    When it was sent is not known: its times are 0, or `created` of the body.
    """
    whole = NO_BODY if status is None else _body(body)
    if status is None:
        response, raw = JudgedResponse(*_judge_error(error)), None
    else:
        response = _of_our_own(status, whole.payload) or judge_response(
            status, _NO_HEADERS, whole, pricing, _REDACTED_BEFORE, model_requested=request.model
        )
        raw = raw_to_keep(status, whole, response, all_of_it=keep_raw)
    verdict = response.verdict
    if verdict.action is not Action.ACCEPT:
        verdict = verdict._replace(action=Action.FAIL_ROW, wait_s=None)
    created = whole.payload.get("created") if isinstance(whole.payload, dict) else None
    ended_at = float(created) if type(created) is int and created > 0 else 0.0
    return Attempt(
        request, verdict, ended_at, ended_at, 0.0, status, response.reply, response.failure, response.usage,
        response.cost, raw,
    )  # fmt: skip


def reports_no_cost(status: int | None, body: Any) -> bool:
    """Whether a response with `status` and `body` is a reply that does not say what it cost."""
    if status is None or status >= _BAD_REQUEST:
        return False
    payload = _body(body).payload
    usage = read_usage(payload) if isinstance(payload, dict) else None
    return usage is None or usage.cost_usd is None


def _body(body: Any) -> Body:
    """The body, which some write as text."""
    if not isinstance(body, str):
        return Body(lossless_json.dumps(body), body)
    data = body.encode("utf-8", "surrogateescape")
    try:
        return Body(data, lossless_json.loads_lenient(data))
    except ValueError:
        return Body(data)


def _of_our_own(status: int, payload: Any) -> JudgedResponse | None:
    """The failure in an error that names one of our own kinds as its type and code, as an export writes it."""
    error = payload.get("error") if isinstance(payload, dict) else None
    if status < _BAD_REQUEST or not isinstance(error, dict) or error.get("type") != error.get("code"):
        return None
    kind, message = _KINDS.get(str(error.get("code"))), error.get("message")
    if kind is None or not isinstance(message, str):
        return None
    return JudgedResponse(Verdict(Action.FAIL_ROW, kind=kind), Failure(kind, message))


def _judge_error(error: Any) -> tuple[Verdict, Failure]:
    """The verdict on the `error` that a batch has in place of a response."""
    body = read_error({"error": error}, b"")
    code = str(error.get("code")) if isinstance(error, dict) else ""
    kind = _KINDS.get(code) or _OF_BATCHES.get(code)
    if kind is None:
        verdict, failure = verdicts.judge_error(_NO_STATUS, _NO_HEADERS, body)
        return verdict, failure if body.message else failure._replace(text="the batch has no response, and no reason")
    text = body.message if code in _KINDS else verdicts.one_line(f"{code}: {body.message}")
    return Verdict(Action.FAIL_ROW, kind=kind), Failure(kind, text)
