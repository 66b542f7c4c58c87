"""The verdict table: what a response means, whose fault it is, whether it may have been billed; pure.

The first rule that fits wins. A message is matched only where providers leave no other sign. Sources: DeepInfra's,
OpenAI's, OpenRouter's, Groq's, Together's, Fireworks', Azure's and Cloudflare's error pages, vLLM's and llama.cpp's
server code. A response that no rule knows fails its row, with the beginning of its body kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any

from batchchat.core.attempt import Action, Billed, Failure, Reply, Scope, Verdict
from batchchat.core.conversation import ErrorKind

__all__ = [
    "ACCEPTED",
    "LONGEST_ERROR",
    "ErrorBody",
    "answers",
    "asked_wait_s",
    "judge_error",
    "judge_reply",
    "judge_unreadable",
    "read_error",
    "shorten",
]

ACCEPTED = Verdict(Action.ACCEPT, billed=Billed.YES)
LONGEST_ERROR = 500
_LONGEST_WAIT_S = 86_400.0
_SERVER_ERRORS = 500


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """What an error response says, whatever shape it came in. `codes` holds code and type, lower case.

    `foreign` is one that is no JSON: it may be of whoever stands before the endpoint.
    """

    message: str
    codes: frozenset[str]
    status: int | None = None
    foreign: bool = False


@dataclass(frozen=True, slots=True)
class _Rule:
    verdict: Verdict
    statuses: frozenset[int] | None = None
    codes: frozenset[str] | None = None
    message: re.Pattern[str] | None = None
    retry_after: bool | None = None
    foreign: bool | None = None

    def fits(self, status: int, error: ErrorBody, wait_s: float | None) -> bool:
        return (
            (self.statuses is None or status in self.statuses)
            and (self.codes is None or not self.codes.isdisjoint(error.codes))
            and (self.message is None or self.message.search(error.message) is not None)
            and (self.retry_after is None or self.retry_after == (wait_s is not None))
            and (self.foreign is None or self.foreign == error.foreign)
        )


def _rule(  # the table's notation
    kind: ErrorKind,
    action: Action,
    *statuses: int,
    codes: str = "",
    message: str = "",
    scope: Scope = Scope.ROW,
    billed: Billed = Billed.NO,
    retry_after: bool | None = None,
    foreign: bool | None = None,
) -> _Rule:
    return _Rule(
        Verdict(action, scope, billed, kind),
        frozenset(statuses) or None,
        frozenset(codes.split()) or None,
        re.compile(message, re.IGNORECASE) if message else None,
        retry_after,
        foreign,
    )


# Wording: DeepInfra ("exceeds maximum input length"), vLLM and OpenAI ("maximum context length"), llama.cpp
# ("exceeds the available context size"), Together and TGI ("must be <="), proxies ("prompt is too long").
_TOO_LONG = (
    r"exceeds maximum input length|maximum context length|context (length|window|size)|"
    r"inputs?` tokens \+ `max_new_tokens` must be|prompt is too long|too many tokens"
)
# OpenAI and Azure ("content management policy"), OpenRouter ("flagged", "moderation").
_FILTERED = r"content management policy|content[ _]filter|content policy|flagged|moderation"

_RETRY, _FAIL, _STOP, _STOP_IF_NEW, _PASSING = (
    Action.RETRY,
    Action.FAIL_ROW,
    Action.STOP_RUN,
    Action.STOP_UNLESS_ANSWERED,
    Action.RETRY_IF_ANSWERED,
)
_ENDPOINT, _MAYBE = Scope.ENDPOINT, Billed.MAYBE

RULES: tuple[_Rule, ...] = (
    # What is said in words or codes, whatever the status
    _rule(ErrorKind.CONTEXT_LENGTH, _FAIL, codes="context_length_exceeded exceed_context_size_error"),
    _rule(ErrorKind.CONTEXT_LENGTH, _FAIL, 400, 413, 422, 500, message=_TOO_LONG),
    _rule(ErrorKind.CONTENT_FILTER, _FAIL, codes="content_filter content_policy_violation"),
    _rule(ErrorKind.CONTENT_FILTER, _FAIL, 400, 403, message=_FILTERED),
    _rule(
        ErrorKind.QUOTA,
        _STOP,
        codes="insufficient_quota billing_hard_limit_reached billing_not_active access_terminated",
    ),
    _rule(ErrorKind.OVERLOADED, _RETRY, 429, codes="engine_overloaded slow_down", scope=_ENDPOINT),
    _rule(ErrorKind.NOT_FOUND, _STOP_IF_NEW, 400, 404, codes="model_not_found"),
    _rule(ErrorKind.UNAUTHORIZED, _STOP, 400, codes="invalid_api_key"),
    # By status
    _rule(ErrorKind.RATE_LIMIT, _RETRY, 429, scope=_ENDPOINT),
    _rule(ErrorKind.UNAUTHORIZED, _STOP, 401, 407),
    _rule(ErrorKind.QUOTA, _RETRY, 402, retry_after=True, scope=_ENDPOINT),
    _rule(ErrorKind.QUOTA, _STOP, 402, 412),
    # An ingress without a backend ("default backend - 404"), a maintenance page, a firewall
    _rule(ErrorKind.FORBIDDEN, _PASSING, 403, foreign=True),
    _rule(ErrorKind.NOT_FOUND, _PASSING, 404, 405, 410, foreign=True),
    _rule(ErrorKind.FORBIDDEN, _STOP_IF_NEW, 403, 451),
    _rule(ErrorKind.NOT_FOUND, _STOP_IF_NEW, 404, 405, 410),
    _rule(ErrorKind.TOO_LARGE, _FAIL, 413),
    _rule(ErrorKind.TIMEOUT, _RETRY, 408, billed=_MAYBE),
    _rule(ErrorKind.OTHER, _RETRY, 409, 425),
    _rule(ErrorKind.OVERLOADED, _RETRY, 498, 503, 529, scope=_ENDPOINT),
    _rule(ErrorKind.GATEWAY_TIMEOUT, _RETRY, 502, 504, 524, billed=_MAYBE),
    _rule(ErrorKind.CONNECTION, _RETRY, 521, 522, 523, 530, scope=_ENDPOINT),
    _rule(ErrorKind.SERVER_ERROR, _RETRY, *range(500, 600)),
    _rule(ErrorKind.BAD_REQUEST, _FAIL, *range(400, 500)),
    # A redirect would turn the POST into a GET and carry the key elsewhere: a wrong base_url.
    _rule(ErrorKind.BAD_RESPONSE, _PASSING, *range(300, 400)),
)

_UNKNOWN = Verdict(Action.FAIL_ROW, kind=ErrorKind.OTHER)


def judge_error(status: int, headers: Mapping[str, str], error: ErrorBody) -> tuple[Verdict, Failure]:
    """What a response that is no reply means. `status` is HTTP's, or the one an error inside a 200 names."""
    wait_s = asked_wait_s(headers)
    verdict = next((rule.verdict for rule in RULES if rule.fits(status, error, wait_s)), _UNKNOWN)
    # OpenAI's own clients obey this header; it speaks of the request, so refusals of the endpoint are left as they are,
    # and a 5xx of a gateway that knows nothing of the request.
    should_retry = headers.get("x-should-retry")
    if should_retry == "true" and verdict.action is Action.FAIL_ROW:
        verdict = replace(verdict, action=Action.RETRY)
    elif should_retry == "false" and (verdict.action, verdict.scope) == (_RETRY, Scope.ROW) and status < _SERVER_ERRORS:
        verdict = replace(verdict, action=Action.FAIL_ROW)
    if wait_s is not None and verdict.action is Action.RETRY:
        verdict = replace(verdict, wait_s=wait_s)
    assert verdict.kind is not None
    return verdict, Failure(verdict.kind, shorten(error.message) or f"HTTP {status} without a word")


_EMPTY = Verdict(Action.RETRY, billed=Billed.YES, kind=ErrorKind.EMPTY_REPLY)
_FILTERED_REPLY = Verdict(Action.FAIL_ROW, billed=Billed.YES, kind=ErrorKind.CONTENT_FILTER)
_UNREADABLE = Verdict(Action.RETRY, billed=Billed.MAYBE, kind=ErrorKind.BAD_RESPONSE)
_WEB_PAGE = Verdict(Action.RETRY_IF_ANSWERED, billed=Billed.MAYBE, kind=ErrorKind.BAD_RESPONSE)


def answers(reply: Reply) -> bool:
    """Whether a reply answers its row: it does with text, tool calls or a refusal, whatever the finish_reason."""
    return bool((reply.text and not reply.text.isspace()) or reply.tool_calls or reply.refusal)


def judge_reply(reply: Reply) -> tuple[Verdict, Failure | None]:
    """What a reply means to its row."""
    if answers(reply):
        return ACCEPTED, None
    if reply.finish_reason == "content_filter":
        return _FILTERED_REPLY, Failure(ErrorKind.CONTENT_FILTER, "the response was filtered")
    why = f" (finish_reason {reply.finish_reason})" if reply.finish_reason else ""
    return _EMPTY, Failure(ErrorKind.EMPTY_REPLY, shorten(f"the reply is empty{why}"))


def judge_unreadable(body: bytes, *, complete: bool) -> tuple[Verdict, Failure]:
    """A 2xx whose body is no chat completion: a web page, cut off, or something else; perhaps it was billed."""
    start = body[:200].lstrip()
    if complete and start[:1] == b"<":
        return _WEB_PAGE, Failure(ErrorKind.BAD_RESPONSE, f"a web page in place of JSON: {_begin(start)}")
    if not complete or not body.strip():
        return _UNREADABLE, Failure(ErrorKind.BAD_RESPONSE, f"the response broke off after {len(body):,} bytes")
    return _UNREADABLE, Failure(ErrorKind.BAD_RESPONSE, f"the response is no chat completion: {_begin(start)}")


def read_error(payload: Any, body: bytes) -> ErrorBody:
    """The error in `payload`, in any of the shapes that are in use; else the beginning of `body`."""
    found = payload
    for name in ("error", "detail", "error"):  # {"error": …}, {"detail": …}, {"detail": {"error": …}}
        inner = found.get(name) if isinstance(found, dict) else None
        if inner and (not isinstance(found.get("message"), str) or (name == "error" and isinstance(inner, dict))):
            found = inner
    if isinstance(found, str):
        return ErrorBody(found, frozenset())
    if isinstance(found, list):  # FastAPI's 422: [{"loc": […], "msg": …, "type": …}]
        return ErrorBody("; ".join(_complaint(item) for item in found), frozenset())
    if isinstance(found, dict):
        code = found.get("code")
        names = (code, found.get("type"))
        message = found.get("message") or found.get("msg")
        return ErrorBody(
            message if isinstance(message, str) else _begin(body),
            frozenset(name.lower() for name in names if isinstance(name, str)),
            _status(code),
        )
    return ErrorBody(_begin(body), frozenset(), foreign=not isinstance(payload, dict))


def asked_wait_s(headers: Mapping[str, str]) -> float | None:
    """Seconds the endpoint asks us to wait: `retry-after-ms`, or `Retry-After` in seconds or as a date."""
    for name, scale in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) / scale
        except ValueError:
            seconds = _seconds_until(value, headers.get("date"))
        if 0 <= seconds < _LONGEST_WAIT_S:
            return seconds
    return None


def shorten(text: str) -> str:
    """One line of at most 500 characters."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_ERROR else line[: LONGEST_ERROR - 1] + "…"


def _seconds_until(date: str, now: str | None) -> float:
    # Against the server's own clock, not ours. Without it the wait is unknown.
    try:
        return (parsedate_to_datetime(date) - parsedate_to_datetime(now or "")).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return -1.0


def _begin(body: bytes) -> str:
    return shorten(body[:200].decode("utf-8", "replace"))


def _complaint(item: Any) -> str:
    if not isinstance(item, dict):
        return str(item)
    loc = item.get("loc")
    place = ".".join(str(part) for part in loc) if isinstance(loc, list) else ""
    return f"{place}: {item.get('msg', '')}" if place else str(item.get("msg", ""))


def _status(code: Any) -> int | None:
    lowest, highest = 400, 599
    if isinstance(code, str) and re.fullmatch(r"[45][0-9][0-9]", code):
        code = int(code)
    return code if type(code) is int and lowest <= code <= highest else None
