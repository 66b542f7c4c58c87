"""The verdict table: what a response means, whose fault it is, whether it may have been billed; pure.

The first rule that matches wins. A message is matched only where providers give no other sign. `docs/endpoints.md` has
the sources: DeepInfra's, OpenAI's, OpenRouter's, Groq's, Together's, Fireworks', Azure's and Cloudflare's error pages,
vLLM's and llama.cpp's server code. A response that no rule matches fails its row, with the beginning of its body kept.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from batchchat.core.attempt import Action, Billed, Failure, Reply, Scope, Verdict
from batchchat.core.conversation import ErrorKind

__all__ = [
    "ACCEPTED",
    "MAX_ERROR_CHARS",
    "ErrorBody",
    "has_content",
    "judge_error",
    "judge_reply",
    "judge_unreadable",
    "one_line",
    "read_error",
    "retry_after_s",
]

ACCEPTED = Verdict(Action.ACCEPT, billed=Billed.YES)
MAX_ERROR_CHARS = 500
_MAX_WAIT_S = 86_400.0
_SERVER_ERRORS = 500


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """The error in a response, whatever its shape. `codes` holds its code and type, in lower case.

    `foreign`: the body is not JSON, so it may come from a proxy or a firewall in front of the endpoint.
    """

    message: str
    codes: frozenset[str]
    status: int | None = None
    foreign: bool = False


class _Rule(NamedTuple):
    """One row of the table. It matches a response that meets each of its conditions; one left at None is no condition.

    `codes` holds some code or type of the error, `message` is found in its message. `retry_after`: the response says
    how long to wait, or does not. `foreign` is that of `ErrorBody`.
    """

    kind: ErrorKind
    action: Action
    statuses: Container[int] | None = None
    codes: frozenset[str] | None = None
    message: re.Pattern[str] | None = None
    retry_after: bool | None = None
    foreign: bool | None = None
    scope: Scope = Scope.ROW
    billed: Billed = Billed.NO

    def matches(self, status: int, error: ErrorBody, wait_s: float | None) -> bool:
        return (
            (self.statuses is None or status in self.statuses)
            and (self.codes is None or not self.codes.isdisjoint(error.codes))
            and (self.message is None or self.message.search(error.message) is not None)
            and (self.retry_after is None or self.retry_after == (wait_s is not None))
            and (self.foreign is None or self.foreign == error.foreign)
        )

    @property
    def verdict(self) -> Verdict:
        return Verdict(self.action, self.scope, self.billed, self.kind)


# Wording: DeepInfra ("exceeds maximum input length"), vLLM and OpenAI ("maximum context length"), llama.cpp
# ("exceeds the available context size"), Together and TGI ("must be <="), proxies ("prompt is too long").
_TOO_LONG = re.compile(
    r"exceeds maximum input length|maximum context length|context (length|window|size)|"
    r"inputs?` tokens \+ `max_new_tokens` must be|prompt is too long|too many tokens",
    re.IGNORECASE,
)
# OpenAI and Azure ("content management policy"), OpenRouter ("flagged", "moderation").
_FILTERED = re.compile(r"content management policy|content[ _]filter|content policy|flagged|moderation", re.IGNORECASE)

_TOO_LONG_CODES = frozenset({"context_length_exceeded", "exceed_context_size_error"})  # OpenAI; llama.cpp
_FILTER_CODES = frozenset({"content_filter", "content_policy_violation"})  # Azure; OpenAI
_QUOTA_CODES = frozenset(  # OpenAI
    {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "access_terminated"}
)
_BUSY_CODES = frozenset({"engine_overloaded", "slow_down"})  # DeepInfra; OpenAI

_RETRY, _FAIL, _STOP, _STOP_IF_NEW, _RETRY_IF_ANSWERED = (
    Action.RETRY,
    Action.FAIL_ROW,
    Action.STOP_RUN,
    Action.STOP_UNLESS_ANSWERED,
    Action.RETRY_IF_ANSWERED,
)
_ENDPOINT, _MAYBE = Scope.ENDPOINT, Billed.MAYBE

RULES: tuple[_Rule, ...] = (
    # By code or message, whatever the status
    _Rule(ErrorKind.CONTEXT_LENGTH, _FAIL, codes=_TOO_LONG_CODES),
    _Rule(ErrorKind.CONTEXT_LENGTH, _FAIL, {400, 413, 422, 500}, message=_TOO_LONG),
    _Rule(ErrorKind.CONTENT_FILTER, _FAIL, codes=_FILTER_CODES),
    _Rule(ErrorKind.CONTENT_FILTER, _FAIL, {400, 403}, message=_FILTERED),
    _Rule(ErrorKind.QUOTA, _STOP, codes=_QUOTA_CODES),
    _Rule(ErrorKind.OVERLOADED, _RETRY, {429}, codes=_BUSY_CODES, scope=_ENDPOINT),
    _Rule(ErrorKind.NOT_FOUND, _STOP_IF_NEW, {400, 404}, codes=frozenset({"model_not_found"})),
    _Rule(ErrorKind.UNAUTHORIZED, _STOP, {400}, codes=frozenset({"invalid_api_key"})),
    # By status
    _Rule(ErrorKind.RATE_LIMIT, _RETRY, {429}, scope=_ENDPOINT),
    _Rule(ErrorKind.UNAUTHORIZED, _STOP, {401, 407}),
    _Rule(ErrorKind.QUOTA, _RETRY, {402}, retry_after=True, scope=_ENDPOINT),
    _Rule(ErrorKind.QUOTA, _STOP, {402, 412}),
    # An ingress without a backend ("default backend - 404"), a maintenance page, a firewall
    _Rule(ErrorKind.FORBIDDEN, _RETRY_IF_ANSWERED, {403}, foreign=True),
    _Rule(ErrorKind.NOT_FOUND, _RETRY_IF_ANSWERED, {404, 405, 410}, foreign=True),
    _Rule(ErrorKind.FORBIDDEN, _STOP_IF_NEW, {403, 451}),
    _Rule(ErrorKind.NOT_FOUND, _STOP_IF_NEW, {404, 405, 410}),
    _Rule(ErrorKind.TOO_LARGE, _FAIL, {413}),
    _Rule(ErrorKind.TIMEOUT, _RETRY, {408}, billed=_MAYBE),
    _Rule(ErrorKind.OTHER, _RETRY, {409, 425}),
    _Rule(ErrorKind.OVERLOADED, _RETRY, {498, 503, 529}, scope=_ENDPOINT),
    _Rule(ErrorKind.GATEWAY_TIMEOUT, _RETRY, {502, 504, 524}, billed=_MAYBE),
    _Rule(ErrorKind.CONNECTION, _RETRY, {521, 522, 523, 530}, scope=_ENDPOINT),
    _Rule(ErrorKind.SERVER_ERROR, _RETRY, range(500, 600)),
    _Rule(ErrorKind.BAD_REQUEST, _FAIL, range(400, 500)),
    # Followed, a redirect would turn the POST into a GET and send the key elsewhere: the base_url is wrong.
    _Rule(ErrorKind.BAD_RESPONSE, _RETRY_IF_ANSWERED, range(300, 400)),
)

_UNKNOWN = Verdict(Action.FAIL_ROW, kind=ErrorKind.OTHER)


def judge_error(status: int, headers: Mapping[str, str], error: ErrorBody) -> tuple[Verdict, Failure]:
    """The verdict on a response that is no reply. `status` is HTTP's, or the one given by an error inside a 200."""
    wait_s = retry_after_s(headers)
    verdict = next((rule.verdict for rule in RULES if rule.matches(status, error, wait_s)), _UNKNOWN)
    # OpenAI's own clients obey this header. It is about the request, so it changes neither a verdict about the endpoint
    # nor a 5xx, which may come from a gateway.
    should_retry = headers.get("x-should-retry")
    if should_retry == "true" and verdict.action is Action.FAIL_ROW:
        verdict = replace(verdict, action=Action.RETRY)
    elif should_retry == "false" and (verdict.action, verdict.scope) == (_RETRY, Scope.ROW) and status < _SERVER_ERRORS:
        verdict = replace(verdict, action=Action.FAIL_ROW)
    if wait_s is not None and verdict.action is Action.RETRY:
        verdict = replace(verdict, wait_s=wait_s)
    assert verdict.kind is not None
    return verdict, Failure(verdict.kind, one_line(error.message) or f"HTTP {status}, empty body")


_EMPTY = Verdict(Action.RETRY, billed=Billed.YES, kind=ErrorKind.EMPTY_REPLY)
_FILTERED_REPLY = Verdict(Action.FAIL_ROW, billed=Billed.YES, kind=ErrorKind.CONTENT_FILTER)
_UNREADABLE = Verdict(Action.RETRY, billed=Billed.MAYBE, kind=ErrorKind.BAD_RESPONSE)
_WEB_PAGE = Verdict(Action.RETRY_IF_ANSWERED, billed=Billed.MAYBE, kind=ErrorKind.BAD_RESPONSE)


def has_content(reply: Reply) -> bool:
    """Whether `reply` has text, tool calls or a refusal, and so answers its row, whatever its finish_reason."""
    return bool((reply.text and not reply.text.isspace()) or reply.tool_calls or reply.refusal)


def judge_reply(reply: Reply) -> tuple[Verdict, Failure | None]:
    """The verdict on `reply`, and why it does not answer its row, where it does not."""
    if has_content(reply):
        return ACCEPTED, None
    if reply.finish_reason == "content_filter":
        return _FILTERED_REPLY, Failure(ErrorKind.CONTENT_FILTER, "the response was filtered")
    reason = f" (finish_reason {reply.finish_reason})" if reply.finish_reason else ""
    return _EMPTY, Failure(ErrorKind.EMPTY_REPLY, one_line(f"the reply is empty{reason}"))


def judge_unreadable(body: bytes, *, complete: bool) -> tuple[Verdict, Failure]:
    """The verdict on a 2xx whose body is no chat completion: a web page, cut off, or another; it may be billed."""
    start = body[:200].lstrip()
    if complete and start[:1] == b"<":
        return _WEB_PAGE, Failure(ErrorKind.BAD_RESPONSE, f"a web page in place of JSON: {_begin(start)}")
    if not complete or not body.strip():
        return _UNREADABLE, Failure(ErrorKind.BAD_RESPONSE, f"the response broke off after {len(body):,} bytes")
    return _UNREADABLE, Failure(ErrorKind.BAD_RESPONSE, f"the response is no chat completion: {_begin(start)}")


def read_error(payload: Any, body: bytes) -> ErrorBody:
    """The error in `payload`, in any of the shapes in use; else its message is the beginning of `body`."""
    node = payload
    for name in ("error", "detail", "error"):  # {"error": …}, {"detail": …}, {"detail": {"error": …}}
        inner = node.get(name) if isinstance(node, dict) else None
        if inner and (not isinstance(node.get("message"), str) or (name == "error" and isinstance(inner, dict))):
            node = inner
    if isinstance(node, str):
        return ErrorBody(node, frozenset())
    if isinstance(node, list):  # FastAPI's 422: [{"loc": […], "msg": …, "type": …}]
        return ErrorBody("; ".join(_complaint(item) for item in node), frozenset())
    if isinstance(node, dict):
        code = node.get("code")
        names = (code, node.get("type"))
        message = node.get("message") or node.get("msg")
        return ErrorBody(
            message if isinstance(message, str) else _begin(body),
            frozenset(name.lower() for name in names if isinstance(name, str)),
            _status(code),
        )
    return ErrorBody(_begin(body), frozenset(), foreign=not isinstance(payload, dict))


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


def one_line(text: str) -> str:
    """`text` as one line of at most 500 characters."""
    line = " ".join(text.split())
    return line if len(line) <= MAX_ERROR_CHARS else line[: MAX_ERROR_CHARS - 1] + "…"


def _seconds_until(date: str, now: str | None) -> float:
    # By the server's own clock, not ours. Without its `Date` the wait is unknown.
    try:
        return (parsedate_to_datetime(date) - parsedate_to_datetime(now or "")).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return -1.0


def _begin(body: bytes) -> str:
    return one_line(body[:200].decode("utf-8", "replace"))


def _complaint(item: Any) -> str:
    if not isinstance(item, dict):
        return str(item)
    loc = item.get("loc")
    location = ".".join(str(part) for part in loc) if isinstance(loc, list) else ""
    return f"{location}: {item.get('msg', '')}" if location else str(item.get("msg", ""))


def _status(code: Any) -> int | None:
    min_status, max_status = 400, 599
    if isinstance(code, str) and re.fullmatch(r"[45][0-9][0-9]", code):
        code = int(code)
    return code if type(code) is int and min_status <= code <= max_status else None
