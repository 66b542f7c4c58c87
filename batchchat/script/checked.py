"""The script of a row whose reply is checked: another script, and the same question again where its reply does not fit.

The reply is the one that ends the row: of several turns the last. The inner script knows nothing of it: it is given its
own requests with their replies. Asked again, the model is shown its last reply and what is wrong with it, and nothing
of those before. The conversation of the output is that of the inner script with the last reply.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from batchchat.core.attempt import (
    Attempt,
    Failure,
    MaxUsage,
    Outcome,
    Reply,
    Request,
    Script,
)
from batchchat.core.conversation import ErrorKind, Message, Row, Status
from batchchat.core.response_format import ResponseFormat
from batchchat.script.expectation import MAX_WORDS_BYTES, Expectation
from batchchat.script.response_format import asking_for
from batchchat.script.single import Compose
from batchchat.tokens.reply_limit import max_reply_tokens

__all__ = ["CheckedScript", "Checking"]

_NONE_REFUSED: Mapping[str | None, ResponseFormat] = {}


@dataclass(frozen=True, slots=True)
class Checking:
    """How the replies of a job are checked, the same for all its rows.

    `response_format(model, endpoint)` is what a request begins with, without an endpoint's name what all take;
    `falls_back` says whether another is tried where that is refused, and `has_endpoints` whether there are several.
    `schema` is None where no JSON is expected.
    """

    expectation: Expectation
    schema: Mapping[str, Any] | None
    re_ask: int
    compose: Compose
    response_format: Callable[[str, str | None], ResponseFormat]
    falls_back: bool
    has_endpoints: bool = False

    def asking(
        self,
        plain: Request,
        params: Mapping[str, Any],
        step: int,
        response_format: ResponseFormat,
        again: Sequence[Message] = (),
    ) -> Request:
        """The request for the inner script's `plain` one with `params`, by `response_format`; `again` goes last."""
        if self.schema is None and not again:
            return plain._replace(step=step)
        messages, is_ours = plain.messages, self.falls_back and params.get("response_format") is None
        if self.schema is not None:
            messages, params = asking_for(response_format, self.schema, messages, params)
        request = self.compose(plain.key, plain.model, [*messages, *again], params)
        sent_format = None if not is_ours or self.schema is None else response_format
        return request._replace(
            step=step, messages=plain.messages, fingerprint=plain.fingerprint, response_format=sent_format
        )


class _Again(NamedTuple):
    """A reply that is asked for again, and what the model is told of it."""

    reply: Reply
    words: str


class _Position(NamedTuple):
    """Where a row is: the inner script's request, and how many requests were accepted before its next one.

    `refused` are the formats that endpoints refused last, `again` is the last reply where it is asked for again.
    """

    plain: Request
    step: int = 0
    refused: Mapping[str | None, ResponseFormat] = _NONE_REFUSED
    re_asks: int = 0
    again: _Again | None = None


@dataclass(frozen=True, slots=True)
class CheckedScript:
    """Plays `inner` until a reply fits, or `checking.re_ask` further requests gave none that does."""

    inner: Script
    checking: Checking

    @property
    def row(self) -> Row:
        """The row of the inner script."""
        return self.inner.row

    @property
    def params(self) -> Mapping[str, Any]:
        """The parameters of the inner script, without what asks for JSON."""
        return self.inner.params

    @property
    def identity(self) -> int:
        """A hash of what the inner script sends and of what is expected; not of the `response_format` it takes."""
        return self.inner.identity ^ self.checking.expectation.salt

    @property
    def request_count(self) -> int:
        """That of the inner script."""
        return self.inner.request_count

    @property
    def bound(self) -> MaxUsage:
        """What the inner script may use, and each time it may be asked again."""
        checking, last = self.checking, self.inner.preview[-1]
        first = self._first(last, 0).max_usage
        bound = _sum([self.inner.bound, first], last.max_usage)
        if not checking.re_ask or first.completion_tokens is None:
            return MaxUsage() if checking.re_ask else bound
        # The longest reply has no more tokens in the next prompt than it was allowed to have.
        reply, words = Reply("x" * first.completion_tokens), "x" * MAX_WORDS_BYTES
        again = _sum([bound, self._again(last, 1, self._format(last), reply, words).max_usage], first)
        return _sum([bound, *[again] * checking.re_ask])

    @property
    def preview(self) -> Sequence[Request]:
        """The requests of the inner script as they are sent."""
        first, *others = self.inner.preview
        return [self._first(first, 0) if self.request_count == 1 else first, *others]

    def next(self, attempts: Sequence[Attempt]) -> Request | Outcome:
        """The next request or the end; pure but for the format that requests begin with."""
        settled: list[Attempt] = []
        first = self.inner.next(settled)
        if isinstance(first, Outcome):
            return first
        at = _Position(first)
        for attempt in attempts:
            if (refused := attempt.refused_format) is not None:
                at = at._replace(refused={**at.refused, attempt.endpoint: refused})
                continue
            own = attempt._replace(request=at.plain)
            following = self.inner.next([*settled, own])
            if isinstance(following, Request):
                settled.append(own)
                at = _Position(following, at.step + 1, at.refused)
                continue
            end = self._end(following, attempt, at)
            if isinstance(end, Outcome):
                return end
            at = at._replace(step=at.step + 1, re_asks=at.re_asks + 1, again=end)
        return self._request(at, settled)

    def _end(self, ended: Outcome, attempt: Attempt, at: _Position) -> Outcome | _Again:
        """What becomes of a row that has `ended` for the inner script, with `attempt`."""
        # The inner script may have marked the reply.
        ended = ended._replace(attempt=ended.attempt._replace(request=attempt.request), re_asks=at.re_asks)
        if attempt.reply is None or ended.status is not Status.ANSWERED:
            return ended
        checked = self.checking.expectation.check(attempt.reply, max_reply_tokens(self.params))
        if checked.problem is None:
            return ended._replace(parsed=checked.parsed)
        if checked.words is not None and at.re_asks < self.checking.re_ask:
            return _Again(attempt.reply, checked.words)
        return ended._replace(status=Status.FAILED, failure=Failure(ErrorKind.SCHEMA, checked.problem))

    def _request(self, at: _Position, settled: Sequence[Attempt]) -> Request:
        if at.again is None and len(settled) < self.request_count - 1:  # the reply to this one is not checked
            return at.plain._replace(step=at.step)
        request = self._asking(at, self._format_at(at, None))
        if not self.checking.has_endpoints or request.response_format in (None, ResponseFormat.JSON_SCHEMA):
            return request
        return self._for_each(request, at)

    def _for_each(self, request: Request, at: _Position) -> Request:
        """`request`, as which all endpoints take it, for each in the strictest form that it takes; bounded for all."""
        loosest = request.response_format
        assert loosest is not None
        forms = {form: self._asking(at, form) for form in ResponseFormat if not loosest.is_stricter_than(form)}
        bound = _highest([asking.max_usage for asking in forms.values()])
        return request._replace(
            max_usage=bound, form_for=lambda name: forms.get(self._format_at(at, name), forms[loosest])
        )

    def _asking(self, at: _Position, response_format: ResponseFormat) -> Request:
        if at.again is not None:
            return self._again(at.plain, at.step, response_format, *at.again)
        return self.checking.asking(at.plain, self.params, at.step, response_format)

    def _first(self, plain: Request, step: int) -> Request:
        return self.checking.asking(plain, self.params, step, self._format(plain))

    def _again(self, plain: Request, step: int, response_format: ResponseFormat, reply: Reply, words: str) -> Request:
        again: list[Message] = [{"role": "assistant", "content": reply.text}, {"role": "user", "content": words}]
        return self.checking.asking(plain, self.params, step, response_format, again)

    def _format(self, plain: Request, endpoint: str | None = None) -> ResponseFormat:
        return self.checking.response_format(plain.model, endpoint)

    def _format_at(self, at: _Position, endpoint: str | None) -> ResponseFormat:
        """What the row is asked by at `endpoint`, without a name at all of them: nothing that it was refused there."""
        response_format = self._format(at.plain, endpoint)
        for refusing, refused in at.refused.items():
            if endpoint in (None, refusing) and not refused.is_stricter_than(response_format):
                response_format = refused.fallback
        return response_format


def _highest(bounds: Sequence[MaxUsage]) -> MaxUsage:
    """The highest of each of `bounds`; None in what is None in any of them."""
    return MaxUsage(*(None if None in values else max(values) for values in zip(*bounds, strict=True)))


def _sum(parts: Sequence[MaxUsage], without: MaxUsage | None = None) -> MaxUsage:
    """The sum of `parts` less `without`; None in what is None in any of them."""

    def total(name: str) -> Any:
        values = [getattr(part, name) for part in parts]
        less = 0 if without is None else getattr(without, name)
        return None if less is None or None in values else sum(values) - less

    return MaxUsage(total("prompt_tokens"), total("completion_tokens"), total("cost_usd"))
