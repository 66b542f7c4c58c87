"""The script of one message: one request, and whatever comes of it is the row's outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from batchchat.core.attempt import Action, Attempt, MaxUsage, Outcome, Request
from batchchat.core.conversation import Key, Message, Row, Status

__all__ = ["Compose", "SingleMessage", "merged_params", "single_message", "with_system"]

Compose = Callable[[Key, str, list[Message], Mapping[str, Any]], Request]
"""(key, model, messages, params) -> the request for an endpoint."""


@dataclass(frozen=True, slots=True)
class SingleMessage:
    """Plays one row."""

    row: Row
    request: Request

    @property
    def identity(self) -> int:
        """The fingerprint of its one request."""
        return self.request.fingerprint

    @property
    def bound(self) -> MaxUsage:
        """What its one request may use."""
        return self.request.max_usage

    @property
    def preview(self) -> Sequence[Request]:
        """Its one request."""
        return (self.request,)

    def next(self, attempts: Sequence[Attempt]) -> Request | Outcome:
        if not attempts:
            return self.request
        last = attempts[-1]
        status = Status.ANSWERED if last.verdict.action is Action.ACCEPT else Status.FAILED
        return Outcome(self.row, status, self.request.messages, last)


# Two names of one limit: a row that sets one of them replaces the job's, whichever that is.
_REPLY_LIMITS = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}


def merged_params(params: Mapping[str, Any], row: Row) -> Mapping[str, Any]:
    """The parameters that are sent for `row`: its own over `params`, the job's."""
    own = row.params
    if not own:
        return params
    replaced = {other_name for name, other_name in _REPLY_LIMITS.items() if own.get(name) is not None}
    return {**{name: value for name, value in params.items() if name not in replaced}, **own}


def single_message(
    row: Row, *, model: str, params: Mapping[str, Any], system: str | None, compose: Compose
) -> SingleMessage:
    """The script for `row`: its own model and params over the job's, `system` first where it has none."""
    messages = with_system(row.messages, system if row.systems is None else row.systems.get("", system))
    return SingleMessage(row, compose(row.key, row.model or model, messages, merged_params(params, row)))


def with_system(messages: list[Message], system: str | None) -> list[Message]:
    """`messages` with `system` put first, where they have no system message of their own and `system` is not empty."""
    if not system or messages[0]["role"] in {"system", "developer"}:
        return messages
    return [{"role": "system", "content": system}, *messages]
