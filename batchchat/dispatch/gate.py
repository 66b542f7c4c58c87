"""The gate: the semaphore whose size can move. One permit is one attempt; a permit is never held during backoff.

A permit is acquired from all policies or from none. Waiting requests are served in order, retries before new rows;
after a failure seven new rows go first, since it may be the others that fail. A released permit goes to the first
in line. Closing the gate turns away all that wait, including one that was just admitted and has not been sent; requests
in flight are released as usual.

What an attempt cost is recorded before its permit is released: `release` takes the number of that record, and passes it
to the policies.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from batchchat.core.attempt import Action, Attempt, MaxUsage
from batchchat.policy.decision import ADMIT, Admit, Delay, Halt, Policy

__all__ = ["NEW_ROWS_PER_RETRY", "Closed", "Gate"]

NEW_ROWS_PER_RETRY = 7
_RETRY = Action.RETRY  # a member of an enum takes 0.1 µs to look up in Python 3.11

_Line = deque[tuple["asyncio.Future[bool]", MaxUsage]]
"""A waiting request: a future whose result is True once it has a permit, and its maximum usage."""


class Closed(Exception):  # noqa: N818 (a message between tasks, not an error)
    """Nothing more is sent in this run."""


class Gate:
    """asyncio around `policies`. `stopped` is called once with the first `Halt` a policy answers."""

    def __init__(self, policies: Sequence[Policy], clock: Callable[[], float], stopped: Callable[[Halt], None]) -> None:
        self._policies = tuple(policies)
        self._clock = clock
        self._stopped = stopped
        self._again: _Line = deque()
        self._fresh: _Line = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._serving = False
        self._closed = False
        self._failures = 0  # consecutive
        self.in_flight = 0
        self.max_in_flight = 0

    async def acquire(self, max_usage: MaxUsage, *, again: bool = False) -> None:
        """Wait until a request may be sent; `again` for a retry. Raises `Closed`."""
        if self._closed:
            raise Closed
        line = self._again if again else self._fresh
        if not self._again and (again or not self._fresh) and self._let_in(max_usage):
            return
        await self._wait(line, max_usage)
        self._check_open(max_usage)

    def release(self, max_usage: MaxUsage, attempt: Attempt | None, record: int | None = None) -> None:
        """The request that was admitted with `max_usage` ended; the next in line goes soon.

        `attempt` is None where we cancelled it; `record` is the number of the journal's record that tells of it, None
        where it cost nothing and has no record.
        """
        now = self._clock()
        for policy in self._policies:
            policy.release(now, max_usage, attempt, record)
        self.in_flight -= 1
        if attempt is not None:
            self._failures = self._failures + 1 if attempt.verdict.action is _RETRY else 0
        if (self._again or self._fresh) and not self._serving:
            self._serving = True
            asyncio.get_running_loop().call_soon(self._serve)

    @property
    def waiting(self) -> int:
        """How many requests wait for a permit."""
        return len(self._again) + len(self._fresh)

    def recheck(self) -> None:
        """A policy may decide otherwise now, though no request was released."""
        if self._again or self._fresh:
            self._serve()

    def close(self) -> None:
        """Admit no more requests."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for line in (self._again, self._fresh):
            for waiter, _ in line:
                if not waiter.done():
                    waiter.set_result(False)
            line.clear()

    def _let_in(self, max_usage: MaxUsage) -> bool:
        """Acquire a permit if all policies admit now; else set a timer to check again. True if it was acquired."""
        now = self._clock()
        for policy in self._policies:
            decision = policy.check(now, max_usage)
            if decision is not ADMIT and not isinstance(decision, Admit):
                self._refuse(decision)
                return False
        for policy in self._policies:
            policy.acquire(now, max_usage)
        self.in_flight += 1
        if self.in_flight > self.max_in_flight:  # noqa: PLR1730 (once a request, and `max` takes three times as long)
            self.max_in_flight = self.in_flight
        return True

    def _refuse(self, decision: Delay | Halt) -> None:
        if isinstance(decision, Halt):
            self.close()
            self._stopped(decision)
        elif decision.seconds is not None:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_later(decision.seconds, self._serve)

    def _serve(self) -> None:
        """Let in from the head of the line as many as may go."""
        self._serving = False
        while line := self._next_line():
            waiter, max_usage = line[0]
            if not waiter.done():  # else its task was cancelled and has not run yet
                if not self._let_in(max_usage):
                    return
                waiter.set_result(True)
            line.popleft()

    def _next_line(self) -> _Line:
        """Retries go before new rows; after a failure, seven new rows go before the next of them."""
        if self._again and self._fresh and self._failures % (1 + NEW_ROWS_PER_RETRY):
            return self._fresh
        return self._again or self._fresh

    def _check_open(self, max_usage: MaxUsage) -> None:
        """The gate may have been closed since the permit was handed over."""
        if self._closed:
            self.release(max_usage, None)
            raise Closed

    async def _wait(self, line: _Line, max_usage: MaxUsage) -> None:
        if self._closed:
            raise Closed
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        line.append((waiter, max_usage))
        try:
            if not await waiter:
                raise Closed
        except asyncio.CancelledError:
            if waiter.cancelled():
                with suppress(ValueError):
                    line.remove((waiter, max_usage))
                self._serve()  # the next request may be smaller
            elif waiter.result():
                self.release(max_usage, None)
            raise
