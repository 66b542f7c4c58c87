"""What an endpoint does without saying so: each is noticed from what comes back, and told once.

It serves another model or service tier than was asked for; its gateway cuts long generations; it cuts prompts or
replies where its context ends, and answers all the same. Nothing here changes what becomes of a row.
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
    GatewayTimeoutFound,
    OtherModelServed,
    OtherTierServed,
    PromptTruncated,
    RowOverdue,
    Subscriber,
)
from batchchat.policy.stragglers import Overdue

__all__ = ["AnomalyDetector"]

_GATEWAY_STATUSES = frozenset({502, 504, 524})
LONG_S = 20.0
"""A gateway that fails sooner is not one that ends long generations: those wait 60 to 125 s."""
_ALIKE = 0.1
_CUTS = 5

_BYTES_A_TOKEN = 12
"""More than any tokenizer makes of running text: English has 4 to 5 bytes a token, Thai and Hindi up to 8."""
_LEAST_BYTES = 4096
_RUN = re.compile(r"(.)\1{3,}", re.DOTALL)
"""One token may stand for many equal characters: blanks of a table, a line of dashes."""

_WALL_ROWS, _WALL_SIZES, _WALL_STEP = 5, 3, 1024
_REQUESTED_TIERS = frozenset({"flex", "priority"})


class AnomalyDetector:
    """Watches the attempts and the answers of a run. `params` are the job's; a row's own win over them."""

    def __init__(self, tell: Subscriber, params: Mapping[str, Any]) -> None:
        self._tell = tell
        self._params = params
        self._told: set[Any] = set()
        self._cuts: deque[float] = deque(maxlen=_CUTS)
        self._most_tokens = 0
        self._at_most = 0
        self._sizes: set[int] = set()

    def failed(self, attempt: Attempt) -> None:
        """An attempt was not accepted."""
        if attempt.http_status not in _GATEWAY_STATUSES or attempt.latency_s < LONG_S:
            return
        cuts = self._cuts
        cuts.append(attempt.latency_s)
        if len(cuts) == _CUTS and max(cuts) - min(cuts) <= _ALIKE * max(cuts):
            self._once(GatewayTimeoutFound(attempt.http_status, sum(cuts) / _CUTS, _CUTS), GatewayTimeoutFound)

    def overdue(self, overdue: Overdue) -> None:
        """An attempt at the end of the run hangs, and is cancelled."""
        self._tell(RowOverdue(overdue.key.id, overdue.ran_s, overdue.p99_s, overdue.again))

    def answered(self, outcome: Outcome) -> None:
        """A row was answered."""
        attempt = outcome.attempt
        reply, usage, request = attempt.reply, attempt.usage, attempt.request
        if reply is not None:
            if reply.model is not None and reply.model != request.model:
                self._once(OtherModelServed(request.model, reply.model), (request.model, reply.model))
            if reply.service_tier is not None:
                self._look_at_tier(outcome.row.params, reply.service_tier)
        if usage is not None:
            self._look_at_prompt(outcome.row.key.id, usage, attempt)
            self._look_at_total(usage, len(request.body), outcome.row.params)

    def _look_at_tier(self, params: Mapping[str, Any], served: str) -> None:
        requested = self._param(params, "service_tier")
        if requested in _REQUESTED_TIERS and served != requested:
            self._once(OtherTierServed(requested, served), ("tier", requested, served))

    def _look_at_prompt(self, id_: str, usage: Usage, attempt: Attempt) -> None:
        """Fewer tokens than its text can have: what is missing was not read. 0 is what some report of a cached one."""
        tokens, request = usage.prompt_tokens, attempt.request
        if PromptTruncated in self._told:
            return
        least = max(_LEAST_BYTES, _BYTES_A_TOKEN * tokens) if tokens else 0
        # The body is at least as long as its text, and its length costs nothing.
        if tokens and len(request.body) >= least and (size := _text_bytes(request.messages)) >= least:
            self._once(PromptTruncated(id_, size, tokens), PromptTruncated)

    def _look_at_total(self, usage: Usage, size: int, params: Mapping[str, Any]) -> None:
        """Several conversations of different length with the very same total, and none with more: a wall.

        A reply as long as was asked for ends by our own wish.
        """
        total = usage.total_tokens
        if total is None or total < self._most_tokens:
            return
        if total > self._most_tokens:
            self._most_tokens, self._at_most = total, 0
            self._sizes.clear()
        wished = self._param(params, "max_tokens") or self._param(params, "max_completion_tokens")
        if total % _WALL_STEP or (wished is not None and usage.completion_tokens == wished):
            return
        self._at_most += 1
        self._sizes.add(size)
        if self._at_most == _WALL_ROWS and len(self._sizes) >= _WALL_SIZES:
            self._once(ContextLimitFound(total, _WALL_ROWS), ContextLimitFound)
        elif self._at_most >= _WALL_ROWS:
            self._at_most = _WALL_ROWS - 1  # more of one size prove nothing

    def _param(self, params: Mapping[str, Any], name: str) -> Any:
        return params[name] if name in params else self._params.get(name)

    def _once(self, event: Any, what: Any) -> None:
        if what not in self._told:
            self._told.add(what)
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
