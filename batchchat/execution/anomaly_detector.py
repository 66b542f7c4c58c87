"""What an endpoint does without saying so: noticed from its responses, and reported once each.

It serves another model or service tier than was requested; its gateway ends long generations; it truncates prompts or
replies at its context limit and answers as if it had not. Nothing here changes what becomes of a row. Which
`response_format` it refuses is noted here, too, for the rows that follow.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from typing import Any

from batchchat.core.attempt import Attempt, Outcome, Usage
from batchchat.core.conversation import Message
from batchchat.core.events import (
    ContextLimitFound,
    Event,
    GatewayTimeoutFound,
    OtherModelServed,
    OtherTierServed,
    PromptTruncated,
    ResponseFormatRefused,
    RowOverdue,
    StreamNoticed,
    Subscriber,
)
from batchchat.core.response_format import ResponseFormat
from batchchat.policy.format_ladder import FormatLadder
from batchchat.policy.stragglers import Overdue

__all__ = ["AnomalyDetector"]

_GATEWAY_STATUSES = frozenset({502, 504, 524})
MIN_GATEWAY_TIMEOUT_S = 20.0
"""A gateway that fails sooner is not one that ends long generations: those wait 60 to 125 s."""
_SPREAD = 0.1
_TIMEOUTS = 5
"""So many timeouts in a row, within a tenth of each other, are one limit."""

_BYTES_A_TOKEN = 12
"""More than any tokenizer makes of running text: English has 4 to 5 bytes a token, Thai and Hindi up to 8."""
_MIN_BYTES = 4096
_RUN = re.compile(r"(.)\1{3,}", re.DOTALL)
"""One token may stand for many equal characters: blanks of a table, a line of dashes."""

_LIMIT_ROWS, _LIMIT_SIZES, _LIMIT_STEP = 5, 3, 1024
_OWN_NAMES: Mapping[str, str] = {}
_REQUESTED_TIERS = frozenset({"flex", "priority"})


class AnomalyDetector:
    """Observes the attempts and the answers of a run. `params` are the job's; a row's own win over them.

    `streams`: replies are asked for as streams. `formats` learns which `response_format` each endpoint takes.
    `served_as` has what it calls models, where that is another name.
    """

    def __init__(
        self,
        tell: Subscriber,
        params: Mapping[str, Any],
        formats: FormatLadder | None = None,
        *,
        streams: bool = False,
        served_as: Mapping[str, str] = _OWN_NAMES,
    ) -> None:
        self._tell = tell
        self._formats = formats or FormatLadder()
        self._params = params
        self._streams = streams
        self._served_as = served_as
        self._reported: set[Any] = set()
        self._timeouts: deque[float] = deque(maxlen=_TIMEOUTS)
        self._max_tokens = 0
        self._rows_at_max = 0
        self._sizes: set[int] = set()

    def failed(self, attempt: Attempt) -> None:
        """An attempt was not accepted."""
        if (response_format := attempt.refused_format) is not None:
            self._refused_format(attempt, response_format)
        if attempt.http_status not in _GATEWAY_STATUSES or attempt.latency_s < MIN_GATEWAY_TIMEOUT_S:
            return
        timeouts = self._timeouts
        timeouts.append(attempt.latency_s)
        if len(timeouts) == _TIMEOUTS and max(timeouts) - min(timeouts) <= _SPREAD * max(timeouts):
            mean_s = sum(timeouts) / _TIMEOUTS
            self._once(GatewayTimeoutFound(attempt.http_status, mean_s, _TIMEOUTS, self._streams), GatewayTimeoutFound)

    def _refused_format(self, attempt: Attempt, response_format: ResponseFormat) -> None:
        model, failure = attempt.request.model, attempt.failure
        if self._formats.refuse(model, response_format, attempt.endpoint):
            words = "" if failure is None else failure.text
            self._tell(ResponseFormatRefused(model, response_format, response_format.fallback, words))

    def overdue(self, overdue: Overdue) -> None:
        """An attempt at the end of the run hangs, and is cancelled."""
        self._tell(RowOverdue(overdue.key.id, overdue.ran_s, overdue.p99_s, overdue.again))

    def answered(self, outcome: Outcome) -> None:
        """A row was answered."""
        attempt = outcome.attempt
        if attempt.streamed is not self._streams:
            self._once(StreamNoticed("unasked" if attempt.streamed else "ignored", outcome.row.key.id), StreamNoticed)
        if attempt.verdict.refused_field is not None:
            self._once(StreamNoticed("no usage", outcome.row.key.id), attempt.verdict.refused_field)
        reply, usage, request = attempt.reply, attempt.usage, attempt.request
        if request.response_format is not None:
            self._formats.accept(request.model, request.response_format, attempt.endpoint)
        if reply is not None:
            requested = self._served_as.get(request.model, request.model)
            if reply.model is not None and reply.model != requested:
                self._once(OtherModelServed(requested, reply.model), (requested, reply.model))
            if reply.service_tier is not None:
                self._check_tier(outcome.row.params, reply.service_tier)
        if usage is not None:
            self._check_prompt(outcome.row.key.id, usage, attempt)
            self._check_total(usage, len(request.body), outcome.row.params)

    def _check_tier(self, params: Mapping[str, Any], served: str) -> None:
        requested = self._param(params, "service_tier")
        if requested in _REQUESTED_TIERS and served != requested:
            self._once(OtherTierServed(requested, served), ("tier", requested, served))

    def _check_prompt(self, id_: str, usage: Usage, attempt: Attempt) -> None:
        """A prompt of fewer tokens than its text can have was not read whole; 0 is what some report of a cached one."""
        tokens, request = usage.prompt_tokens, attempt.request
        if PromptTruncated in self._reported:
            return
        min_bytes = max(_MIN_BYTES, _BYTES_A_TOKEN * tokens) if tokens else 0
        # The body is at least as long as its text, and its length costs nothing.
        if tokens and len(request.body) >= min_bytes and (size := _text_bytes(request.messages)) >= min_bytes:
            self._once(PromptTruncated(id_, size, tokens), PromptTruncated)

    def _check_total(self, usage: Usage, size: int, params: Mapping[str, Any]) -> None:
        """Several conversations of different length with the same total, and none with more: a context limit.

        A reply that is as long as its request allowed says nothing of that.
        """
        total = usage.total_tokens
        if total is None or total < self._max_tokens:
            return
        if total > self._max_tokens:
            self._max_tokens, self._rows_at_max = total, 0
            self._sizes.clear()
        limit = self._param(params, "max_tokens") or self._param(params, "max_completion_tokens")
        if total % _LIMIT_STEP or (limit is not None and usage.completion_tokens == limit):
            return
        self._rows_at_max += 1
        self._sizes.add(size)
        if self._rows_at_max == _LIMIT_ROWS and len(self._sizes) >= _LIMIT_SIZES:
            self._once(ContextLimitFound(total, _LIMIT_ROWS), ContextLimitFound)
        elif self._rows_at_max >= _LIMIT_ROWS:
            self._rows_at_max = _LIMIT_ROWS - 1  # more of the same size prove nothing

    def _param(self, params: Mapping[str, Any], name: str) -> Any:
        return params[name] if name in params else self._params.get(name)

    def _once(self, event: Event, key: Any) -> None:
        if key not in self._reported:
            self._reported.add(key)
            self._tell(event)


def _text_bytes(messages: list[Message]) -> int:
    """Bytes of the text of `messages`, runs of one character counted as four; images and tool calls don't count."""
    size = 0
    for message in messages:
        content = message.get("content")
        parts = content if isinstance(content, list) else [content]
        for part in parts:
            text = part.get("text") if isinstance(part, dict) else part
            if isinstance(text, str):
                size += len(_RUN.sub(r"\1\1\1\1", text).encode("utf-8", "surrogatepass"))
    return size
