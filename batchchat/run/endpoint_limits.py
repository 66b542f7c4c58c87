"""What restrains the sending of one drive: the policies on the endpoint's behalf, and what they tell as events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from batchchat.core.attempt import Attempt, Scope
from batchchat.core.events import CeilingLowered, CeilingRaised, EndpointDown, EndpointUp, Event
from batchchat.policy.circuit_breaker import CircuitBreaker, WentDown
from batchchat.policy.concurrency import Concurrency
from batchchat.policy.decision import Policy
from batchchat.policy.rate_limit_headers import RateLimitHeaders

__all__ = ["EndpointLimits", "seen"]


class EndpointLimits:
    """The policies of one endpoint. `concurrency` moves under `most`, the job's own ceiling."""

    def __init__(
        self, most: int, outage: CircuitBreaker, rates: Sequence[Policy] = (), *, adaptive: bool = True
    ) -> None:
        self._most = most
        self.concurrency = Concurrency(most, adaptive=adaptive)
        self.outage = outage
        self._headroom = RateLimitHeaders()
        self._rates = tuple(rates)

    @property
    def most(self) -> int:
        """The job's own ceiling; while it is still being climbed to, and nothing refused, as far as that is."""
        return self.concurrency.ceiling if self.concurrency.starting else self._most

    @property
    def policies(self) -> list[Policy]:
        """All of them, those first that most often say no."""
        return [self.concurrency, *self._rates, self._headroom, self.outage]

    def held_s(self, now: float) -> float:
        """Seconds for which the endpoint asked that nothing is sent."""
        return max(self.concurrency.held_s(now), self._headroom.held_s(now))

    def news(self, now: float, left: int | None) -> Iterator[Event]:
        """What they did since this was asked last; `left` rows are still to be finished."""
        for news in self.outage.news():
            if isinstance(news, WentDown):
                yield EndpointDown(news.since, seen(news.last), news.probe_in_s, left)
            else:
                yield EndpointUp(news.since, news.until, news.lasted_s, news.probes)
        moved = self.concurrency.news(now)
        if moved is None:
            return
        if moved.after < moved.before:
            yield CeilingLowered(moved.before, moved.after, moved.refusals, moved.span_s)
        else:
            yield CeilingRaised(moved.before, moved.after)


def seen(attempt: Attempt) -> str:
    """What was seen of an endpoint that is down, in our words alone: what it says may repeat a prompt."""
    failure = attempt.failure
    assert failure is not None
    if attempt.http_status is not None:
        return f"HTTP {attempt.http_status}"
    return failure.text if attempt.verdict.scope is Scope.ENDPOINT else failure.kind.value.replace("_", " ")
