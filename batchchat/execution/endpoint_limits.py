"""The policies on an endpoint's behalf, and what they did since the last report, as events."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence

from batchchat.core.attempt import Attempt
from batchchat.core.events import CeilingLowered, CeilingRaised, EndpointDown, EndpointHeld, EndpointUp, Event
from batchchat.policy.circuit_breaker import CircuitBreaker
from batchchat.policy.concurrency import Concurrency
from batchchat.policy.decision import Halt, Policy
from batchchat.policy.outage_news import WentDown
from batchchat.policy.rate_limit_headers import RateLimitHeaders
from batchchat.text import numbers

__all__ = ["EndpointLimits", "describe_outage"]

_REPORTED_HOLD_S = 3.0
_MAX_WORDS = 160


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
        self._held_until = float("-inf")  # as far as it was reported

    @property
    def ceiling(self) -> int:
        """How many requests may be in flight."""
        return self.concurrency.ceiling

    @property
    def down_since(self) -> float | None:
        """When the present outage began, in seconds since the epoch; None where there is none."""
        return self.breaker.down_since

    def probe_in_s(self, now: float) -> float:
        """Seconds until the next probe of an outage; 0 while it is in flight, and without an outage."""
        return self.breaker.probe_in_s(now)

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

    def halts(self, now: float) -> Iterable[tuple[int, Halt]]:
        """The reason to stop the run, though nothing is sent that would show it, behind the number of the endpoint."""
        halt = self.breaker.halt(now)
        return () if halt is None else ((0, halt),)

    def down_why(self) -> str | None:
        """What the endpoint answered last, where it is down."""
        failure = self.breaker.last_failure
        return None if failure is None else describe_outage(failure)

    def events(self, now: float, left: int | None) -> Iterator[Event]:
        """What they did since the last call; `left` rows are still to be finished (None: not known)."""
        for change in self.breaker.news():
            if isinstance(change, WentDown):
                yield EndpointDown(
                    change.since,
                    describe_outage(change.last),
                    change.probe_in_s,
                    left,
                    change.stops_at,
                    change.is_first_contact,
                )
            else:
                yield EndpointUp(change.since, change.until, change.lasted_s, change.probes)
        yield from self._holds(now)
        moved = self.concurrency.news(now)
        if moved is None:
            return
        if moved.after < moved.before:
            yield CeilingLowered(moved.before, moved.after, moved.refusals, moved.span_s, moved.cut_offs)
        else:
            yield CeilingRaised(moved.before, moved.after)

    def _holds(self, now: float) -> Iterator[Event]:
        """A hold that is long enough to be worth a line, and is not told as an outage."""
        until = now + self.held_s(now)
        if until - now < _REPORTED_HOLD_S or until < self._held_until + 1 or self.breaker.down_since is not None:
            return
        self._held_until = until
        refusal = self.concurrency.hold.refusal
        is_asked = refusal is not None and self.concurrency.held_s(now) >= until - now
        why = describe_outage(refusal) if refusal is not None and is_asked else "by its rate-limit headers"
        yield EndpointHeld(time.time() + until - now, why)


def describe_outage(attempt: Attempt) -> str:
    """What an attempt shows of an endpoint that is down: its status, and its words, shortened."""
    failure = attempt.failure
    assert failure is not None
    if attempt.http_status is None:
        return failure.text
    status = f"HTTP {attempt.http_status}"
    return failure.text if failure.text.startswith(status) else f"{status}: {numbers.shorten(failure.text, _MAX_WORDS)}"
