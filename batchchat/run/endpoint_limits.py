"""The policies on an endpoint's behalf, and what they did since the last report, as events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from batchchat.core.attempt import Attempt, Scope
from batchchat.core.events import CeilingLowered, CeilingRaised, EndpointDown, EndpointUp, Event
from batchchat.policy.circuit_breaker import CircuitBreaker, WentDown
from batchchat.policy.concurrency import Concurrency
from batchchat.policy.decision import Policy
from batchchat.policy.rate_limit_headers import RateLimitHeaders

__all__ = ["EndpointLimits", "describe_outage"]


class EndpointLimits:
    """The policies of one endpoint: how many in flight, at most `max_in_flight`, how many a minute, whether it is up.

    `rates` are the job's own limits a minute. Where not `adaptive` the ceiling stays at `max_in_flight`.
    """

    def __init__(
        self, max_in_flight: int, breaker: CircuitBreaker, rates: Sequence[Policy] = (), *, adaptive: bool = True
    ) -> None:
        self._max_in_flight = max_in_flight
        self.concurrency = Concurrency(max_in_flight, adaptive=adaptive)
        self.breaker = breaker
        self._headers = RateLimitHeaders()
        self._rates = tuple(rates)

    @property
    def max_ceiling(self) -> int:
        """The job's own ceiling; during the slow start, while nothing was refused, the ceiling reached so far."""
        return self.concurrency.ceiling if self.concurrency.starting else self._max_in_flight

    @property
    def policies(self) -> list[Policy]:
        """All of them, those first that most often delay."""
        return [self.concurrency, *self._rates, self._headers, self.breaker]

    def held_s(self, now: float) -> float:
        """Seconds for which the endpoint asked that nothing is sent."""
        return max(self.concurrency.held_s(now), self._headers.held_s(now))

    def events(self, now: float, left: int | None) -> Iterator[Event]:
        """What they did since the last call; `left` rows are still to be finished (None: not known)."""
        for change in self.breaker.news():
            if isinstance(change, WentDown):
                yield EndpointDown(change.since, describe_outage(change.last), change.probe_in_s, left)
            else:
                yield EndpointUp(change.since, change.until, change.lasted_s, change.probes)
        moved = self.concurrency.news(now)
        if moved is None:
            return
        if moved.after < moved.before:
            yield CeilingLowered(moved.before, moved.after, moved.refusals, moved.span_s, moved.cut_offs)
        else:
            yield CeilingRaised(moved.before, moved.after)


def describe_outage(attempt: Attempt) -> str:
    """What an attempt shows of an endpoint that is down, in our words: the endpoint's own may repeat a prompt."""
    failure = attempt.failure
    assert failure is not None
    if attempt.http_status is not None:
        return f"HTTP {attempt.http_status}"
    return failure.text if attempt.verdict.scope is Scope.ENDPOINT else failure.kind.value.replace("_", " ")
