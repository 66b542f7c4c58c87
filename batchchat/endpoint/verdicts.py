"""The verdict table: what a response that is an error means, whose fault it is, whether it may have been billed; pure.

The first rule that matches wins. A code or a message is matched where the status alone does not tell; `wordings.py` has
them with their providers, and `docs/endpoints.md` the sources. A response that no rule matches fails its row, with the
beginning of its body kept. `reply_verdicts.py` judges a 2xx.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from batchchat.core.attempt import Action, Billed, Failure, Scope, Verdict
from batchchat.core.conversation import ErrorKind
from batchchat.core.response_format import RESPONSE_FORMAT
from batchchat.endpoint import wordings
from batchchat.endpoint.error_body import MAX_ERROR_CHARS, ErrorBody, one_line

__all__ = ["MAX_ERROR_CHARS", "RULES", "judge_error", "one_line", "retry_after_s"]

_MAX_WAIT_S = 86_400.0
_SERVER_ERRORS = 500
_PASSING_STATUSES = {429, *range(500, 600)}


class Rule(NamedTuple):
    """One row of the table. It matches a response that meets each of its conditions; one left at None is no condition.

    `codes` holds some code or type of the error, `message` is found in its message. `retry_after`: the response says
    how long to wait, or does not. `foreign`, `over_limit` and `names_tokens` are those of `ErrorBody`. `own`: what a
    provider behind the endpoint says does not count where the status passes, since its purse is not ours.
    `refused_field` is a field of the request that we add, and can leave out.
    """

    kind: ErrorKind
    action: Action
    statuses: Container[int] | None = None
    codes: frozenset[str] | None = None
    message: str | None = None
    retry_after: bool | None = None
    foreign: bool | None = None
    over_limit: bool | None = None
    names_tokens: bool | None = None
    own: bool = False
    scope: Scope = Scope.ROW
    billed: Billed = Billed.NO
    refused_field: str | None = None

    def matches(self, status: int, error: ErrorBody, wait_s: float | None) -> bool:
        return (
            (self.statuses is None or status in self.statuses)
            and (self.codes is None or not self.codes.isdisjoint(error.codes))
            and (self.retry_after is None or self.retry_after == (wait_s is not None))
            and (self.foreign is None or self.foreign == error.foreign)
            and not (self.own and error.relayed and status in _PASSING_STATUSES)
            and (self.message is None or re.search(self.message, error.own_words, re.IGNORECASE) is not None)
            and (self.over_limit is None or self.over_limit == error.over_limit)
            and (self.names_tokens is None or self.names_tokens == error.names_tokens)
        )

    @property
    def verdict(self) -> Verdict:
        return Verdict(self.action, self.scope, self.billed, self.kind, refused_field=self.refused_field)


_RETRY, _FAIL, _STOP, _STOP_IF_NEW, _RETRY_IF_ANSWERED = (
    Action.RETRY,
    Action.FAIL_ROW,
    Action.STOP_RUN,
    Action.STOP_UNLESS_ANSWERED,
    Action.RETRY_IF_ANSWERED,
)
_ENDPOINT, _MAYBE = Scope.ENDPOINT, Billed.MAYBE

RULES: tuple[Rule, ...] = (
    # What speaks of one row, by its code
    Rule(ErrorKind.CONTEXT_LENGTH, _FAIL, codes=wordings.TOO_LONG_CODES),
    Rule(ErrorKind.CONTENT_FILTER, _FAIL, codes=wordings.FILTER_CODES),
    Rule(ErrorKind.TOO_LARGE, _FAIL, codes=wordings.TOO_LARGE_CODES),
    Rule(ErrorKind.TOO_LARGE, _FAIL, {413, 429, 503}, over_limit=True),
    Rule(ErrorKind.TOO_LARGE, _FAIL, {400, 403}, message=wordings.RATE, over_limit=True),
    # What speaks of all rows: the purse, the account, the key
    Rule(ErrorKind.QUOTA, _STOP, codes=wordings.PURSE_CODES, own=True),
    Rule(ErrorKind.QUOTA, _STOP, {400, 403, 422, 424, 429, 500, 503}, message=wordings.PURSE, own=True),
    Rule(ErrorKind.FORBIDDEN, _STOP, range(400, 500), codes=wordings.ACCOUNT_CODES, own=True),
    Rule(ErrorKind.FORBIDDEN, _STOP, {400, 403, 422, 429}, message=wordings.ACCOUNT, own=True),
    Rule(ErrorKind.UNAUTHORIZED, _STOP, range(400, 501), codes=wordings.KEY_CODES, own=True),
    Rule(ErrorKind.UNAUTHORIZED, _STOP, {400, 403, 422, 500}, message=wordings.KEY, own=True),
    # What speaks of one row, by its message; a rate limit that mentions a length is none of it
    Rule(ErrorKind.TOO_LARGE, _FAIL, {400, 403, 429, 503}, message=wordings.TOO_LARGE),
    Rule(ErrorKind.RATE_LIMIT, _RETRY, {400, 403, 422, 500, 503}, codes=wordings.RATE_CODES, scope=_ENDPOINT),
    Rule(ErrorKind.RATE_LIMIT, _RETRY, {400, 403, 422, 500, 503}, message=wordings.RATE, scope=_ENDPOINT),
    Rule(ErrorKind.CONTEXT_LENGTH, _FAIL, {400, 403, 413, 422}, message=wordings.TOO_LONG),
    Rule(ErrorKind.CONTEXT_LENGTH, _FAIL, {500}, message=wordings.TOO_LONG, names_tokens=True),
    # llama.cpp: "Context size has been exceeded." of all the rows in its slots together
    Rule(ErrorKind.OVERLOADED, _RETRY, {500}, message=wordings.TOO_LONG),
    Rule(ErrorKind.CONTENT_FILTER, _FAIL, {400, 403, 421, 422, 451, 500}, message=wordings.FILTERED),
    # What the job asks for and the endpoint has not, or its model did not bring about
    Rule(ErrorKind.SCHEMA, _RETRY, {400}, codes=wordings.NO_JSON_CODES, billed=_MAYBE),
    Rule(
        ErrorKind.BAD_REQUEST, _FAIL, {400, 404, 422, 501}, codes=wordings.FORMAT_CODES, refused_field=RESPONSE_FORMAT
    ),
    Rule(ErrorKind.BAD_REQUEST, _FAIL, {400, 404, 422, 501}, message=wordings.FORMAT, refused_field=RESPONSE_FORMAT),
    # What passes, and what the first row shows
    Rule(ErrorKind.OVERLOADED, _RETRY, {429, 500}, codes=wordings.BUSY_CODES, scope=_ENDPOINT),
    Rule(ErrorKind.BAD_RESPONSE, _RETRY_IF_ANSWERED, {400, 500}, message=wordings.NO_ENDPOINT),
    Rule(ErrorKind.NOT_FOUND, _STOP_IF_NEW, {400, 403, 404, 422}, codes=wordings.NO_MODEL_CODES),
    Rule(ErrorKind.NOT_FOUND, _STOP_IF_NEW, {400, 422}, message=wordings.NO_MODEL),
    Rule(
        ErrorKind.BAD_REQUEST, _FAIL, {400, 422}, message=wordings.STREAM_OPTIONS, refused_field=wordings.STREAM_FIELD
    ),
    # By status
    Rule(ErrorKind.RATE_LIMIT, _RETRY, {420, 429}, scope=_ENDPOINT),
    Rule(ErrorKind.UNAUTHORIZED, _STOP, {401, 407}),
    Rule(ErrorKind.QUOTA, _RETRY, {402}, retry_after=True, scope=_ENDPOINT),
    Rule(ErrorKind.QUOTA, _STOP, {402, 412}),
    # An ingress without a backend ("default backend - 404"), a maintenance page, a firewall
    Rule(ErrorKind.FORBIDDEN, _RETRY_IF_ANSWERED, {403}, foreign=True),
    Rule(ErrorKind.NOT_FOUND, _RETRY_IF_ANSWERED, {404, 405, 410}, foreign=True),
    Rule(ErrorKind.FORBIDDEN, _STOP_IF_NEW, {403, 451}),
    Rule(ErrorKind.NOT_FOUND, _STOP_IF_NEW, {404, 405, 410}),
    Rule(ErrorKind.TOO_LARGE, _FAIL, {413}),
    Rule(ErrorKind.TIMEOUT, _RETRY, {408}, billed=_MAYBE),
    Rule(ErrorKind.OTHER, _RETRY, {409, 423, 425}),
    Rule(ErrorKind.CONTENT_FILTER, _FAIL, {421, 446}, foreign=False),  # Xiaomi; Portkey's guardrails
    # TGI: a model that crashed; Gemini: CANCELLED; load balancers: the connection was closed
    Rule(ErrorKind.SERVER_ERROR, _RETRY, {421, 424, 444, 460, 499}),
    Rule(ErrorKind.OVERLOADED, _RETRY, {498, 503, 529}, scope=_ENDPOINT),
    Rule(ErrorKind.GATEWAY_TIMEOUT, _RETRY, {502, 504, 520, 524, 598, 599}, billed=_MAYBE),
    Rule(ErrorKind.CONNECTION, _RETRY, {521, 522, 523, 525, 526, 530}, scope=_ENDPOINT),
    # Not implemented, another version of HTTP: a server of another kind
    Rule(ErrorKind.BAD_RESPONSE, _RETRY_IF_ANSWERED, {426, 501, 505}),
    Rule(ErrorKind.SERVER_ERROR, _RETRY, range(500, 600)),
    Rule(ErrorKind.BAD_REQUEST, _FAIL, range(400, 500)),
    # Followed, a redirect would turn the POST into a GET and send the key elsewhere: the base_url is wrong.
    Rule(ErrorKind.BAD_RESPONSE, _RETRY_IF_ANSWERED, range(300, 400)),
)

_UNKNOWN = Verdict(Action.FAIL_ROW, kind=ErrorKind.OTHER)


def judge_error(status: int, headers: Mapping[str, str], error: ErrorBody) -> tuple[Verdict, Failure]:
    """The verdict on a response that is no reply. `status` is HTTP's, or the one given by an error inside a 200."""
    wait_s = retry_after_s(headers)
    if wait_s is None:
        wait_s = error.wait_s
    verdict = next((rule.verdict for rule in RULES if rule.matches(status, error, wait_s)), _UNKNOWN)
    # OpenAI's own clients obey this header. It is about the request, so it changes neither a verdict about the endpoint
    # nor a 5xx, which may come from a gateway.
    should_retry = headers.get("x-should-retry")
    if should_retry == "true" and verdict.action is Action.FAIL_ROW and verdict.refused_field is None:
        verdict = verdict._replace(action=Action.RETRY)
    elif should_retry == "false" and (verdict.action, verdict.scope) == (_RETRY, Scope.ROW) and status < _SERVER_ERRORS:
        verdict = verdict._replace(action=Action.FAIL_ROW)
    if wait_s is not None and verdict.action is Action.RETRY:
        verdict = verdict._replace(wait_s=wait_s)
    assert verdict.kind is not None
    return verdict, Failure(verdict.kind, one_line(error.message) or f"HTTP {status}, empty body")


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait by `retry-after-ms`, or by `Retry-After` in seconds or as a date; None where neither says."""
    for name, scale in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) / scale
        except ValueError:
            seconds = _seconds_until(value, headers.get("date"))
        if 0 <= seconds < _MAX_WAIT_S:
            return seconds
    return None


def _seconds_until(date: str, now: str | None) -> float:
    # By the server's own clock, not ours. Without its `Date` the wait is unknown.
    try:
        return (parsedate_to_datetime(date) - parsedate_to_datetime(now or "")).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return -1.0
