"""How many requests may be in flight: a ceiling that goes down with refusals and grows back.

After inspect_ai's `design/adaptive-concurrency.md`, changed where a refusal or its absence says more than a clock.

- STARTING: 32, then half as many again each quarter of a second while all are in use and none is refused: a refusal
  comes in a round trip, an answer takes seconds. 200 are reached in 1.3 s, so a short job is hardly slowed, and a
  server that takes fewer sees at most half as many again.
- One refusal alone says little: some endpoints refuse one in twenty at random. A second one at most 3 requests later,
  or one with a Retry-After, is a limit: the ceiling is CUT to what was accepted. Each further refusal lowers it by one,
  to at most half of its last peak, so that random refusals cannot drive it to 1.
- CUT, where three and most of the requests sent since are refused too, the limit has moved: x0.7, then x0.5, then
  x0.25, with no time between: 40 -> 10 is followed within a dozen refusals. An answer to a request sent since the cut
  ends this: STEADY.
- Growth only while 80 % of the ceiling is in use: after 4 rounds of answers to requests sent since the cut one more (or
  2 %), which doubles with each half round without a refusal.
- A Retry-After holds all requests for so long, up to a minute, and growth for 20 times as long. This holds in every
  state.

Only refusals (429, overload) lower the ceiling; server errors, timeouts and failures of a row never do. FIXED, for a
job that does not want this, the ceiling stays where it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from batchchat.core.attempt import Attempt, MaxUsage, Scope
from batchchat.core.conversation import ErrorKind
from batchchat.policy.ceiling_state import CUT, FIXED, STARTING, STEADY, TRANSITIONS, CeilingEvent, CeilingState
from batchchat.policy.decision import ADMIT, Decision, Delay

__all__ = ["REFUSALS", "CeilingMoved", "Concurrency"]

REFUSALS = frozenset({ErrorKind.RATE_LIMIT, ErrorKind.OVERLOADED})

_FULL = Delay()
_NEVER = float("inf")
_START = 32
_STEP_S = 0.25
_STEP_FACTOR = 1.5
_NEAR, _NEAR_S = 3, 10.0  # requests, and seconds, between two refusals that are one limit
_MIN_PEAK_SHARE = 0.5  # of the peak since the last cut by a factor; refusals by ones take no more
_FACTORS = (0.7, 0.5, 0.25)
_MIN_REFUSED_SHARE, _MIN_REFUSED = 0.75, 3
_IN_USE = 0.8
_ROUNDS, _MIN_ANSWERS = 4, 40
_MIN_ANSWERS_PER_STEP = 8
_GROWTH_SHARE = 50
_MAX_HOLD_S = 60.0
_CALM_AFTER_HOLD, _MAX_CALM_S = 20.0, 120.0

_REPORT_SHARE_DOWN, _REPORT_SHARE_UP = 0.9, 1.25
_SETTLED_S, _MAX_UNREPORTED_S, _REFUSALS_MEMORY_S = 1.0, 5.0, 60.0


@dataclass(frozen=True, slots=True)
class CeilingMoved:
    """From `before` to `after` in flight; where it went down, by how many refusals within how many seconds."""

    before: int
    after: int
    refusals: int = 0
    span_s: float = 0.0


@dataclass(frozen=True, slots=True)
class _Refusal:
    """The latest refusal: when it came, and how many requests had been sent by then."""

    at: float = float("-inf")
    sent: int = 0


@dataclass(slots=True)
class _Cut:
    """The latest cut: when, how many without an answer between, and how many requests had been sent by then.

    Of the requests sent since, `refused` were refused, and at most `peak` were in flight at a time.
    """

    at: float = float("-inf")
    depth: int = 0
    sent: int = 0
    refused: int = 0
    peak: int = 0


@dataclass(slots=True)
class _Growth:
    """The ceiling grows by `step` after `answers_needed` answers, of which `answers` have come.

    `undo_to` is what a refusal takes it back to.
    """

    step: int
    answers_needed: int
    undo_to: int
    answers: int = 0


class Concurrency:
    """At most `ceiling` requests in flight: from 1 to `max_in_flight`, or just that where not `adaptive`."""

    def __init__(self, max_in_flight: int, *, adaptive: bool = True) -> None:
        self._max = max_in_flight
        self.ceiling = min(max_in_flight, _START) if adaptive else max_in_flight
        self._state = FIXED if not adaptive else STARTING if self.ceiling < max_in_flight else STEADY
        self.in_flight = 0
        self._sent = 0
        self._peak_ceiling = self.ceiling  # since the last cut by a factor
        self._step_at = _NEVER
        self._held_until = self._calm_until = float("-inf")
        self._refusal = _Refusal()
        self._cut = _Cut()
        self._growth = _Growth(1, 0, max_in_flight)
        self._report = _Report(self.ceiling)

    @property
    def state(self) -> CeilingState:
        """The current state of the table."""
        return self._state

    @property
    def starting(self) -> bool:
        """Whether the ceiling is still climbing to the maximum, with nothing refused."""
        return self._state is STARTING

    def check(self, now: float, max_usage: MaxUsage) -> Decision:  # noqa: ARG002
        if now < self._held_until:
            return Delay(self._held_until - now)
        if self.in_flight < self.ceiling:
            return ADMIT
        if self._state is not STARTING:
            return _FULL
        return ADMIT if now >= self._step_at else Delay(self._step_at - now)

    def acquire(self, now: float, max_usage: MaxUsage) -> None:  # noqa: ARG002
        if self._state is STARTING:
            if self.in_flight >= self.ceiling:
                self._climb(now)
            elif self._step_at == _NEVER:
                self._step_at = now + _STEP_S
        self.in_flight += 1
        self._sent += 1
        if self.in_flight > self._cut.peak:  # noqa: PLR1730 (once a request, and `max` takes three times as long)
            self._cut.peak = self.in_flight

    def release(self, now: float, max_usage: MaxUsage, attempt: Attempt | None, record: int | None = None) -> None:  # noqa: ARG002
        self.in_flight -= 1
        if attempt is None:
            return
        verdict = attempt.verdict
        if verdict.kind is None:
            if self.ceiling < self._max and self._state is not STARTING and now - attempt.latency_s > self._cut.at:
                self._accepted(now)
        elif verdict.scope is Scope.ENDPOINT:
            self._hold(now, verdict.wait_s)
            if self._state is not FIXED and verdict.kind in REFUSALS:
                self._refused(now, now - attempt.latency_s, has_retry_after=bool(verdict.wait_s))

    def held_s(self, now: float) -> float:
        """Seconds for which nothing is sent because the endpoint asked for it."""
        return max(0.0, self._held_until - now)

    def news(self, now: float) -> CeilingMoved | None:
        """How the ceiling has moved since the last report, once that is worth one and it has come to rest."""
        return self._report.next(
            now,
            self.ceiling,
            is_starting=self._state is STARTING,
            is_max=self.ceiling == self._max,
            cut_at=self._cut.at,
        )

    def _fire(self, event: CeilingEvent) -> None:
        self._state = TRANSITIONS[self._state, event]

    def _climb(self, now: float) -> None:
        """The start's next step: all that the ceiling allows are in flight, and none was refused."""
        self.ceiling = self._peak_ceiling = min(self._max, int(self.ceiling * _STEP_FACTOR))
        self._step_at = now + _STEP_S
        if self.ceiling == self._max:
            self._fire(CeilingEvent.MAX_REACHED)

    def _hold(self, now: float, wait_s: float | None) -> None:
        if wait_s:
            self._held_until = max(self._held_until, now + min(wait_s, _MAX_HOLD_S))
            self._calm_until = max(self._calm_until, now + min(wait_s * _CALM_AFTER_HOLD, _MAX_CALM_S))

    def _refused(self, now: float, sent_at: float, *, has_retry_after: bool) -> None:
        self._report.add_refusal(now)
        before, self._refusal = self._refusal, _Refusal(now, self._sent)
        is_limit = has_retry_after or (self._sent - before.sent <= _NEAR and now - before.at <= _NEAR_S)
        self._step_at = now + _STEP_S
        cut = self._cut
        sent = self._sent - cut.sent
        is_since_cut = sent_at > cut.at and cut.refused < sent
        cut.refused += is_since_cut
        if not is_limit:
            return
        if self._state is not CUT:
            self._cut_to_accepted(now)
        elif is_since_cut and cut.refused >= max(_MIN_REFUSED, _MIN_REFUSED_SHARE * sent):
            self._cut_by_factor(now)
        else:
            self._lower(self.ceiling - 1)

    def _cut_to_accepted(self, now: float) -> None:
        if self._state is STARTING:
            self._report.end_start(self.ceiling)
        self._fire(CeilingEvent.LIMIT_MET)
        self._lower(min(self._in_use - 1, self._growth.undo_to))
        self._begin_cut(now, depth=1)

    def _cut_by_factor(self, now: float) -> None:
        self._fire(CeilingEvent.LIMIT_MOVED)
        depth = self._cut.depth
        self.ceiling = self._peak_ceiling = max(1, int(self._in_use * _FACTORS[min(depth, len(_FACTORS)) - 1]))
        self._begin_cut(now, depth=depth + 1)

    @property
    def _in_use(self) -> int:
        return min(self.ceiling, self._cut.peak)

    def _begin_cut(self, now: float, *, depth: int) -> None:
        self._cut = _Cut(now, depth, self._sent, peak=self.in_flight)
        self._growth = _Growth(
            step=max(1, self.ceiling // _GROWTH_SHARE),
            answers_needed=max(_MIN_ANSWERS, _ROUNDS * self.ceiling),
            undo_to=self._max,
        )

    def _lower(self, ceiling: int) -> None:
        self.ceiling = min(self.ceiling, max(1, ceiling, math.ceil(self._peak_ceiling * _MIN_PEAK_SHARE)))

    def _accepted(self, now: float) -> None:
        """A request sent since the cut was answered: what is in flight now is accepted."""
        if self._state is CUT:
            self._fire(CeilingEvent.ACCEPTED)
        if self.in_flight + 1 < self.ceiling * _IN_USE or now < self._calm_until:
            return
        growth = self._growth
        growth.answers += 1
        if growth.answers < growth.answers_needed:
            return
        half_round = max(_MIN_ANSWERS_PER_STEP, self.ceiling // 2)
        # A first step that is refused is taken back whole; what later, larger steps exceed is found by ones.
        undo_to = self.ceiling if growth.answers_needed > half_round else self._max
        self.ceiling = min(self._max, self.ceiling + min(growth.step, max(1, self.ceiling // 2)))
        self._peak_ceiling = max(self._peak_ceiling, self.ceiling)
        self._growth = _Growth(growth.step * 2, max(_MIN_ANSWERS_PER_STEP, self.ceiling // 2), undo_to)


class _Report:
    """What is reported of the ceiling: moves worth a line, and each only once the ceiling has come to rest."""

    def __init__(self, ceiling: int) -> None:
        self._reported = ceiling
        self._start_was_cut = False  # below the maximum, and that is not reported yet
        self._refusals = 0
        self._refusals_since: float | None = None

    def add_refusal(self, now: float) -> None:
        if not self._refusals or self._refusals_since is None or now - self._refusals_since > _REFUSALS_MEMORY_S:
            self._refusals, self._refusals_since = 0, now
        self._refusals += 1

    def end_start(self, ceiling: int) -> None:
        """A refusal ended the start at `ceiling`: worth a line, however little is taken back."""
        self._start_was_cut, self._reported = True, max(self._reported, ceiling)

    def next(self, now: float, ceiling: int, *, is_starting: bool, is_max: bool, cut_at: float) -> CeilingMoved | None:
        """The move to `ceiling` where it is to be reported at `now`; it counts as reported from here on."""
        before, since = self._reported, self._refusals_since
        if ceiling > before:
            if is_starting or since is None:
                self._reported = ceiling  # the start is no news
            elif is_max or ceiling >= before * _REPORT_SHARE_UP:
                self._reported = ceiling
                return CeilingMoved(before, ceiling)
        elif ceiling < before and since is not None:
            is_worth_it = self._start_was_cut or ceiling <= before * _REPORT_SHARE_DOWN
            if is_worth_it and (now - cut_at >= _SETTLED_S or now - since >= _MAX_UNREPORTED_S):
                refusals, self._refusals = self._refusals, 0
                self._reported, self._start_was_cut = ceiling, False
                return CeilingMoved(before, ceiling, refusals, now - since)
        return None
