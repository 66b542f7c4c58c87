"""What a run sends to and by which rules of theirs: the one endpoint of a job, or its several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from batchchat.core.attempt import Attempt, Outcome, Request
from batchchat.core.conversation import Key
from batchchat.core.events import Event, OfEndpoint, Subscriber
from batchchat.dispatch.lane import EndpointLane, Send
from batchchat.dispatch.work import Observer, RetryPolicies, Sending
from batchchat.endpoint.wire import with_model
from batchchat.execution.anomaly_detector import AnomalyDetector
from batchchat.execution.endpoint_limits import EndpointLimits
from batchchat.execution.messages import stop_reason, stop_words
from batchchat.job import JobSpec, LimitsSpec
from batchchat.policy.circuit_breaker import CircuitBreaker
from batchchat.policy.decision import Halt, Policy
from batchchat.policy.failure_streak import FailureStreak
from batchchat.policy.format_ladder import FormatLadder
from batchchat.policy.refusal_judge import RefusalJudge
from batchchat.policy.refused_rows import RefusedRows
from batchchat.policy.retry import RowStop, RowWait
from batchchat.policy.stragglers import Overdue
from batchchat.policy.token_bucket import RequestRate, TokenRate
from batchchat.store.ledger import Ledger

if TYPE_CHECKING:
    from batchchat.execution.endpoint_group import Limits, Member

__all__ = ["EndpointsOfRun", "Membership", "one_endpoint", "rate_policies", "several_endpoints"]


_LEFT = "it is in the file of `endpoints` no more"


class EndpointsOfRun(NamedTuple):
    """How rows are sent, but for what belongs to the run; the limits of the endpoints, and who observes them."""

    sending: Sending
    limits: Limits
    observer: Observer
    membership: Membership | None = None


class Membership:
    """Which endpoints a run has while it goes on, where that may change."""

    def __init__(
        self,
        members: list[Member],
        lanes: list[EndpointLane],
        add: Callable[[JobSpec, Send], Member],
    ) -> None:
        self._members = members
        self._lanes = lanes
        self._add = add

    def join(self, view: JobSpec, send: Send) -> None:
        """The endpoint of `view` is sent to from now on, by `send`."""
        member = self._add(view, send)
        self._members.append(member)
        self._lanes.append(member.lane)

    def leave(self, name: str) -> EndpointLane:
        """The endpoint `name` is sent nothing more; what is in flight there ends as usual. Returns its lane."""
        number = next(number for number, lane in enumerate(self._lanes) if lane.name == name)
        del self._members[number]
        lane = self._lanes.pop(number)
        lane.halt = lane.halt or Halt(_LEFT, endpoint=name)
        return lane


def rate_policies(limits: LimitsSpec) -> list[Policy]:
    """The policies that keep `limits`."""
    policies = list[Policy]()
    if limits.requests_per_minute is not None:
        policies.append(RequestRate(limits.requests_per_minute))
    if limits.tokens_per_minute is not None:
        policies.append(TokenRate(limits.tokens_per_minute))
    return policies


def one_endpoint(
    job: JobSpec, send: Send, ledger: Ledger, formats: FormatLadder, tell: Subscriber, *, rates: Sequence[Policy]
) -> EndpointsOfRun:
    """The endpoint of `job`, to which `send` sends. `rates` are the job's limits a minute."""
    random = Random()  # noqa: S311 (jitter)
    answered_models = frozenset(ledger.answered_models.get(job.endpoint.address, ()))
    breaker = _breaker(job, random, answered_models)
    limits = EndpointLimits(job.concurrency, breaker, rates, adaptive=job.adaptive)
    refused_rows = RefusedRows(job.retry.max_attempts)
    sending = Sending(
        send=send,
        policies=limits.policies,
        retry=_retry_for(job, random, breaker.was_in_outage, refused_rows.is_cause, refused_rows.cause),
        refused_rows=refused_rows,
        workers=job.concurrency,
        stop_after_failures=job.retry.stop_after_failures,
        answered_models=answered_models,
        model=_own_model(job),
    )
    return EndpointsOfRun(sending, limits, AnomalyDetector(tell, job.params, formats, streams=job.endpoint.stream))


def several_endpoints(
    job: JobSpec, sends: Sequence[Send], ledger: Ledger, formats: FormatLadder, tell: Subscriber
) -> EndpointsOfRun:
    """The endpoints of `job`, to each of which one of `sends` sends."""
    from batchchat.execution.endpoint_group import EndpointGroup

    random = Random()  # noqa: S311 (jitter)
    members = [
        _member(view, send, random, frozenset(ledger.answered_models.get(view.endpoint.address, ())))
        for view, send in zip(job.per_endpoint, sends, strict=True)
    ]
    lanes = [member.lane for member in members]
    breakers: dict[str | None, CircuitBreaker] = {member.lane.name: member.limits.breaker for member in members}
    observers = _Observers(job, formats, tell)

    def add(view: JobSpec, send: Send) -> Member:
        member = _member(view, send, random, frozenset(ledger.answered_models.get(view.endpoint.address, ())))
        breakers[member.lane.name] = member.limits.breaker
        observers.add(view)
        return member

    def is_cause(key: Key) -> bool:
        return any(lane.refused_rows.is_cause(key) for lane in lanes)

    def was_in_outage(attempt: Attempt) -> bool:
        return breakers[attempt.endpoint].was_in_outage(attempt)

    sending = Sending(
        send=None,
        policies=(),
        # A row that is the cause of its refusals at one endpoint goes to another (`dispatch.dispatcher`).
        retry=_retry_for(job, random, was_in_outage, is_cause, lambda _: None),
        workers=job.concurrency,
        stop_after_failures=job.retry.stop_after_failures,
        answered_models=frozenset(
            model for view in job.per_endpoint for model in ledger.answered_models.get(view.endpoint.address, ())
        ),
        model=_own_model(job),
        lanes=lanes,
    )
    group = EndpointGroup(members, job.concurrency)
    return EndpointsOfRun(sending, group, observers, Membership(members, lanes, add))


def _member(view: JobSpec, send: Send, random: Random, answered_models: frozenset[str]) -> Member:
    """One of several endpoints, with what it has of its own."""
    from batchchat.execution.endpoint_group import Member

    breaker = _breaker(view, random, answered_models)
    limits = EndpointLimits(view.concurrency, breaker, rate_policies(view.limits), adaptive=view.adaptive)
    name, model = view.endpoint.label, _own_model(view)
    lane = EndpointLane(
        limits.policies,
        name=name,
        weight=view.weight,
        send=_sent_by(name, send, view.model, view.served_model),
        judge=RefusalJudge(model, answered_models),
        refused_rows=RefusedRows(view.retry.max_attempts),
        streak=FailureStreak(view.retry.stop_after_failures, answered_before=bool(answered_models), model=model),
    )
    return Member(lane, limits, lambda halt: (stop_words(halt, view), stop_reason(halt)))


class _Observers:
    """Gives the observer of each endpoint what comes back from it."""

    def __init__(self, job: JobSpec, formats: FormatLadder, tell: Subscriber) -> None:
        self._of_run = AnomalyDetector(tell, job.params, formats)
        self._formats = formats
        self._tell = tell
        self._observers = dict[str, AnomalyDetector]()
        for view in job.per_endpoint:
            self.add(view)

    def add(self, view: JobSpec) -> None:
        """The run has the endpoint of `view`, too."""
        self._observers[view.endpoint.label] = AnomalyDetector(
            _telling(self._tell, view.endpoint.label),
            view.params,
            self._formats,
            streams=view.endpoint.stream,
            served_as={} if view.served_model is None else {view.model: view.served_model},
        )

    def failed(self, attempt: Attempt) -> None:
        """An attempt was not accepted."""
        if attempt.endpoint is not None:
            self._observers[attempt.endpoint].failed(attempt)

    def answered(self, outcome: Outcome) -> None:
        """A row was answered."""
        endpoint = outcome.attempt.endpoint
        if endpoint is not None:  # else by an earlier run, and it had but to be ended
            self._observers[endpoint].answered(outcome)

    def overdue(self, overdue: Overdue) -> None:
        """An attempt at the end of the run hangs, and is cancelled."""
        self._of_run.overdue(overdue)


def _telling(tell: Subscriber, name: str) -> Subscriber:
    def tell_of(event: Event) -> None:
        tell(OfEndpoint(name, event))

    return tell_of


def _sent_by(name: str, send: Send, model: str, served_as: str | None) -> Send:
    """`send`, whose attempts have the endpoint's `name`; it is sent what it takes, and `model` as it calls that."""

    async def send_to(request: Request) -> Attempt:
        sent = asked = request.at(name)
        if served_as is not None and asked.model == model:
            sent = asked._replace(body=with_model(asked.body, model, served_as))
        return (await send(sent))._replace(request=asked, endpoint=name)

    return send_to


def _breaker(job: JobSpec, random: Random, answered_models: frozenset[str]) -> CircuitBreaker:
    # A resume may come before the network does: where it has answered before, the address is not wrong.
    return CircuitBreaker(job.retry.max_outage, random, reached=bool(answered_models))


def _own_model(job: JobSpec) -> str | None:
    return job.model if len(job.models) == 1 else None


def _retry_for(
    job: JobSpec,
    random: Random,
    was_in_outage: Callable[[Attempt], bool],
    is_cause: Callable[[Key], bool],
    cause: Callable[[Key], str | None],
) -> RetryPolicies:
    """Fresh stop and wait policies for a row that failed; what belongs to an outage is not the row's."""
    retry, attempt_s = job.retry, job.timeout.total
    return lambda: (
        RowStop(
            retry.max_attempts,
            retry.max_elapsed,
            attempt_s,
            was_in_outage,
            retry.max_possibly_billed,
            cause_of_refusals=cause,
        ),
        RowWait(retry.max_wait, random, is_cause),
    )
