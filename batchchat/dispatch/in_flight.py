"""What is in flight, since when; and the cutting of what `policy.stragglers` calls overdue.

An attempt is cut by cancelling the wait for it, and nothing else of its row: that goes on in recovery.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from batchchat.core.attempt import Action, Attempt, Billed, Failure, Request, Scope, Verdict
from batchchat.core.conversation import ErrorKind, Key
from batchchat.policy.stragglers import InFlight, Overdue, StragglerPolicy
from batchchat.text import numbers

__all__ = ["InFlightAttempt", "InFlightAttempts", "overdue"]

_LOOK_EVERY_S = 0.2
_ASLEEP_S = 2.0


class InFlightAttempt:
    """One wait for an answer; `cut` says so where we ended it."""

    __slots__ = ("_task", "cut", "since")

    def __init__(self, since: float) -> None:
        self.since = since
        self.cut: Overdue | None = None
        task = asyncio.current_task()
        assert task is not None
        self._task = task

    def end(self, cut: Overdue) -> None:
        """Cut it off."""
        self.cut = cut
        self._task.cancel()

    def was_cut(self) -> bool:
        """Whether the cancellation that just came was ours and nobody else's; then it is taken back."""
        return self.cut is not None and self._task.uncancel() == 0


class InFlightAttempts:
    """The attempts in flight. `alone` says whether nothing but them is left to wait for."""

    def __init__(
        self,
        tail: StragglerPolicy,
        clock: Callable[[], float],
        alone: Callable[[int], bool],
        told: Callable[[Overdue], None],
    ) -> None:
        self._tail = tail
        self._clock = clock
        self._alone = alone
        self._told = told
        self._attempts: dict[Key, InFlightAttempt] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._looked_at = 0.0

    def begin(self, key: Key) -> InFlightAttempt:
        """An attempt at `key` is sent by this task."""
        attempt = self._attempts[key] = InFlightAttempt(self._clock())
        return attempt

    def end(self, key: Key, answered: Attempt | None) -> None:
        """It ended, `answered` where it was accepted."""
        self._attempts.pop(key, None)
        if answered is not None:
            self._tail.note(answered.latency_s)

    def watch(self) -> None:
        """Look for overdue attempts from now on, until `rest`."""
        if self._timer is None:
            self._looked_at = self._clock()
            self._look()

    def rest(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def awaited(self) -> tuple[InFlight, float] | None:
        """The attempt that the end of the run waits for, with its bound in seconds; None where it waits for more."""
        if self._timer is None or not self._attempts or not self._alone(len(self._attempts)):
            return None
        key, attempt = min(self._attempts.items(), key=lambda each: each[1].since)
        bound_s = self._tail.cutoff_s(key)
        return None if bound_s is None else (InFlight(key, attempt.since), bound_s)

    def _look(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_LOOK_EVERY_S, self._look)
        now, before, self._looked_at = self._clock(), self._looked_at, self._clock()
        # Who wakes from a suspend reads first what has arrived in the meantime, and cuts afterwards.
        if now - before > _ASLEEP_S or not self._alone(len(self._attempts)):
            return
        running = [InFlight(key, attempt.since) for key, attempt in self._attempts.items() if attempt.cut is None]
        for cut in self._tail.overdue(now, running):
            self._attempts[cut.key].end(cut)
            self._told(cut)


def overdue(request: Request, cut: Overdue) -> Attempt:
    """The attempt of an attempt that was cut: perhaps billed, and nothing its row has to answer for."""
    verdict = Verdict(
        Action.RETRY if cut.again else Action.FAIL_ROW, Scope.ENDPOINT, Billed.MAYBE, ErrorKind.TIMEOUT, instant=True
    )
    text = (
        f"no answer within {numbers.seconds(cut.ran_s)} at the end of the run, when 99 of 100 answers had taken at most"
        f" {numbers.seconds(cut.p99_s)}"
    )
    if not cut.again:
        text += f"; cut off {cut.times} times"
    finished_at = time.time()
    failure = Failure(ErrorKind.TIMEOUT, text)
    return Attempt(request, verdict, finished_at - cut.ran_s, finished_at, cut.ran_s, failure=failure)
