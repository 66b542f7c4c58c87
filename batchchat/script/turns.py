"""The script of several turns: each of the row's user messages is sent once the one before it is answered.

Request k is request k-1, the reply to it, and the next user message; model and parameters are those of the first. What
was not answered in text can't be continued. A row fails at the turn that failed, with the conversation up to there;
what was answered before is kept, so that a resend begins at that turn.

Of a reply its text is sent back, or what it refused with, as the assistant's message; its reasoning is not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from batchchat import lossless_json
from batchchat.core.attempt import Action, Attempt, Failure, MaxUsage, Outcome, Reply, Request, Verdict
from batchchat.core.conversation import ErrorKind, Message, Row, Status
from batchchat.hash_table import stable_hash64
from batchchat.script.single import Compose, SingleMessage

__all__ = ["LongerPrompt", "Turns", "Unfit", "identity_of"]

LongerPrompt = Callable[[Request, Mapping[str, Any], int], MaxUsage]
"""(request, its params, n) -> the most it may use if its prompt also had n replies to requests like it."""

Unfit = Callable[[Request, Mapping[str, Any]], Failure | None]
"""(request, its params) -> why it can't be answered, so that it is not sent; None where it may be."""

_CUT_OFF = "length"
_NO_USD = Decimal(0)


@dataclass(frozen=True, slots=True)
class Turns:
    """Plays the turns of a row; `first` is the script of the first."""

    first: SingleMessage
    compose: Compose
    longer: LongerPrompt
    unfit: Unfit

    @property
    def row(self) -> Row:
        """The row whose turns it plays."""
        return self.first.row

    @property
    def params(self) -> Mapping[str, Any]:
        """The parameters of the first request: those that all have."""
        return self.first.params

    @property
    def identity(self) -> int:
        """A hash of the first request and of all further turns."""
        return identity_of(self.first.identity, self.row.turns)

    @property
    def request_count(self) -> int:
        """One for each turn."""
        return 1 + len(self.row.turns)

    @property
    def bound(self) -> MaxUsage:
        """The sum over all requests, each with replies of the maximum length before its own."""
        params, messages = self.params, self.first.request.messages
        bounds = [self.first.bound]
        for number, turn in enumerate(self.row.turns, 1):
            messages = [*messages, turn]
            bounds.append(self.longer(self._compose(messages, params, number), params, number))
        costs = [bound.cost_usd for bound in bounds]
        return MaxUsage(
            _sum([bound.prompt_tokens for bound in bounds]),
            _sum([bound.completion_tokens for bound in bounds]),
            None if None in costs else sum((usd or _NO_USD for usd in costs), _NO_USD),
        )

    @property
    def preview(self) -> Sequence[Request]:
        """The first request; the others have replies in them."""
        return (self.first.request,)

    def next(self, attempts: Sequence[Attempt]) -> Request | Outcome:
        if not attempts:
            return self.first.request
        last, before = attempts[-1], attempts[:-1]
        if last.verdict.action is not Action.ACCEPT:
            return self._failed(last, before, _words(last.failure))
        if len(attempts) == self.request_count:
            return Outcome(self.row, Status.ANSWERED, last.request.messages, _marked_cut_off(last, before))
        if (problem := _no_text(last.reply)) is not None:
            return self._failed(last, before, problem)
        params = self.params
        messages = [*last.request.messages, _message(last.reply), self.row.turns[len(before)]]
        request = self._compose(messages, params, len(attempts))
        if (failure := self.unfit(request, params)) is not None:
            verdict = Verdict(Action.FAIL_ROW, kind=failure.kind)
            not_sent = Attempt(request, verdict, last.finished_at, last.finished_at, 0.0, failure=failure)
            return self._failed(not_sent, attempts, _words(failure))
        return request

    def _failed(self, last: Attempt, before: Sequence[Attempt], why: str) -> Outcome:
        """The row failed at `last`, after the accepted attempts `before`; `why` says it in words."""
        text = f"turn {len(before) + 1} of {self.request_count}: {why}"
        failure = Failure(ErrorKind.TURN_FAILED, text)
        return Outcome(self.row, Status.FAILED, last.request.messages, last, failure, resumable=tuple(before))

    def _compose(self, messages: list[Message], params: Mapping[str, Any], step: int) -> Request:
        first = self.first.request
        return self.compose(first.key, first.model, messages, params)._replace(step=step)


def identity_of(fingerprint: int, turns: Sequence[Message]) -> int:
    """The identity of a script: the `fingerprint` of its first request, with further `turns` where there are any."""
    if not turns:
        return fingerprint
    return stable_hash64(b"%016x" % fingerprint + lossless_json.canonical(list(turns)))


def _sum(tokens: Sequence[int | None]) -> int | None:
    return None if None in tokens else sum(count or 0 for count in tokens)


def _words(failure: Failure | None) -> str:
    """The kind of `failure`, and its text."""
    return ErrorKind.OTHER.value if failure is None else ": ".join(filter(None, (failure.kind.value, failure.text)))


def _message(reply: Reply | None) -> Message:
    """`reply` as the assistant's message in the next request."""
    assert reply is not None, "a conversation goes on after a reply with text alone"
    # A refusal as text: not every endpoint takes a message with `refusal` and no content.
    return {"role": "assistant", "content": reply.text or reply.refusal}


def _no_text(reply: Reply | None) -> str | None:
    """Why the conversation can't go on after `reply`; None where it can."""
    if reply is None or not (reply.text or reply.refusal or reply.tool_calls or reply.parts):
        return "the reply has no text, so that the next turn can't be sent"
    if reply.tool_calls:
        return "the reply has tool calls, which need their results before the next turn can be sent"
    if reply.parts:
        return "the reply has parts that are not text, which can't be sent back with the next turn"
    return None


def _marked_cut_off(last: Attempt, before: Sequence[Attempt]) -> Attempt:
    """`last`, its reply marked as cut off where one `before` it was: the conversation then has an answer that was."""
    if last.reply is None or not any(attempt.reply and attempt.reply.finish_reason == _CUT_OFF for attempt in before):
        return last
    return last._replace(reply=last.reply._replace(finish_reason=_CUT_OFF))
