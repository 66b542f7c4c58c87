"""The values of sending: request, response, verdict, cost.

A **Request** is one body for one endpoint. An **Attempt** is one try at it, paid or not. A **Verdict** says what
to do about it and who pays. An **Outcome** is how a row ended; **Spend** is what all its attempts used up.

What is made for every row is a named tuple: frozen dataclasses take three times as long to build (0.9 us for 8 fields).
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from batchchat.core.conversation import ErrorKind, Key, Message, Row, Status
from batchchat.core.response_format import RESPONSE_FORMAT, ResponseFormat
from batchchat.core.usage import Cost, MaxUsage, Usage

__all__ = [
    "NO_SPEND",
    "Action",
    "Attempt",
    "Billed",
    "Cost",
    "Failure",
    "MaxUsage",
    "Outcome",
    "Parsed",
    "Quota",
    "Reply",
    "Request",
    "Scope",
    "Script",
    "Spend",
    "StreamCancelledError",
    "Usage",
    "Verdict",
]

_NO_USD = Decimal(0)
_NO_RETRIES: Mapping[str, int] = {}


class Request(NamedTuple):
    """One body to send. `step` counts the requests of a row from 0; `fingerprint` hashes messages, model and params.

    `messages` are those of the body, for the output row, without what was added to ask for JSON. `response_format` is
    how the body asks for it, None where that is not ours to choose. `form_for` gives what an endpoint takes in place of
    this request, by its name; None where the run has one, or all take this.
    """

    key: Key
    step: int
    model: str
    messages: list[Message]
    body: bytes
    fingerprint: int
    max_usage: MaxUsage = MaxUsage()
    response_format: ResponseFormat | None = None
    form_for: Callable[[str], Request] | None = None

    def at(self, endpoint: str) -> Request:
        """The request as `endpoint` takes it, with the bound of this one."""
        own = self if self.form_for is None else self.form_for(endpoint)
        return self if own is self else own._replace(max_usage=self.max_usage, form_for=self.form_for)


class Action(StrEnum):
    """What to do after an attempt."""

    ACCEPT = "accept"
    RETRY = "retry"
    FAIL_ROW = "fail row"
    STOP_RUN = "stop run"
    STOP_UNLESS_ANSWERED = "stop run; once this endpoint and model have answered: fail row"
    RETRY_IF_ANSWERED = "stop run; once this endpoint and model have answered: retry"


class Scope(StrEnum):
    """Whose fault it was: what is the endpoint's uses up neither a row's attempts nor its time."""

    ROW = "row"
    ENDPOINT = "endpoint"


class Billed(StrEnum):
    """Whether the provider may have charged for an attempt."""

    NO = "no"
    MAYBE = "maybe"
    YES = "yes"


# A member of an enum takes 0.1 µs to look up in Python 3.11; these are looked up for each row.
_MAYBE, _YES = Billed.MAYBE, Billed.YES


class Verdict(NamedTuple):
    """What an attempt means. `kind` is None for an accepted one; `wait_s` is what the endpoint asked us to wait."""

    action: Action
    scope: Scope = Scope.ROW
    billed: Billed = Billed.NO
    kind: ErrorKind | None = None
    wait_s: float | None = None
    instant: bool = False
    """A stale pooled connection: the first such failure of a row is tried again at once."""
    endpoint_is_up: bool = False
    """A complete response of the endpoint itself that can't be used: a failure, but no sign of an outage."""
    refused_field: str | None = None
    """A field of the request that the endpoint does not take; of an accepted attempt, one that was left out so."""
    elsewhere: bool = False
    """The endpoint can't serve the request, which is made again at another one."""
    unjudged: bool = False
    """A refusal that looks permanent: what else comes back shows whether the endpoint refuses all or this row alone."""


class Reply(NamedTuple):
    """What the model said. `tool_calls` is the list as it came; `model` is the one that served.

    `parts` is what is neither text nor a tool call: images, audio and the like, as JSON. `logprobs` are as they came.
    """

    text: str | None = None
    finish_reason: str | None = None
    tool_calls: list[Any] | None = None
    refusal: str | None = None
    reasoning: str | None = None
    model: str | None = None
    service_tier: str | None = None
    response_id: str | None = None
    parts: list[Any] | None = None
    logprobs: dict[str, Any] | None = None


class Quota(NamedTuple):
    """What the endpoint says is left of its limits, and in how many seconds they are whole again; None is not said."""

    requests: int | None = None
    requests_reset_s: float | None = None
    tokens: int | None = None
    tokens_reset_s: float | None = None


class Failure(NamedTuple):
    """What went wrong, in the endpoint's words where it had any; secrets are blanked, the text is shortened."""

    kind: ErrorKind
    text: str


class Attempt(NamedTuple):
    """One attempt. Times: `started_at` and `finished_at` in seconds since the epoch, `latency_s` monotonic."""

    request: Request
    verdict: Verdict
    started_at: float
    finished_at: float
    latency_s: float
    http_status: int | None = None
    reply: Reply | None = None
    failure: Failure | None = None
    usage: Usage | None = None
    cost: Cost | None = None
    raw: str | None = None
    """The response's body, where the job keeps it or no column can hold it; bytes that are no text are lone
    surrogates."""
    quota: Quota | None = None
    streamed: bool = False
    """The response was a stream."""
    first_token_s: float | None = None
    """Seconds until the first piece of the reply, where it was asked for as a stream and came as one."""
    endpoint: str | None = None
    """The name of the endpoint; None where the run has but one."""

    @property
    def may_be_billed(self) -> bool:
        """Whether the provider has or may have charged for it."""
        return self.verdict.billed is not Billed.NO or self.cost is not None

    @property
    def refused_format(self) -> ResponseFormat | None:
        """The `response_format` that the endpoint refused, where the request can be made again by another."""
        if self.verdict.refused_field != RESPONSE_FORMAT or self.request.response_format is ResponseFormat.NONE:
            return None
        return self.request.response_format


class StreamCancelledError(CancelledError):
    """An attempt was cancelled while its reply came as a stream; `raw` is the response that this made up to there."""

    def __init__(self, raw: str) -> None:
        super().__init__()
        self.raw = raw


class Spend(NamedTuple):
    """What the attempts of one row used up so far.

    `retries` counts what each further attempt was made for, by kind. `cost_source` and `usage` are of the last attempt
    that had any, `usage` of the last at the row's present request; `usage_before` is the sum over its earlier requests,
    all accepted, None where there are none. Two upper bounds at the job's price are not in `cost_usd`:
    `possibly_billed_usd` of the attempts that may have been billed, except the `unbounded` ones; `unreported_usd` of
    those that were billed without a known cost.
    """

    attempts: int = 0
    possibly_billed: int = 0
    cost_usd: Decimal | None = None
    retries: Mapping[str, int] = _NO_RETRIES
    cost_source: str | None = None
    usage: Usage | None = None
    possibly_billed_usd: Decimal = _NO_USD
    unreported_usd: Decimal = _NO_USD
    unbounded: int = 0
    usage_before: Usage | None = None

    @property
    def total_usage(self) -> Usage | None:
        """The usage of all requests of the row; None where nothing was reported."""
        before, usage = self.usage_before, self.usage
        if before is None or usage is None:
            return usage or before
        return before.plus(usage)

    def with_attempt(self, attempt: Attempt) -> Spend:
        """This and one more attempt."""
        cost, source = self.cost_usd, self.cost_source
        if attempt.cost is not None:
            cost = attempt.cost.usd if cost is None else cost + attempt.cost.usd
            source = attempt.cost.source
        maybe, maybe_usd, unbounded = self.possibly_billed, self.possibly_billed_usd, self.unbounded
        unreported_usd, most_usd = self.unreported_usd, attempt.request.max_usage.cost_usd
        billed = attempt.verdict.billed
        if billed is _MAYBE:
            maybe, maybe_usd, unbounded = maybe + 1, maybe_usd + (most_usd or _NO_USD), unbounded + (most_usd is None)
        elif attempt.cost is None and billed is _YES:
            unreported_usd += most_usd or _NO_USD
        usage, before, attempts = attempt.usage, self.usage_before, self.attempts + 1
        if usage is None:
            # Without the tokens of an answer the sum of several is unknown.
            is_unknown = before is not None and attempt.verdict.action is Action.ACCEPT
            usage = Usage() if is_unknown else self.usage
        return Spend(attempts, maybe, cost, self.retries, source, usage, maybe_usd, unreported_usd, unbounded, before)

    def with_next_request(self, usage: Usage | None) -> Spend:
        """This, and the row's present request was accepted with `usage`, so that its next one is sent."""
        before, usage = self.usage_before, usage or Usage()
        return self._replace(usage=None, usage_before=usage if before is None else before.plus(usage))

    def with_cancelled(self, request: Request) -> Spend:
        """This and an attempt that we cut off: it may have been billed."""
        return self._replace(
            attempts=self.attempts + 1,
            possibly_billed=self.possibly_billed + 1,
            possibly_billed_usd=self.possibly_billed_usd + (request.max_usage.cost_usd or _NO_USD),
            unbounded=self.unbounded + (request.max_usage.cost_usd is None),
        )

    def with_retry(self, kind: ErrorKind) -> Spend:
        """This, and a further attempt is about to be made because of `kind`."""
        retries = {**self.retries, kind.value: self.retries.get(kind.value, 0) + 1}
        return self._replace(retries=retries)

    def __add__(self, later: Spend) -> Spend:  # type: ignore[override]
        costs = [usd for usd in (self.cost_usd, later.cost_usd) if usd is not None]
        retries = dict(self.retries)
        for kind, count in later.retries.items():
            retries[kind] = retries.get(kind, 0) + count
        return Spend(
            self.attempts + later.attempts,
            self.possibly_billed + later.possibly_billed,
            sum(costs, Decimal(0)) if costs else None,
            retries,
            later.cost_source or self.cost_source,
            later.usage or self.usage,
            self.possibly_billed_usd + later.possibly_billed_usd,
            self.unreported_usd + later.unreported_usd,
            self.unbounded + later.unbounded,
            later.usage_before or self.usage_before,
        )


NO_SPEND = Spend()


class Parsed(NamedTuple):
    """A reply read as JSON: its value, and whether it had to be cut out of other text or repaired for that."""

    value: Any
    repaired: bool = False


class Outcome(NamedTuple):
    """How a row ended. `messages` is the whole conversation that was sent, without the reply.

    `failure` is why the row failed although `attempt`, its last, was accepted; or in place of that attempt's own.
    `parsed` is the reply read as JSON, `re_asks` how often it was asked for again. `resumable` are the accepted
    attempts of a failed row that need not be paid again when it is resent.
    """

    row: Row
    status: Status
    messages: list[Message]
    attempt: Attempt
    failure: Failure | None = None
    parsed: Parsed | None = None
    re_asks: int = 0
    resumable: Sequence[Attempt] = ()

    @property
    def reason(self) -> Failure | None:
        """Why the row failed; None for one that is answered."""
        return self.failure or self.attempt.failure


class Script(Protocol):
    """Decides which request a row sends next; pure. One request, several turns and repeated requests are scripts."""

    @property
    def row(self) -> Row:
        """The row whose requests it decides."""

    @property
    def params(self) -> Mapping[str, Any]:
        """The parameters of the requests it sends."""

    @property
    def identity(self) -> int:
        """A 64-bit hash of everything the row will send, which a resume compares; equal scripts have equal ones."""

    @property
    def request_count(self) -> int:
        """How many requests a row is answered by, if none has to be made again."""

    @property
    def bound(self) -> MaxUsage:
        """The most that all requests of the row may use together; None in what has no bound."""

    @property
    def preview(self) -> Sequence[Request]:
        """The row's requests as far as they are known before any answer; at least the first."""

    def next(self, attempts: Sequence[Attempt]) -> Request | Outcome:
        """The next request after the settled `attempts` (each accepted, or the failure that ends the row)."""
