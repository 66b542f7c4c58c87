"""The attempts in flight, and the cancelling of those that `policy.stragglers` finds overdue.

Only the wait for an attempt is cancelled; its row continues in recovery.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from batchchat.core.attempt import Action, Attempt, Billed, Failure, Request, Scope, Verdict
from batchchat.core.conversation import ErrorKind, Key
from batchchat.policy.stragglers import InFlight, Overdue, StragglerPolicy
from batchchat.text import numbers

__all__ = ["InFlightAttempt", "InFlightAttempts", "overdue_attempt"]

_LOOK_EVERY_S = 0.2
_ASLEEP_S = 2.0


class InFlightAttempt:
    """One wait for an answer; `overdue` says for how long, where we cancelled it. `limit` is that of `InFlight`."""

    __slots__ = ("_task", "limit", "overdue", "since")

    def __init__(self, since: float, limit: str | None, task: asyncio.Task[Any]) -> None:
        self.since = since
        self.limit = limit
        self.overdue: Overdue | None = None
        self._task = task

    def cancel(self, overdue: Overdue) -> None:
        """End the wait, which took too long."""
        self.overdue = overdue
        self._task.cancel()

    def was_overdue(self) -> bool:
        """True if the task was cancelled by `cancel` alone; the cancellation is then revoked (`uncancel`)."""
        return self.overdue is not None and self._task.uncancel() == 0


class InFlightAttempts:
    """The attempts in flight. `alone`, given their number, says whether nothing but them is left to wait for."""

    def __init__(
        self,
        stragglers: StragglerPolicy,
        clock: Callable[[], float],
        alone: Callable[[int], bool],
        on_overdue: Callable[[Overdue], None],
    ) -> None:
        self._stragglers = stragglers
        self._clock = clock
        self._alone = alone
        self._on_overdue = on_overdue
        self._attempts: dict[Key, InFlightAttempt] = {}
        self._loop: asyncio.AbstractEventLoop | None = None  # asked for once: Python 3.11 makes a system call each time
        self._timer: asyncio.TimerHandle | None = None
        self._looked_at = 0.0

    def begin(self, key: Key, limit: str | None = None) -> InFlightAttempt:
        """The current task sends an attempt at the row of `key`; `limit` is that of `InFlight`."""
        loop = self._loop = self._loop or asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None
        attempt = self._attempts[key] = InFlightAttempt(self._clock(), limit, task)
        return attempt

    def end(self, key: Key, accepted: Attempt | None) -> None:
        """The attempt at the row of `key` ended; `accepted` is what came back, where it was accepted."""
        self._attempts.pop(key, None)
        if accepted is not None:
            self._stragglers.note(accepted.latency_s)

    def watch(self) -> None:
        """Look for overdue attempts from now on, until `unwatch`."""
        if self._timer is None:
            self._looked_at = self._clock()
            self._look()

    def unwatch(self) -> None:
        """Stop looking for overdue attempts."""
        if self._timer is not None:
            self._timer.cancel()

    def awaited(self) -> tuple[InFlight, float] | None:
        """The attempt that the end of the run waits for, and after how many seconds it is overdue.

        None where the run waits for more than what is in flight.
        """
        if self._timer is None or not self._attempts or not self._alone(len(self._attempts)):
            return None
        key, attempt = min(self._attempts.items(), key=lambda item: item[1].since)
        cutoff_s = self._stragglers.cutoff_s(key)
        return None if cutoff_s is None else (InFlight(key, attempt.since), cutoff_s)

    def _look(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_LOOK_EVERY_S, self._look)
        now, before, self._looked_at = self._clock(), self._looked_at, self._clock()
        # After a suspend the replies that have arrived in the meantime are read first, and attempts cancelled later.
        if now - before > _ASLEEP_S or not self._alone(len(self._attempts)):
            return
        running = [
            InFlight(key, attempt.since, attempt.limit)
            for key, attempt in self._attempts.items()
            if attempt.overdue is None
        ]
        for overdue in self._stragglers.overdue(now, running):
            self._attempts[overdue.key].cancel(overdue)
            self._on_overdue(overdue)


def overdue_attempt(request: Request, overdue: Overdue) -> Attempt:
    """The attempt that was cancelled as overdue: possibly billed, and the endpoint's fault."""
    verdict = Verdict(
        Action.RETRY if overdue.again else Action.FAIL_ROW,
        Scope.ENDPOINT,
        Billed.MAYBE,
        ErrorKind.TIMEOUT,
        instant=True,
    )
    text = (
        f"no answer within {numbers.seconds(overdue.ran_s)} at the end of the run, when 99 of 100 answers had taken at"
        f" most {numbers.seconds(overdue.p99_s)}"
    )
    if not overdue.again:
        text += f"; {overdue.limit or f'cut off {overdue.times} times'}"
    finished_at = time.time()
    failure = Failure(ErrorKind.TIMEOUT, text)
    return Attempt(request, verdict, finished_at - overdue.ran_s, finished_at, overdue.ran_s, failure=failure)
