"""A response to its verdict, reply, usage and cost; pure. Whatever the bytes, it has a verdict and raises nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from batchchat import lossless_json
from batchchat.core.attempt import Billed, Cost, Failure, Reply, Usage, Verdict
from batchchat.endpoint import verdicts, wire
from batchchat.pricing.cost import Pricing
from batchchat.secret import Redactor

__all__ = ["JudgedResponse", "judge_response"]

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
    body: bytes,
    pricing: Pricing,
    redactor: Redactor,
    *,
    complete: bool,
    model_requested: str = "",
) -> JudgedResponse:
    """Judge a response by `status`, `headers` and `body`, in which secrets are redacted already.

    `complete`: the body did not break off. `pricing` computes the cost for `model_requested`.
    """
    try:
        payload = lossless_json.loads_lenient(body)
    except ValueError:
        payload = None
    if not _OK <= status < _REDIRECT:
        error = verdicts.read_error(payload, body)
        if _REDIRECT <= status < _BAD_REQUEST:
            location = redactor.redact(headers.get("location", "nowhere"))
            error = verdicts.ErrorBody(f"HTTP {status}, a redirect to {location}", frozenset())
        return JudgedResponse(*verdicts.judge_error(status, headers, error))
    if not isinstance(payload, dict):
        return JudgedResponse(*verdicts.judge_unreadable(body, complete=complete))
    usage = wire.read_usage(payload)
    reply = wire.read_reply(payload)
    cost = None if usage is None else pricing(usage, model_requested, reply)
    # OpenRouter: an error inside a 200
    if payload.get("error") and (reply is None or not verdicts.has_content(reply)):
        error = verdicts.read_error(payload, body)
        return _with_cost(*verdicts.judge_error(error.status or _SERVER_ERROR, headers, error), usage, cost)
    if reply is None:
        return _with_cost(*verdicts.judge_unreadable(body, complete=True), usage, cost)
    return JudgedResponse(*verdicts.judge_reply(reply), reply, usage, cost)


def _with_cost(verdict: Verdict, failure: Failure, usage: Usage | None, cost: Cost | None) -> JudgedResponse:
    """A failure whose response reports a cost: one above 0 shows that it was billed."""
    if cost is not None and cost.usd > 0:
        verdict = replace(verdict, billed=Billed.YES)
    return JudgedResponse(verdict, failure, None, usage, cost)
