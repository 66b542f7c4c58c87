"""The script of one message: one request, and whatever comes of it is the row's outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from batchchat.core.attempt import Action, Attempt, MaxUsage, Outcome, Request
from batchchat.core.conversation import Key, Message, Row, Status
from batchchat.script.variants import NO_VARIANT, Variant

__all__ = [
    "Compose",
    "SingleMessage",
    "merged_params",
    "sent_messages",
    "sent_params",
    "single_message",
    "with_system",
]


class Compose(Protocol):
    """Makes the request for an endpoint."""

    def __call__(
        self, key: Key, model: str, messages: list[Message], params: Mapping[str, Any], *, plain: bool = False
    ) -> Request:
        """The request of these; `plain`: the messages are known to be a role and a text and no more."""


# A member of an enum takes 0.1 µs to look up in Python 3.11; these are looked up for each row.
_ACCEPT, _ANSWERED, _FAILED = Action.ACCEPT, Status.ANSWERED, Status.FAILED


class SingleMessage(NamedTuple):
    """Plays one row; `params` are those of its request."""

    row: Row
    request: Request
    params: Mapping[str, Any]

    @property
    def identity(self) -> int:
        """The fingerprint of its one request."""
        return self.request.fingerprint

    @property
    def request_count(self) -> int:
        """One."""
        return 1

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
        status = _ANSWERED if last.verdict.action is _ACCEPT else _FAILED
        return Outcome(self.row, status, self.request.messages, last)


# Two names of one limit: a row that sets one of them replaces the job's, whichever that is.
_REPLY_LIMITS = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}


def merged_params(params: Mapping[str, Any], own: Mapping[str, Any]) -> Mapping[str, Any]:
    """`own` parameters over `params`."""
    if not own:
        return params
    replaced = {other_name for name, other_name in _REPLY_LIMITS.items() if own.get(name) is not None}
    return {**{name: value for name, value in params.items() if name not in replaced}, **own}


def sent_params(params: Mapping[str, Any], row: Row, variant: Variant = NO_VARIANT) -> Mapping[str, Any]:
    """The parameters that are sent for `row`: its variant's over its own over `params`, the job's.

    A seed is another for each sample; without one the endpoint draws it.
    """
    if variant is NO_VARIANT and not row.params and not row.key.sample:
        return params
    sent = merged_params(merged_params(params, row.params), variant.params)
    if row.key.sample and type(seed := sent.get("seed")) is int:
        sent = {**sent, "seed": seed + row.key.sample}
    return sent


def sent_messages(row: Row, system: str | None, variant: Variant = NO_VARIANT) -> list[Message]:
    """The messages that are sent for `row`: `system`, the job's or its variant's, first where it has none."""
    label = ""
    if variant.system_label is not None:
        label, system = variant.system_label, variant.system
    return with_system(row.messages, system if row.systems is None else row.systems.get(label, system))


def single_message(
    row: Row,
    *,
    model: str,
    params: Mapping[str, Any],
    system: str | None,
    compose: Compose,
    variant: Variant = NO_VARIANT,
) -> SingleMessage:
    """The script for `row`: its own model and params over the job's, `system` first where it has none.

    What `variant` names wins over both, and its system message is put first in place of the job's.
    """
    messages, sent = sent_messages(row, system, variant), sent_params(params, row, variant)
    model = variant.model or row.model or model
    return SingleMessage(row, compose(row.key, model, messages, sent, plain=row.plain), sent)


def with_system(messages: list[Message], system: str | None) -> list[Message]:
    """`messages` with `system` put first, where they have no system message of their own and `system` is not empty."""
    if not system or messages[0]["role"] in {"system", "developer"}:
        return messages
    return [{"role": "system", "content": system}, *messages]
