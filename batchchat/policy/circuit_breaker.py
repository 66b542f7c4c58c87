"""The circuit breaker: an endpoint that is down gets one request at growing intervals, and no row fails for it.

CLOSED, requests are admitted. Evidence of an outage is a connection that can't be had; a refusal while nothing else is
in flight; the first failure of a row (500, 502, a broken connection, a web page, a timeout). Later failures of the same
row say nothing of the endpoint, so a row that always gets a 500 still uses up its attempts. Eight such failures open
the breaker, three in RECOVERING, provided that no request sent after the first of them was answered, and that of the
requests sent since no more are in flight than have failed: where one in ten fails at once, the others are only slower.

OPEN, a probe is admitted after 1 s, then after twice as long each time, up to a minute, jittered; a Retry-After is
respected. An endpoint that refuses at once is probed twice a minute: it may be the rows that it refuses,
and the probes are new ones mostly (`dispatch.gate`).
HALF_OPEN, the probe is in flight. The first answer closes the breaker; so does an answer to a request from before the
outage, except where new connections are refused: a server that shuts down finishes what it has begun.

RECOVERING, four requests may be in flight, and one more with each answer until as many are as before.

An endpoint that has never answered is not up yet: the first refusal or lost connection with nothing else in flight
opens the breaker, so that it is told at once, and it is probed every five seconds at least.

A complete response that can't be used (`Verdict.endpoint_is_up`) is a failure of its row, and an answer here.

A failure during an outage uses up no attempt of its row (`was_in_outage`). After `max_outage_s` the run stops, though
nothing is sent that would show it (`halt`). The Halt is kept apart from the state: what is in flight then is still
released, and an outage may end meanwhile.

A refusal that is shown as its row's own (`policy.refused_rows`) is neither an answer nor a sign of an outage.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from batchchat.core.attempt import Action, Attempt, MaxUsage, Scope
from batchchat.core.conversation import ErrorKind, Key
from batchchat.policy.breaker_state import CLOSED, HALF_OPEN, OPEN, RECOVERING, TRANSITIONS, BreakerEvent, BreakerState
from batchchat.policy.concurrency import REFUSALS
from batchchat.policy.decision import ADMIT, Decision, Delay, Halt
from batchchat.policy.outage_history import OutageHistory, remember
from batchchat.policy.outage_news import CameBack, WentDown

__all__ = [
    "FAILURES_TO_OPEN",
    "OUTAGE",
    "CircuitBreaker",
]

OUTAGE = "outage"

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
_SLOW_S = 10.0
"""A failure that took longer may be a long generation cut off by a gateway as well as an outage: it is evidence only
where nothing else is in flight that may yet be answered."""
_FIRST_PROBE_S, _MAX_PROBE_S, _JITTER = 1.0, 60.0, 0.25
_MAX_FIRST_CONTACT_PROBE_S = 5.0
_MAX_REFUSED_PROBE_S = 30.0
_MAX_RETRY_AFTER_S = 3600.0
_FIRST_RECOVERY_LIMIT = 4
_MAX_FAILING_ROWS = 20_000
_REPORT_EVERY_S = 60.0


@dataclass(slots=True)
class _Failures:
    """Failures with no answer between: `first` to `last`, since `since` on the policy's clock.

    `evidence` counts those that speak for an outage, `in_flight` the requests sent since `since` that have not ended.
    """

    first: Attempt
    last: Attempt
    since: float
    evidence: int = 0
    in_flight: int = 0


@dataclass(slots=True)
class _Probes:
    """The probes of an outage: when the next one is due, when the latest was sent, and how many were."""

    next_at: float
    interval_s: float = _FIRST_PROBE_S / 2
    sent_at: float = float("inf")
    count: int = 0
    reported_at: float = float("-inf")


class CircuitBreaker:
    """Opens and closes as above; stops the run after `max_outage_s` of failures alone.

    `reached` says that the endpoint has answered in an earlier run.
    """

    def __init__(self, max_outage_s: float, random: Random, *, reached: bool = False) -> None:
        self._max_outage_s = max_outage_s
        self._random = random
        self._reached = reached
        self._state = CLOSED
        self._in_flight = 0
        self._peak = 0
        self._recovery_limit = _FIRST_RECOVERY_LIMIT
        self._failures: _Failures | None = None
        self._failing_rows: dict[Key, None] = {}
        self._probes = _Probes(0.0)
        self._history = OutageHistory()
        self._halt: Halt | None = None
        self._news: list[WentDown | CameBack] = []

    def check(self, now: float, max_usage: MaxUsage) -> Decision:  # noqa: ARG002
        if self._halt is not None:
            return self._halt
        state = self._state
        if state is CLOSED:
            return ADMIT
        if state is RECOVERING:
            return ADMIT if self._in_flight < self._recovery_limit else Delay()
        if state is HALF_OPEN:
            return Delay()
        assert self._failures is not None
        left_s = self._failures.since + self._max_outage_s - now
        if left_s <= 0:
            return _halt(OUTAGE, self._failures)
        wait_s = self._probes.next_at - now
        return Delay(min(wait_s, left_s)) if wait_s > 0 else ADMIT

    def acquire(self, now: float, max_usage: MaxUsage) -> None:  # noqa: ARG002
        self._in_flight += 1
        failures = self._failures
        if failures is not None:
            failures.in_flight += 1
        if failures is not None and self._is_down:
            self._probes.sent_at = now
            self._probes.count += 1
            self._fire(BreakerEvent.PROBE_SENT)
        elif self._in_flight > self._peak:
            self._peak = self._in_flight

    def release(self, now: float, max_usage: MaxUsage, attempt: Attempt | None, record: int | None = None) -> None:  # noqa: ARG002
        self._in_flight -= 1
        if attempt is None:
            self._cancelled(now)
            return
        sent_at = now - attempt.latency_s
        failures, verdict = self._failures, attempt.verdict
        if failures is not None and sent_at >= failures.since:
            failures.in_flight -= 1
        if verdict.scope is Scope.ROW and verdict.kind in REFUSALS and verdict.action is Action.RETRY:
            # The row itself is the cause: neither an answer nor a sign of an outage, and the next may go.
            if self._is_probe(sent_at):
                self._fire(BreakerEvent.CANCELLED)
            return
        action = verdict.action
        is_sign = action is Action.RETRY_IF_ANSWERED or (action is Action.RETRY and verdict.kind in _EVIDENCE)
        if is_sign and not verdict.endpoint_is_up:
            self._failed(now, attempt)
            return
        self._reached = True
        if failures is not None or self._failing_rows or self._state is RECOVERING:
            self._answered(now, sent_at, attempt)

    def halt(self, now: float) -> Halt | None:
        """The reason to stop the run, though nothing is sent that would show it: all rows may be waiting."""
        failures = self._failures
        if self._halt is not None or failures is None or now - failures.since < self._max_outage_s:
            return self._halt
        is_waiting = self._state is CLOSED and not self._in_flight and failures.last.verdict.scope is Scope.ENDPOINT
        return _halt(OUTAGE, failures) if self._state is OPEN or is_waiting else None

    def was_in_outage(self, attempt: Attempt) -> bool:
        """Whether a failed `attempt` belongs to an outage, so that its row does not pay for it."""
        return self._history.contains(attempt)

    @property
    def state(self) -> BreakerState:
        """The current state of the table."""
        return self._state

    @property
    def down_since(self) -> float | None:
        """When the present outage began, in seconds since the epoch; None where there is none."""
        return self._history.latest_since_epoch if self._is_down else None

    @property
    def last_failure(self) -> Attempt | None:
        """The latest failure of the present outage; None where there is none."""
        return self._failures.last if self._is_down and self._failures is not None else None

    def probe_in_s(self, now: float) -> float:
        """Seconds until the next probe of an outage; 0 while it is in flight, and without an outage."""
        return max(0.0, self._probes.next_at - now) if self._state is OPEN else 0.0

    def news(self) -> list[WentDown | CameBack]:
        """What has happened since the last call."""
        news, self._news = self._news, []
        return news

    @property
    def _is_down(self) -> bool:
        return self._state is OPEN or self._state is HALF_OPEN

    def _fire(self, event: BreakerEvent) -> None:
        self._state = TRANSITIONS[self._state, event]

    def _answered(self, now: float, sent_at: float, attempt: Attempt) -> None:
        self._failing_rows.pop(attempt.request.key, None)
        failures = self._failures
        if self._state is RECOVERING:
            if self._recovery_limit < self._peak:
                self._recovery_limit += 1
            else:
                self._fire(BreakerEvent.RECOVERED)
        elif failures is not None:
            if self._state is CLOSED:
                if sent_at < failures.since:
                    return  # sent before the first failure: it says nothing of the endpoint's present state
            elif failures.last.http_status is None and not self._is_probe(sent_at):
                return  # new connections are still refused
            else:
                self._close(now, failures, attempt)
        self._failures = None

    def _failed(self, now: float, attempt: Attempt) -> None:
        if attempt.verdict.scope is Scope.ROW:
            self._history.add_failure(attempt, now)
        concerns_endpoint, is_evidence = self._weight(attempt)
        failures = self._failures
        if failures is None:
            if not concerns_endpoint:
                return
            failures = self._failures = _Failures(attempt, attempt, now)
        failures.last = attempt
        if self._is_down:
            if self._is_probe(now - attempt.latency_s):
                self._fire(BreakerEvent.PROBE_FAILED)
                self._schedule_probe(now, attempt)
        elif is_evidence:
            failures.evidence += 1
            if failures.evidence >= max(self._needed(attempt), failures.in_flight):
                self._open(now, failures)
        if now - failures.since >= self._max_outage_s and concerns_endpoint:
            self._halt = _halt(OUTAGE, failures)

    def _needed(self, attempt: Attempt) -> int:
        """How many failures open the breaker."""
        if self._state is not CLOSED:
            return _FAILURES_TO_REOPEN
        is_not_up_yet = not self._reached and attempt.verdict.scope is Scope.ENDPOINT and not self._in_flight
        return 1 if is_not_up_yet else FAILURES_TO_OPEN

    def _is_probe(self, sent_at: float) -> bool:
        return self._state is HALF_OPEN and (sent_at >= self._probes.sent_at or not self._in_flight)

    def _weight(self, attempt: Attempt) -> tuple[bool, bool]:
        """Whether a failure concerns the endpoint at all, and whether it is evidence of an outage."""
        verdict, is_alone = attempt.verdict, not self._in_flight
        if verdict.action is Action.RETRY_IF_ANSWERED and not self._reached:
            return True, False  # a wrong address, most likely
        if verdict.scope is Scope.ENDPOINT:
            return True, is_alone or verdict.kind is ErrorKind.CONNECTION
        key = attempt.request.key
        if key in self._failing_rows:
            return self._is_down, False
        remember(self._failing_rows, key, None, _MAX_FAILING_ROWS)
        return True, is_alone or attempt.latency_s < _SLOW_S

    def _open(self, now: float, failures: _Failures) -> None:
        self._fire(BreakerEvent.TRIPPED)
        self._probes = _Probes(now)
        self._history.begin(failures.since, failures.first.finished_at)
        self._schedule_probe(now, failures.last)

    def _schedule_probe(self, now: float, failed: Attempt) -> None:
        """Admit the next probe after an interval that doubles, up to a maximum."""
        probes = self._probes
        max_s = _MAX_FIRST_CONTACT_PROBE_S
        if self._reached:
            max_s = _MAX_REFUSED_PROBE_S if failed.verdict.kind in REFUSALS else _MAX_PROBE_S
        probes.interval_s = min(max_s, probes.interval_s * 2)
        wait_s = probes.interval_s * self._random.uniform(1 - _JITTER, 1 + _JITTER)
        probes.next_at = now + max(wait_s, min(failed.verdict.wait_s or 0.0, _MAX_RETRY_AFTER_S))
        if now - probes.reported_at >= _REPORT_EVERY_S:
            probes.reported_at = now
            since = self._history.latest_since_epoch
            is_first_contact = not self._reached
            self._news.append(
                WentDown(since, failed, probes.next_at - now, since + self._max_outage_s, is_first_contact)
            )

    def _cancelled(self, now: float) -> None:
        """A request was ended by us; it was the probe if nothing is left in flight that may be."""
        if self._is_down and not self._in_flight:
            self._fire(BreakerEvent.CANCELLED)
            self._probes.next_at = max(self._probes.next_at, now + self._probes.interval_s)

    def _close(self, now: float, failures: _Failures, attempt: Attempt) -> None:
        self._fire(BreakerEvent.ANSWERED)
        self._history.end(now)
        since = self._history.latest_since_epoch
        until = max(since, attempt.finished_at)
        self._news.append(CameBack(since, until, now - failures.since, self._probes.count))
        self._recovery_limit = _FIRST_RECOVERY_LIMIT


def _halt(reason: str, failures: _Failures) -> Halt:
    return Halt(reason, failures.last, failures.first.finished_at)
