"""How many requests may be in flight: a ceiling that goes down with refusals and overload, and grows back.

After inspect_ai's `design/adaptive-concurrency.md`, changed where a refusal or its absence says more than a clock.

- STARTING: 32, then half as many again each quarter of a second while all are in use and nothing shows a limit: a
  refusal comes in a round trip, an answer takes seconds. 200 are reached in 1.3 s, so a short job is hardly slowed, and
  a server that takes fewer sees at most half as many again.
- Refusals above the background (`refusal_signs`) are a limit: the ceiling is CUT to what was accepted. Each further
  one lowers it by one, to at most half of its last peak; where more are refused there than by any background, further.
- CUT, where three and most of the requests sent since are refused too, the limit has moved: x0.7, then x0.5, then
  x0.25, with no time between: 40 -> 10 is followed within a dozen refusals. An answer to a request sent since the cut
  ends this: STEADY.
- A request that was cut off by a gateway or by our own timeout is a sign of overload where fewer are answered in that
  time than are in flight (`answer_rate`). The ceiling is cut at once to as many as were answered, before rows fail for
  it: each of those attempts may be billed. Where none was answered, to four, and it grows as soon as one is.
- Growth only while 80 % of the ceiling is in use: after 4 rounds of answers to requests sent since the cut one more (or
  2 %), which doubles with each half round without a refusal. After an overload each step is given the time in which it
  may be cut off, and each further overload doubles the rounds.
- A Retry-After that is meant for all (`hold`) holds all requests for so long, up to a minute, and growth for 20 times
  as long. This holds in every state.
- What was refused before the first answer, down to a request that was alone in flight, says that the endpoint was not
  up, and nothing of its limit: with the first answer STARTING begins again.

Server errors and failures of a row lower nothing. FIXED, for a job that does not want this, the ceiling stays where it
is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from batchchat.core.attempt import Attempt, MaxUsage, Scope
from batchchat.core.conversation import ErrorKind
from batchchat.policy.answer_rate import AnswerRate
from batchchat.policy.ceiling_report import CeilingMoved, CeilingReport
from batchchat.policy.ceiling_state import CUT, FIXED, STARTING, STEADY, TRANSITIONS, CeilingEvent, CeilingState
from batchchat.policy.decision import ADMIT, Decision, Delay
from batchchat.policy.hold import Hold
from batchchat.policy.refusal_signs import RefusalSigns

__all__ = ["REFUSALS", "Concurrency"]

REFUSALS = frozenset({ErrorKind.RATE_LIMIT, ErrorKind.OVERLOADED})
_CUT_OFFS = frozenset({ErrorKind.GATEWAY_TIMEOUT, ErrorKind.TIMEOUT})

_FULL = Delay()
_NEVER = float("inf")
_START = 32
_STEP_S = 0.25
_STEP_FACTOR = 1.5
_MIN_PEAK_SHARE = 0.5  # of the peak since the last cut by a factor; refusals by ones take no more
_FACTORS = (0.7, 0.5, 0.25)
_MIN_REFUSED_SHARE, _MIN_REFUSED = 0.75, 3
_IN_USE = 0.8
_ROUNDS, _MIN_ANSWERS = 4, 40
_MIN_ANSWERS_PER_STEP = 8
_GROWTH_SHARE = 50
_MIN_CUT_OFF_S = 1.0
"""A gateway that fails sooner has not waited for the endpoint."""
_NONE_ANSWERED_CEILING = 4
_CUT_OFF_CALM, _MAX_OVERLOADS = 1.5, 5


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

    `undo_to` is what a refusal takes it back to. After each step growth rests for `rest_s`; `before` was the ceiling
    before the latest step, 0 where there was none since the cut.
    """

    step: int
    answers_needed: int
    undo_to: int
    answers: int = 0
    rest_s: float = 0.0
    before: int = 0


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
        self._cut = _Cut()
        self._growth = _Growth(1, 0, max_in_flight)
        self._overloads = 0
        self._is_up: bool | None = None  # None before the first answer; False where one alone was refused then
        self._signs = RefusalSigns()
        self._answer_rate = AnswerRate()
        self.hold = Hold()
        self._report = CeilingReport(self.ceiling)

    @property
    def state(self) -> CeilingState:
        """The current state of the table."""
        return self._state

    @property
    def starting(self) -> bool:
        """Whether the ceiling is still climbing to the maximum, with no sign of a limit."""
        return self._state is STARTING

    def check(self, now: float, max_usage: MaxUsage) -> Decision:  # noqa: ARG002
        if now < self.hold.until:
            return Delay(self.hold.until - now)
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
        if not self._sent:
            self._answer_rate.begin(now)
        self.in_flight += 1
        self._sent += 1
        self._signs.add_sent(now)
        if self.in_flight > self._cut.peak:  # noqa: PLR1730 (once a request, and `max` takes three times as long)
            self._cut.peak = self.in_flight

    def release(self, now: float, max_usage: MaxUsage, attempt: Attempt | None, record: int | None = None) -> None:  # noqa: ARG002
        self.in_flight -= 1
        if attempt is None:
            return
        verdict, sent_at = attempt.verdict, now - attempt.latency_s
        if verdict.kind is None:
            self._answered(now, sent_at)
        elif verdict.scope is Scope.ENDPOINT:
            is_limit = verdict.kind in REFUSALS and self._refused(now, sent_at)
            self.hold.add_refusal(now, self._sent, attempt, is_limit=is_limit)
        elif verdict.kind in REFUSALS and attempt.http_status == 500:  # noqa: PLR2004 (no free slot; 429 and 503 are the row's)
            self._refused(now, sent_at)
        elif verdict.kind in _CUT_OFFS and attempt.latency_s >= _MIN_CUT_OFF_S:
            self._cut_off(now, sent_at)

    def held_s(self, now: float) -> float:
        """Seconds for which nothing is sent because the endpoint asked for it."""
        return self.hold.left_s(now)

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
        """The start's next step: all that the ceiling allows are in flight, and there is no sign of a limit."""
        self.ceiling = self._peak_ceiling = min(self._max, int(self.ceiling * _STEP_FACTOR))
        self._step_at = now + _STEP_S
        if self.ceiling == self._max:
            self._fire(CeilingEvent.MAX_REACHED)

    def _answered(self, now: float, sent_at: float) -> None:
        self._answer_rate.add(now)
        self.hold.add_answer(sent_at)
        if self._is_up is not True:
            if self._is_up is False and self._state is not FIXED:
                self._start_again(now)
            self._is_up = True
        if self.ceiling < self._max and self._state is not STARTING and sent_at > self._cut.at:
            self._accepted(now)

    def _start_again(self, now: float) -> None:
        """The endpoint is up at last: what was refused while it was not taught nothing."""
        self._signs = RefusalSigns()
        self._cut = _Cut(peak=self.in_flight)
        self.ceiling = self._peak_ceiling = min(self._max, _START)
        self._step_at = now + _STEP_S
        self._fire(CeilingEvent.CAME_UP)
        if self.ceiling == self._max:
            self._fire(CeilingEvent.MAX_REACHED)

    def _refused(self, now: float, sent_at: float) -> bool:
        """Lower the ceiling where that helps; whether the refusal is the sign of a limit."""
        is_limit = self._signs.add_refusal(now, now - sent_at, is_starting=self._state is STARTING)
        if self._state is FIXED:
            return is_limit
        if self._is_up is None and not self.in_flight:
            self._is_up = False
        self._report.add_sign(now, is_refusal=True)
        if self._signs.is_suspicious:
            self._step_at = now + _STEP_S
        cut = self._cut
        sent = self._sent - cut.sent
        is_since_cut = sent_at > cut.at and cut.refused < sent
        cut.refused += is_since_cut
        if self._state is STEADY and self.ceiling < self._max and self._signs.learn_level():
            self._growth.answers_needed = _MIN_ANSWERS_PER_STEP
        elif is_limit:
            if self._signs.is_beyond_background:
                self._peak_ceiling = self.ceiling
            if self._state is not CUT:
                self._cut_to_accepted(now)
            elif is_since_cut and cut.refused >= max(self._min_refused, _MIN_REFUSED_SHARE * sent):
                self._cut_by_factor(now)
            else:
                self._lower(self.ceiling - 1)
        return is_limit

    def _cut_off(self, now: float, sent_at: float) -> None:
        """A request was ended while it waited: an overload, where fewer are answered meanwhile than are in flight."""
        in_flight = self.in_flight + 1
        if self._state is FIXED or sent_at <= self._cut.at or in_flight == 1:
            return  # sent before the cut: that was to be expected
        answers = self._answer_rate.in_line(now, now - sent_at, self._cut.at, in_flight)
        if answers is None:
            if not (self._overloads and self._growth.before):
                return
            answers = self._growth.before  # it takes as many as before the latest step
        self._report.add_sign(now, is_refusal=False)
        if self._state is STARTING:
            self._report.end_start(self.ceiling)
        self._fire(CeilingEvent.OVERLOADED)
        ceiling = min(self.ceiling, answers or max(1, min(_NONE_ANSWERED_CEILING, in_flight // 2)))
        self.ceiling = self._peak_ceiling = ceiling
        self._begin_cut(now, depth=1)
        if not answers:
            self._growth.answers_needed = _MIN_ANSWERS_PER_STEP
            return
        self._growth.answers_needed <<= self._overloads
        self._growth.rest_s = _CUT_OFF_CALM * (now - sent_at)
        self._overloads = min(self._overloads + 1, _MAX_OVERLOADS)

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
        self._signs.begin_level()

    @property
    def _min_refused(self) -> int:
        return max(_MIN_REFUSED, self._signs.streak_beyond_chance)

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
        before = self.ceiling
        self.ceiling = min(before, max(1, ceiling, math.ceil(self._peak_ceiling * _MIN_PEAK_SHARE)))
        if self.ceiling < before:
            self._signs.begin_level()

    def _accepted(self, now: float) -> None:
        """A request sent since the cut was answered: what is in flight now is accepted."""
        if self._state is CUT:
            self._fire(CeilingEvent.ACCEPTED)
        if self.in_flight + 1 < self.ceiling * _IN_USE or now < self.hold.calm_until:
            return
        growth = self._growth
        growth.answers += 1
        if growth.answers < growth.answers_needed:
            return
        half_round = max(_MIN_ANSWERS_PER_STEP, self.ceiling // 2)
        # A first step that is refused is taken back whole; what later, larger steps exceed is found by ones.
        undo_to = self.ceiling if growth.answers_needed > half_round else self._max
        before = self.ceiling
        self.ceiling = min(self._max, before + min(growth.step, max(1, self.ceiling // 2)))
        self._peak_ceiling = max(self._peak_ceiling, self.ceiling)
        self._signs.begin_level()
        needed = max(_MIN_ANSWERS_PER_STEP, self.ceiling // 2)
        self._growth = _Growth(growth.step * 2, needed, undo_to, rest_s=growth.rest_s, before=before)
        self.hold.calm_until = max(self.hold.calm_until, now + growth.rest_s)
