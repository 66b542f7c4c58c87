"""How many requests may be in flight: a ceiling that goes down with refusals and grows back.

After inspect_ai's `design/adaptive-concurrency.md`, changed where a refusal or its absence tells more than a clock.

- Start: 32, then half as many again each quarter of a second while all are in use and none is refused: a refusal comes
  in a round trip, an answer takes seconds. 200 are reached in 1.3 s, so a short job is hardly slowed, and a server
  that takes fewer sees at most half as many again.
- One refusal alone says little: some endpoints refuse one in twenty at random. A second one at most 3 requests later,
  or one that names a time, is a limit. From there each refused request takes one from the ceiling: what was accepted
  stays. By ones it goes down to a half of what it was; refusals at random, which no ceiling ends, take no more.
- Where three and most of what was sent since the last cut are refused too, the limit has moved: x0.7, then x0.5, then
  x0.25, with no time between: 40 -> 10 is followed within a dozen refusals.
- Growth only while 80 % of the ceiling is in use: after 4 rounds of answers to requests sent since the cut one more (or
  2 %), which doubles with each half round that meets no refusal.
- A refusal that names a time holds all requests for so long, up to a minute, and growth for 20 times as long.

Only refusals (429, overload) cut; server errors, timeouts and failures of a row never do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from batchchat.core.attempt import Attempt, MaxUsage, Scope
from batchchat.core.conversation import ErrorKind
from batchchat.policy.decision import ADMIT, Decision, Delay

__all__ = ["REFUSALS", "CeilingMoved", "Concurrency"]

REFUSALS = frozenset({ErrorKind.RATE_LIMIT, ErrorKind.OVERLOADED})

_FULL = Delay()
_START = 32
_STEP_S = 0.25
_STEP_FACTOR = 1.5
_NEAR, _NEAR_S = 3, 10.0  # requests, and seconds, between two refusals that are one limit
_LEAST_BY_ONES = 0.5  # of the ceiling that was reached since the last real cut
_FACTORS = (0.7, 0.5, 0.25)
_MOST_REFUSED, _LEAST_REFUSED = 0.75, 3
_IN_USE = 0.8
_ROUNDS, _LEAST_ANSWERS = 4, 40
_GROWTH_SHARE = 50
_LONGEST_HOLD_S = 60.0
_CALM_AFTER_HOLD, _LONGEST_CALM_S = 20.0, 120.0

_TOLD_SHARE_DOWN, _TOLD_SHARE_UP = 0.9, 1.25
_SETTLED_S, _LONGEST_UNTOLD_S, _REFUSALS_MEMORY_S = 1.0, 5.0, 60.0


@dataclass(frozen=True, slots=True)
class CeilingMoved:
    """From `before` to `after` in flight; where it went down, by how many refusals within how many seconds."""

    before: int
    after: int
    refusals: int = 0
    span_s: float = 0.0


class Concurrency:
    """At most `ceiling` requests in flight; it moves between 1 and `most`, or stays there where not `adaptive`."""

    def __init__(self, most: int, *, adaptive: bool = True) -> None:
        self._most = most
        self._adaptive = adaptive
        self.ceiling = min(most, _START) if adaptive else most
        self.in_flight = 0
        self._peak = 0  # most in flight since the last cut
        self._reached = self.ceiling
        self.starting = self.ceiling < most
        self._step_at = float("inf")
        self._held_until = self._calm_until = float("-inf")
        self._since_refusal = most + _NEAR  # requests sent since the last refusal
        self._refused_at = float("-inf")
        # Of the requests sent since the last cut:
        self._cut_at = float("-inf")
        self._sent = self._refused = 0
        self._cuts = 0  # in succession, with no answer between to a request sent after one
        self._answers = 0
        self._answers_needed = 0
        self._step = 1
        self._grown_from = most
        self._told = self.ceiling
        self._start_untold = False  # it ended below the most
        self._refusals = 0
        self._refusals_from = 0.0

    def check(self, now: float, max_usage: MaxUsage) -> Decision:  # noqa: ARG002
        if now < self._held_until:
            return Delay(self._held_until - now)
        if self.in_flight < self.ceiling:
            return ADMIT
        if not self.starting:
            return _FULL
        return ADMIT if now >= self._step_at else Delay(self._step_at - now)

    def acquire(self, now: float, max_usage: MaxUsage) -> None:  # noqa: ARG002
        if self.in_flight >= self.ceiling:  # let in by the start's next step
            self.ceiling = min(self._most, int(self.ceiling * _STEP_FACTOR))
            self.starting = self.ceiling < self._most
            self._reached = self.ceiling
            self._step_at = now + _STEP_S
        elif self.starting and self._step_at == float("inf"):
            self._step_at = now + _STEP_S
        self.in_flight += 1
        self._peak = max(self._peak, self.in_flight)
        self._since_refusal += 1
        self._sent += 1

    def release(self, now: float, max_usage: MaxUsage, attempt: Attempt | None, record: int | None = None) -> None:  # noqa: ARG002
        self.in_flight -= 1
        if attempt is None:
            return
        verdict = attempt.verdict
        if verdict.kind is None:
            if self.ceiling < self._most and not self.starting and now - attempt.latency_s > self._cut_at:
                self._answered(now)
        elif verdict.scope is Scope.ENDPOINT:
            self._hold_all(now, verdict.wait_s)
            if self._adaptive and verdict.kind in REFUSALS:
                self._refusal(now, now - attempt.latency_s, named=bool(verdict.wait_s))

    def held_s(self, now: float) -> float:
        """Seconds for which nothing is sent because the endpoint asked for it."""
        return max(0.0, self._held_until - now)

    def news(self, now: float) -> CeilingMoved | None:
        """How the ceiling moved since it was last told, once that is worth telling and has come to rest."""
        before, after = self._told, self.ceiling
        if after > before and (self.starting or not self._refusals_from):
            self._told = after  # the start is no news
        elif after >= before * _TOLD_SHARE_UP or before < after == self._most:
            self._told = after
            return CeilingMoved(before, after)
        elif after < before and (after <= before * _TOLD_SHARE_DOWN or self._start_untold):
            span_s = now - self._refusals_from
            if now - self._cut_at >= _SETTLED_S or span_s >= _LONGEST_UNTOLD_S:
                self._told, self._start_untold = after, False
                refusals, self._refusals = self._refusals, 0
                return CeilingMoved(before, after, refusals, span_s)
        return None

    def _hold_all(self, now: float, wait_s: float | None) -> None:
        if wait_s:
            self._held_until = max(self._held_until, now + min(wait_s, _LONGEST_HOLD_S))
            self._calm_until = max(self._calm_until, now + min(wait_s * _CALM_AFTER_HOLD, _LONGEST_CALM_S))

    def _refusal(self, now: float, sent_at: float, *, named: bool) -> None:
        if not self._refusals or now - self._refusals_from > _REFUSALS_MEMORY_S:
            self._refusals, self._refusals_from = 0, now
        self._refusals += 1
        near = named or (self._since_refusal <= _NEAR and now - self._refused_at <= _NEAR_S)
        self._since_refusal, self._refused_at = 0, now
        since_cut = sent_at > self._cut_at and self._refused < self._sent
        self._refused += since_cut
        self._step_at = now + _STEP_S
        moved = since_cut and self._refused >= max(_LEAST_REFUSED, _MOST_REFUSED * self._sent)
        if near and (self._cuts == 0 or moved):
            self._cut(now)
        elif near:
            self._lower(self.ceiling - 1)

    def _cut(self, now: float) -> None:
        in_use = min(self.ceiling, self._peak)
        if self.starting:
            self.starting, self._start_untold, self._told = False, True, max(self._told, self.ceiling)
        if self._cuts == 0:
            self._lower(min(in_use - 1, self._grown_from))
        else:
            factor = _FACTORS[min(self._cuts, len(_FACTORS)) - 1]
            self.ceiling = self._reached = max(1, int(in_use * factor))
        self._cuts += 1
        self._cut_at = now
        self._sent = self._refused = self._answers = 0
        self._peak = self.in_flight
        self._grown_from = self._most
        self._step = max(1, self.ceiling // _GROWTH_SHARE)
        self._answers_needed = max(_LEAST_ANSWERS, _ROUNDS * self.ceiling)

    def _lower(self, ceiling: int) -> None:
        self.ceiling = min(self.ceiling, max(1, ceiling, math.ceil(self._reached * _LEAST_BY_ONES)))

    def _answered(self, now: float) -> None:
        """An answer to a request sent since the cut: what is in flight now is accepted."""
        self._cuts = 0
        if self.in_flight + 1 < self.ceiling * _IN_USE or now < self._calm_until:
            return
        self._answers += 1
        if self._answers < self._answers_needed:
            return
        # A first step that is refused is taken back whole; what later, larger ones found out is found by ones.
        self._grown_from = self.ceiling if self._answers_needed > max(8, self.ceiling // 2) else self._most
        self.ceiling = min(self._most, self.ceiling + min(self._step, max(1, self.ceiling // 2)))
        self._reached = max(self._reached, self.ceiling)
        self._step *= 2
        self._answers, self._answers_needed = 0, max(8, self.ceiling // 2)
