"""The breaker: an endpoint that is down gets one request at growing intervals in place of hundreds, and fails no row.

What speaks for an outage: a connection that can't be had; a refusal while nothing else is in flight; a first failure of
a row (500, 502, a broken connection, a web page, a timeout that had all the time there was). Later failures of the same
row say nothing of the endpoint, so a row that always gives a 500 still comes to its end. Eight such signs open the
breaker, three while it has only just closed, where no request was answered that was sent after the first of them, and
no more than have failed are still in flight of those: where one in ten fails at once, the others are only slower.

Open, it lets one request go after 1 s, then after twice as long each time, up to a minute, jittered; what the endpoint
asks for in Retry-After is waited. The first answer closes it, and as many more may go as are answered. An answer to a
request from before the outage closes it too, except where new connections are refused: a server that shuts down ends
what it has begun.

What failed in an outage uses up no row (`was_in_outage`). After `max_outage_s`, or 5 s where it was never there, the
run stops.

The last rows of a run are too few to open it. Each of them is retried (`extends_patience`) while nothing is answered
that was sent after its first failure: a model server that restarts is back within ten minutes, and more than that a
last row which always fails is not to cost.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from random import Random
from typing import Any

from batchchat.core.attempt import Action, Attempt, MaxUsage, Scope
from batchchat.core.conversation import ErrorKind, Key
from batchchat.policy.concurrency import REFUSALS
from batchchat.policy.decision import ADMIT, Decision, Delay, Halt

__all__ = ["FAILURES_TO_OPEN", "NEVER_REACHED", "OUTAGE", "CameBack", "CircuitBreaker", "WentDown"]

NEVER_REACHED = "never reached"
OUTAGE = "outage"

FIRST_CONTACT_S = 5.0
"""A wrong host or port is told after this long, not after an hour. Many connections opened at once may see a few
refusals from a server that is well, so the first one is not enough."""

_EVIDENCE = {
    *REFUSALS,
    ErrorKind.QUOTA,
    ErrorKind.CONNECTION,
    ErrorKind.SERVER_ERROR,
    ErrorKind.GATEWAY_TIMEOUT,
    ErrorKind.TIMEOUT,
    ErrorKind.BAD_RESPONSE,
}
FAILURES_TO_OPEN, _FAILURES_TO_REOPEN = 8, 3
_PATIENCE_S = 600.0
_SLOW_S = 10.0
"""A failure that took longer is a long generation cut off by a gateway as well as an outage: it is a sign only where
nothing else is in flight that may yet be answered."""
_FIRST_PROBE_S, _LONGEST_PROBE_S, _JITTER = 1.0, 60.0, 0.25
_LONGEST_ASKED_S = 3600.0
_FIRST_RAMP = 4
_MOST_REMEMBERED = 20_000  # failing rows, and failed attempts
_TOLD_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class WentDown:
    """Down since `since` (epoch); `last` is what was seen last. The next request goes in `probe_in_s`."""

    since: float
    last: Attempt
    probe_in_s: float


@dataclass(frozen=True, slots=True)
class CameBack:
    """It answers again, after `lasted_s` seconds and `probes` requests; down from `since` to `until` (epoch)."""

    since: float
    until: float
    lasted_s: float
    probes: int


@dataclass(slots=True)
class _Down:
    """The breaker is open. `probe_at` is when the request went that is in flight, where one is."""

    next_at: float
    interval_s: float
    probe_at: float | None = None
    probes: int = 0


@dataclass(slots=True)
class _Span:
    """An outage; `until` is open while it lasts. `told_since` is its beginning in seconds since the epoch.

    The epoch is for people alone: a clock may be set while an outage lasts.
    """

    since: float
    told_since: float
    until: float = float("inf")


class CircuitBreaker:
    """Opens and closes as above; stops the run when that is all that came for `max_outage_s`."""

    def __init__(self, max_outage_s: float, random: Random, *, reached: bool = False) -> None:
        """`reached` says that it has answered in an earlier run."""
        self._max_outage_s = max_outage_s
        self._random = random
        self._reached = reached
        self._heard_at = float("-inf")  # when the latest request was sent that was answered
        self._in_flight = 0
        self._peak = 0
        self._ramp: int | None = None
        self._signs = 0
        self._first: Attempt | None = None  # the failure that all since agree with
        self._last: Attempt | None = None
        self._since = float("inf")  # when that was seen
        self._pending = 0  # requests sent since that are in flight
        self._failing: dict[Key, None] = {}
        self._ended: dict[tuple[Key, float], float] = {}
        """When a row's failed attempts ended, by when they had started in epoch seconds: that names one of a row."""
        self._down: _Down | None = None
        self._spans: deque[_Span] = deque(maxlen=64)
        self._stop: Halt | None = None
        self._news: list[WentDown | CameBack] = []
        self._told_at = float("-inf")

    def check(self, now: float, max_usage: MaxUsage) -> Decision:  # noqa: ARG002
        if self._stop is not None:
            return self._stop
        down = self._down
        if down is None:
            return ADMIT if self._ramp is None or self._in_flight < self._ramp else Delay()
        if down.probe_at is not None:
            return Delay()
        left_s = self._since + self._max_outage_s - now
        if left_s <= 0:
            return self._stopped(OUTAGE)
        wait_s = down.next_at - now
        return Delay(min(wait_s, left_s)) if wait_s > 0 else ADMIT

    def acquire(self, now: float, max_usage: MaxUsage) -> None:  # noqa: ARG002
        self._in_flight += 1
        if self._down is not None:
            self._down.probe_at = now
            self._down.probes += 1
        elif self._in_flight > self._peak:
            self._peak = self._in_flight
        if self._first is not None:
            self._pending += 1

    def release(self, now: float, max_usage: MaxUsage, attempt: Attempt | None) -> None:  # noqa: ARG002
        self._in_flight -= 1
        if attempt is None:
            self._cut_off(now)
            return
        self._reached = self._reached or attempt.http_status is not None
        if self._first is not None and now - attempt.latency_s >= self._since:
            self._pending -= 1
        action = attempt.verdict.action
        if action is Action.RETRY_IF_ANSWERED or (action is Action.RETRY and attempt.verdict.kind in _EVIDENCE):
            self._failed(now, attempt)
            return
        self._heard_at = max(self._heard_at, now - attempt.latency_s)
        if self._first is not None or self._failing or self._ramp is not None:
            self._answered(now, attempt)

    def was_in_outage(self, attempt: Attempt) -> bool:
        """Whether a failure belongs to an outage, so that its row does not pay for it."""
        ended = self._ended.get((attempt.request.key, attempt.started_at))
        if ended is None:
            return False
        return any(ended >= span.since and ended - attempt.latency_s <= span.until for span in self._spans)

    def extends_patience(self, first: Attempt, last: Attempt, spent_s: float) -> bool:
        """Whether a row is tried on that would be given up: from its `first` failure to its `last` it spent `spent_s`.

        Never for a failure that took long: a gateway that cuts a long reply has it paid for each time.
        """
        ended = self._ended.get((first.request.key, first.started_at))
        return (
            ended is not None
            and float("-inf") < self._heard_at <= ended
            and (last.request.key, last.started_at) in self._ended
            and last.latency_s < _SLOW_S
            and spent_s < min(_PATIENCE_S, self._max_outage_s)
        )

    @property
    def down_since(self) -> float | None:
        """When the outage began that goes on, in seconds since the epoch."""
        return self._spans[-1].told_since if self._down is not None else None

    def probe_in_s(self, now: float) -> float:
        """Seconds until the next request of an outage; 0 where it is in flight."""
        return 0.0 if self._down is None or self._down.probe_at is not None else max(0.0, self._down.next_at - now)

    def news(self) -> list[WentDown | CameBack]:
        """What happened since this was asked last."""
        told, self._news = self._news, []
        return told

    def _answered(self, now: float, attempt: Attempt) -> None:
        self._failing.pop(attempt.request.key, None)
        down = self._down
        if down is not None:
            if not self._is_probe(now, down, attempt) and self._last is not None and self._last.http_status is None:
                return
            self._close(now, down, attempt)
        elif self._ramp is not None:
            self._ramp = self._ramp + 1 if self._ramp < self._peak else None
        elif self._first is not None and now - attempt.latency_s < self._since:
            return  # sent before the first sign was seen: it says nothing of what is now
        self._first = None
        self._signs = self._pending = 0

    def _failed(self, now: float, attempt: Attempt) -> None:
        if attempt.verdict.scope is Scope.ROW:
            _remember(self._ended, (attempt.request.key, attempt.started_at), now)
        counts, sign = self._weight(attempt)
        self._last = attempt
        if self._first is None:
            if not counts:
                return
            self._first, self._since = attempt, now
        down = self._down
        if down is not None:
            if self._is_probe(now, down, attempt):
                self._wait_on(now, down, attempt)
        elif sign:
            self._signs += 1
            least = FAILURES_TO_OPEN if self._ramp is None else _FAILURES_TO_REOPEN
            if self._signs >= max(least, self._pending):
                self._open(now, attempt)
        away_s = now - self._since
        # A request that is still in flight has reached it: a slow model, with a few connections refused beside it.
        if not self._reached and away_s >= FIRST_CONTACT_S and not self._in_flight:
            self._stop = self._stopped(NEVER_REACHED)
        elif away_s >= self._max_outage_s and counts:
            self._stop = self._stopped(OUTAGE)

    def _is_probe(self, now: float, down: _Down, attempt: Attempt) -> bool:
        return down.probe_at is not None and (now - attempt.latency_s >= down.probe_at or not self._in_flight)

    def _weight(self, attempt: Attempt) -> tuple[bool, bool]:
        """Whether a failure speaks of the endpoint at all, and whether it is a sign of an outage."""
        verdict, alone = attempt.verdict, not self._in_flight
        if verdict.scope is Scope.ENDPOINT:
            return True, alone or verdict.kind is ErrorKind.CONNECTION
        key = attempt.request.key
        if key in self._failing:
            return self._down is not None, False
        _remember(self._failing, key, None)
        return True, alone or attempt.latency_s < _SLOW_S

    def _open(self, now: float, attempt: Attempt) -> None:
        assert self._first is not None
        self._down = _Down(now, _FIRST_PROBE_S / 2)
        self._spans.append(_Span(self._since, self._first.finished_at))
        self._told_at = float("-inf")
        self._wait_on(now, self._down, attempt)

    def _wait_on(self, now: float, down: _Down, attempt: Attempt) -> None:
        """Another while without a request."""
        down.probe_at = None
        # What was never there is told soon.
        down.interval_s = min(_LONGEST_PROBE_S, down.interval_s * 2) if self._reached else _FIRST_PROBE_S
        wait_s = down.interval_s * self._random.uniform(1 - _JITTER, 1 + _JITTER)
        down.next_at = now + max(wait_s, min(attempt.verdict.wait_s or 0.0, _LONGEST_ASKED_S))
        if now - self._told_at >= _TOLD_EVERY_S:
            self._told_at = now
            self._news.append(WentDown(self._spans[-1].told_since, attempt, down.next_at - now))

    def _cut_off(self, now: float) -> None:
        """One of ours ended without telling anything; it was the probe if nothing is left that may be."""
        if self._down is not None and not self._in_flight:
            self._down.probe_at = None
            self._down.next_at = max(self._down.next_at, now + self._down.interval_s)

    def _close(self, now: float, down: _Down, attempt: Attempt) -> None:
        span = self._spans[-1]
        span.until = now
        until = max(span.told_since, attempt.finished_at)
        self._news.append(CameBack(span.told_since, until, now - self._since, down.probes))
        self._down = None
        self._ramp = _FIRST_RAMP

    def _stopped(self, reason: str) -> Halt:
        assert self._first is not None
        return Halt(reason, self._last, self._first.finished_at)


def _remember(known: dict[Any, Any], name: object, value: object) -> None:
    """Note `value`, and forget the oldest where there are too many."""
    known[name] = value
    if len(known) > _MOST_REMEMBERED:
        del known[next(iter(known))]
