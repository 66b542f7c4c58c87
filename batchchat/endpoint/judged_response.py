"""A response to its verdict, reply, usage and cost; pure. Whatever the bytes, it has a verdict and raises nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from batchchat.core.attempt import Billed, Cost, Failure, Reply, Usage, Verdict
from batchchat.endpoint import reply_verdicts, verdicts, wire
from batchchat.endpoint.body import MAX_RAW_CHARS, Body
from batchchat.endpoint.error_body import ErrorBody, read_error, read_error_in_reply
from batchchat.endpoint.usage import read_usage
from batchchat.pricing.cost import Pricing
from batchchat.secret import Redactor

__all__ = ["JudgedResponse", "judge_response", "raw_to_keep"]

_OK, _REDIRECT, _BAD_REQUEST, _SERVER_ERROR = 200, 300, 400, 500


class JudgedResponse(NamedTuple):
    """What an attempt is given: a verdict, a failure unless it is accepted, and what the response reports."""

    verdict: Verdict
    failure: Failure | None
    reply: Reply | None = None
    usage: Usage | None = None
    cost: Cost | None = None


def judge_response(
    status: int,
    headers: Mapping[str, str],
    body: Body,
    pricing: Pricing,
    redactor: Redactor,
    *,
    model_requested: str = "",
) -> JudgedResponse:
    """Judge a response by `status`, `headers` and `body`, in which secrets are redacted already.

    `pricing` computes the cost for `model_requested`. A chat completion is one though its body broke off behind it.
    """
    payload, data = body.payload, body.data
    if not _OK <= status < _REDIRECT:
        error = read_error(payload, data)
        if _REDIRECT <= status < _BAD_REQUEST:
            location = redactor.redact(headers.get("location", "nowhere"))
            error = ErrorBody(f"HTTP {status}, a redirect to {location}", frozenset())
        verdict, failure = verdicts.judge_error(status, headers, error)
        usage = read_usage(payload, headers) if isinstance(payload, dict) else None
        if usage is None:
            return JudgedResponse(verdict, failure)
        return _with_bill(verdict, failure, None, usage, pricing(usage, model_requested, wire.read_reply(payload)))
    payload = _unwrapped(payload)
    inner_error = read_error_in_reply(payload, data)
    if not isinstance(payload, dict):
        if inner_error is None:
            return JudgedResponse(*_judge_unreadable(status, body))
        payload = {}
    usage = read_usage(payload, headers)
    reply = wire.read_reply(payload)
    cost = None if usage is None else pricing(usage, model_requested, reply)
    if inner_error is not None:  # whether there is text or not: half a text is no answer
        verdict, failure = verdicts.judge_error(inner_error.status or _SERVER_ERROR, headers, inner_error)
        has_text = body.partial is not None or (reply is not None and reply_verdicts.has_content(reply))
        if has_text and verdict.billed is Billed.NO:  # what was generated may be charged
            verdict = verdict._replace(billed=Billed.MAYBE)
        return _with_bill(verdict, failure, None, usage, cost)
    if reply is None:
        billed = usage is not None and bool(usage.prompt_tokens or usage.total_tokens or usage.cost_usd)
        return JudgedResponse(*_judge_unreadable(status, body, billed=billed), None, usage, cost)
    verdict, lack = reply_verdicts.judge_reply(reply, usage)
    if lack is not None and verdict.billed is Billed.NO:
        return _with_bill(verdict, lack, reply, usage, cost)
    return JudgedResponse(verdict, lack, reply, usage, cost)


def _judge_unreadable(status: int, body: Body, *, billed: bool = False) -> tuple[Verdict, Failure]:
    return reply_verdicts.judge_unreadable(status, body.data, complete=body.complete, billed=billed, size=body.size)


def raw_to_keep(status: int | None, body: Body, answer: JudgedResponse, *, all_of_it: bool) -> str | None:
    """The body for the column `raw`: where the job keeps it, and where what was paid for has no other column."""
    if all_of_it:
        return body.raw or None
    if status is None or not body.data:
        return None
    if not _OK <= status < _REDIRECT and answer.verdict.billed is not Billed.YES:
        return None
    if answer.failure is not None:
        return body.raw[:MAX_RAW_CHARS]
    return body.raw if answer.reply is not None and answer.reply.parts else None


def _unwrapped(payload: Any) -> Any:
    """The completion in `payload`, where a gateway puts it into a list, or into an object of its own."""
    outer = payload
    if isinstance(outer, list) and len(outer) == 1:
        outer = outer[0]
    elif isinstance(outer, dict) and "choices" not in outer:
        outer = next(
            (inner for name in ("data", "result", "response") if isinstance(inner := outer.get(name), dict)), None
        )
    return outer if isinstance(outer, dict) and isinstance(outer.get("choices"), list) else payload


def _with_bill(
    verdict: Verdict, failure: Failure, reply: Reply | None, usage: Usage | None, cost: Cost | None
) -> JudgedResponse:
    """A failure that tells usage: what it shows to be paid is the row's; a price of what was not paid is no cost."""
    verdict = reply_verdicts.with_bill(verdict, usage, cost)
    return JudgedResponse(verdict, failure, reply, usage, cost if verdict.billed is Billed.YES else None)
