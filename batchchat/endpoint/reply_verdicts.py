"""What a 2xx means: an answer, an empty reply and why it is empty, or no chat completion; pure.

A complete 2xx comes from an endpoint that is up, whatever is wrong with it. What it may have cost is the row's.
"""

from __future__ import annotations

import re

from batchchat.core.attempt import Action, Billed, Cost, Failure, Reply, Scope, Usage, Verdict
from batchchat.core.conversation import ErrorKind
from batchchat.endpoint.error_body import begin, one_line
from batchchat.text import numbers

__all__ = ["ACCEPTED", "has_content", "judge_reply", "judge_unreadable", "was_billed", "with_bill"]

ACCEPTED = Verdict(Action.ACCEPT, billed=Billed.YES)
_OK = 200

# The reasons for which a reply ended, in lower case. OpenAI has `length` and `content_filter`.
_CUT_OFF = {"length", "max_tokens", "max_output_tokens", "error_limit"}  # Gemini, Anthropic, Cohere
_FILTERED = {
    "content_filter",
    "content_filtered",  # Bedrock
    "safety",  # Gemini, as the following
    "prohibited_content",
    "recitation",
    "blocklist",
    "spii",
    "image_safety",
    "model_armor",
    "guardrail_intervened",  # Bedrock
    "refusal",  # Anthropic
    "error_toxic",  # Cohere
    "sensitive",  # ZhipuAI
}
_TOO_LONG = {"model_context_window_exceeded"}  # Anthropic, ZhipuAI
_SERVER_FAILED = {
    "abort",  # vLLM, SGLang
    "aborted",
    "cancelled",
    "error",  # OpenRouter
    "network_error",  # ZhipuAI
    "server_error",
}
_OVERLOADED = {"insufficient_system_resource"}  # DeepSeek
_WORD = re.compile(r"[a-z_]+")

_IS_UP = Verdict(Action.RETRY, billed=Billed.YES, endpoint_is_up=True)
_EMPTY = _IS_UP._replace(kind=ErrorKind.EMPTY_REPLY)
_EMPTY_CUT_OFF = _EMPTY._replace(action=Action.FAIL_ROW)
_FILTERED_REPLY = _IS_UP._replace(action=Action.FAIL_ROW, kind=ErrorKind.CONTENT_FILTER)
_OUT_OF_CONTEXT = _IS_UP._replace(action=Action.FAIL_ROW, kind=ErrorKind.CONTEXT_LENGTH)
_FAILED = Verdict(Action.RETRY, Scope.ENDPOINT)
_UNREADABLE = _IS_UP._replace(billed=Billed.MAYBE, kind=ErrorKind.BAD_RESPONSE)
_BROKEN_OFF = _UNREADABLE._replace(endpoint_is_up=False)
_WEB_PAGE = Verdict(Action.RETRY_IF_ANSWERED, billed=Billed.MAYBE, kind=ErrorKind.BAD_RESPONSE)


def has_content(reply: Reply) -> bool:
    """Whether `reply` has text, tool calls, other parts or a refusal, and so answers its row whatever its end."""
    return bool((reply.text and not reply.text.isspace()) or reply.tool_calls or reply.refusal or reply.parts)


def judge_reply(reply: Reply, usage: Usage | None = None) -> tuple[Verdict, Failure | None]:
    """The verdict on `reply`, and why it does not answer its row, where it does not."""
    if has_content(reply):
        return ACCEPTED, None
    word = _WORD.match((reply.finish_reason or "").lower())
    reason = word[0] if word else ""
    if reason in _FILTERED:
        words = "" if reason == "content_filter" else f" (finish_reason {reply.finish_reason})"
        return _FILTERED_REPLY, Failure(ErrorKind.CONTENT_FILTER, one_line(f"the response was filtered{words}"))
    if reason in _TOO_LONG:
        words = f"the reply is empty: the context is full (finish_reason {reply.finish_reason})"
        return _OUT_OF_CONTEXT, Failure(ErrorKind.CONTEXT_LENGTH, one_line(words))
    if reason in _CUT_OFF:
        return _EMPTY_CUT_OFF, Failure(ErrorKind.EMPTY_REPLY, _cut_off_words(reply, usage))
    if reason in _SERVER_FAILED or reason in _OVERLOADED:
        kind = ErrorKind.OVERLOADED if reason in _OVERLOADED else ErrorKind.SERVER_ERROR
        words = f"the endpoint failed while it replied (finish_reason {reply.finish_reason})"
        return with_bill(_FAILED._replace(kind=kind), usage, None), Failure(kind, one_line(words))
    words = f" (finish_reason {reply.finish_reason})" if reply.finish_reason else ""
    return _EMPTY, Failure(ErrorKind.EMPTY_REPLY, one_line(f"the reply is empty{words}"))


def judge_unreadable(
    status: int, body: bytes, *, complete: bool, billed: bool = False, size: int | None = None
) -> tuple[Verdict, Failure]:
    """The verdict on a 2xx whose body is no chat completion: a web page, cut off, empty, or another.

    `billed`: it has the usage of a reply; else it may have been billed. `size`: its bytes, where `body` is but its
    beginning.
    """
    start = body[:200].lstrip()
    if complete and start[:1] == b"<":
        return _WEB_PAGE, Failure(ErrorKind.BAD_RESPONSE, f"a web page in place of JSON: {begin(start)}")
    if not complete:
        verdict = _BROKEN_OFF._replace(billed=Billed.YES) if billed else _BROKEN_OFF
        return verdict, Failure(ErrorKind.BAD_RESPONSE, f"the response broke off after {size or len(body):,} bytes")
    verdict = _UNREADABLE._replace(billed=Billed.YES) if billed else _UNREADABLE
    if status != _OK:
        content = f": {begin(start)}" if start else ", with an empty body"
        accepted = " (accepted, pending)" if status == 202 else ""  # noqa: PLR2004 (as the words say)
        return verdict, Failure(ErrorKind.BAD_RESPONSE, f"HTTP {status}{accepted} without a reply{content}")
    if not start:
        return verdict, Failure(ErrorKind.BAD_RESPONSE, "the response is empty (HTTP 200)")
    return verdict, Failure(ErrorKind.BAD_RESPONSE, f"the response is no chat completion: {begin(start)}")


def was_billed(usage: Usage | None, cost: Cost | None) -> bool:
    """Whether a failure was paid: it has a reported cost, or tokens of a reply.

    The price of its prompt alone is no sign: endpoints report the prompt's length with failures that they don't bill.
    """
    if usage is None:
        return cost is not None and cost.usd > 0
    return bool(usage.cost_usd) or (usage.cost_usd is None and bool(usage.billed_completion_tokens))


def with_bill(verdict: Verdict, usage: Usage | None, cost: Cost | None) -> Verdict:
    """`verdict` on a failure: what was paid is the row's, so that the row's limits bound it."""
    if not was_billed(usage, cost):
        return verdict
    return verdict._replace(billed=Billed.YES, scope=Scope.ROW, endpoint_is_up=True)


def _cut_off_words(reply: Reply, usage: Usage | None) -> str:
    """Why a reply that reached its maximum length has no text, and what to do."""
    count = usage.billed_completion_tokens if usage is not None else None
    way_out = "raise `max_tokens`, or lower the reasoning effort"
    reasoned = bool(reply.reasoning) or (usage is not None and bool(usage.reasoning_tokens))
    if reasoned and count:
        return f"the reply is empty: all {numbers.count(count)} tokens went into reasoning; {way_out}"
    if reasoned:
        return f"the reply is empty: all its tokens went into reasoning; {way_out}"
    after = f" after {numbers.count(count)} tokens" if count else ""
    return f"the reply is empty and was cut off{after} (finish_reason {one_line(reply.finish_reason or '')}); {way_out}"
