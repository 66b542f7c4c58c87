"""The gate: the semaphore whose size can move. One permit is one attempt; a permit is never held during backoff.

A permit is for one endpoint: it is acquired from all policies of its lane and from those of the run, or from none.
Which of the waiting requests goes next, and to which lane, is said by `dispatch.request_line`. A released permit goes
to the first in line. Closing the gate turns away all that wait, including one that was just admitted and has not been
sent; requests in flight are released as usual.

What an attempt cost is recorded before its permit is released: `release` takes the number of that record, and passes it
to the policies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from batchchat.core.attempt import Attempt, MaxUsage, Request
from batchchat.dispatch.lane import Lane
from batchchat.dispatch.request_line import NEW_ROWS_PER_RETRY, NO_LANES, RequestLine, Waiter
from batchchat.policy.decision import ADMIT, Admit, Delay, Halt, Policy

__all__ = ["NEW_ROWS_PER_RETRY", "Closed", "Gate", "NoLaneError"]


class Closed(Exception):  # noqa: N818 (a message between tasks, not an error)
    """Nothing more is sent in this run."""


class NoLaneError(Exception):
    """No endpoint in use may serve the request."""


class Gate:
    """asyncio around `policies`, and around those of each of `lanes`.

    `stopped` is called once with the first `Halt` that one of `policies` answers, `retired` with a lane and the `Halt`
    that one of its own answers. `line` has the requests that wait.
    """

    def __init__(
        self,
        policies: Sequence[Policy],
        clock: Callable[[], float],
        stopped: Callable[[Halt], None],
        lanes: Sequence[Lane] = (),
        retired: Callable[[Lane, Halt], None] = lambda _lane, _halt: None,
        *,
        line: RequestLine | None = None,
    ) -> None:
        self._policies = tuple(policies)
        self._clock = clock
        self._stopped = stopped
        self._retired = retired
        self._lanes = lanes or (Lane(),)
        self._line = RequestLine(self._lanes) if line is None else line
        self._timer: asyncio.TimerHandle | None = None
        self._room = asyncio.Event()
        self._serving = False
        self._closed = False
        self.in_flight = 0
        self.max_in_flight = 0

    async def acquire(
        self,
        max_usage: MaxUsage,
        *,
        again: bool = False,
        excluded: frozenset[Lane] = NO_LANES,
        request: Request | None = None,
    ) -> Lane:
        """Wait until a request may be sent, `again` for a retry; the lane it goes to, which is none of `excluded`.

        Raises `Closed`, or `NoLaneError` where all lanes in use are excluded.
        """
        if self._closed:
            raise Closed
        waiter = Waiter(max_usage, again, excluded, request)
        if excluded and not self._line.lanes_for(waiter):
            raise NoLaneError
        lanes = self._line.lanes_at_once(waiter)
        if lanes and (lane := self._let_in(max_usage, lanes)) is not None:
            self._line.admitted(waiter, lane)
            return lane
        lane = await self._wait(waiter)
        self._check_open(max_usage, lane)
        return lane

    def release(
        self, max_usage: MaxUsage, attempt: Attempt | None, record: int | None = None, lane: Lane | None = None
    ) -> None:
        """The request that was admitted to `lane` with `max_usage` ended; the next in line goes soon.

        `attempt` is None where we cancelled it; `record` is the number of the journal's record that tells of it, None
        where it cost nothing and has no record. A gate with one lane needs no `lane`.
        """
        now, lane = self._clock(), lane or self._lanes[0]
        for policy in lane.policies:
            policy.release(now, max_usage, attempt, record)
        for policy in self._policies:
            policy.release(now, max_usage, attempt, record)
        self.in_flight -= 1
        lane.in_flight -= 1
        self._line.count_end(lane, attempt)
        if not self._serving and len(self._line):
            self._serving = True
            asyncio.get_running_loop().call_soon(self._serve)

    @property
    def waiting(self) -> int:
        """How many requests wait for a permit."""
        return len(self._line)

    def recheck(self) -> None:
        """A policy may decide otherwise now, though no request was released."""
        if len(self._line):
            self._serve()

    def lane_left(self, lane: Lane) -> None:
        """`lane` is none of `lanes` any more; requests in flight there are released as usual."""
        self._line.forget(lane)
        self.recheck()

    def turn_away_unservable(self) -> None:
        """A lane was taken out of use: requests that no other may serve wait no more."""
        for waiter in self._line.unservable():
            if waiter.admitted is not None and not waiter.admitted.done():
                waiter.admitted.set_result(None)

    async def room(self) -> None:
        """Returns when another row may be taken to wait here, or the gate is closed."""
        while self._line.is_full and not self._closed:
            self._room.clear()
            await self._room.wait()

    def close(self) -> None:
        """Admit no more requests."""
        self._closed = True
        self._room.set()
        if self._timer is not None:
            self._timer.cancel()
        for waiter in self._line.clear():
            if waiter.admitted is not None and not waiter.admitted.done():
                waiter.admitted.set_result(None)

    def _let_in(self, max_usage: MaxUsage, lanes: Sequence[Lane]) -> Lane | None:
        """Acquire a permit of the first of `lanes` whose policies admit now, and return that lane.

        Else None, and a timer is set to check again.
        """
        now, wait_s = self._clock(), None
        for lane in lanes:
            decision = _refusal(lane.policies, now, max_usage)
            if decision is None:
                decision = _refusal(self._policies, now, max_usage)
                if decision is None:
                    self._take(lane, now, max_usage)
                    return lane
                if isinstance(decision, Halt):
                    self.close()
                    self._stopped(decision)
                    return None
                wait_s = _sooner(wait_s, decision)
                break  # what holds the run holds all lanes
            if isinstance(decision, Halt):
                self._retired(lane, decision)
                if self._closed:
                    return None
            else:
                wait_s = _sooner(wait_s, decision)
        if wait_s is not None:
            self._check_again_in(wait_s)
        return None

    def _check_again_in(self, wait_s: float) -> None:
        """Serve those that wait after `wait_s` seconds, or earlier where a timer is set for that already."""
        loop, timer = asyncio.get_running_loop(), self._timer
        if timer is not None:
            if loop.time() < timer.when() <= loop.time() + wait_s and not timer.cancelled():
                return
            timer.cancel()
        self._timer = loop.call_later(wait_s, self._serve)

    def _take(self, lane: Lane, now: float, max_usage: MaxUsage) -> None:
        for policy in lane.policies:
            policy.acquire(now, max_usage)
        for policy in self._policies:
            policy.acquire(now, max_usage)
        lane.in_flight += 1
        self.in_flight += 1
        if self.in_flight > self.max_in_flight:  # noqa: PLR1730 (once a request, and `max` takes three times as long)
            self.max_in_flight = self.in_flight

    def _serve(self) -> None:
        """Let in as many of those that wait as may go."""
        self._serving = False
        while not self._closed and self._serve_next():
            pass

    def _serve_next(self) -> bool:
        """Let in the first that may go; False where none may."""
        for waiter, lanes in self._line.candidates():
            admitted = waiter.admitted
            assert admitted is not None
            if admitted.done():  # its task was cancelled and has not run yet
                self._line.remove(waiter)
                return True
            lane = self._let_in(waiter.max_usage, lanes)
            if self._closed:
                return False
            if lane is not None:
                admitted.set_result(lane)
                self._line.remove(waiter)
                self._line.admitted(waiter, lane)
                self._room.set()
                return True
        return False

    def _check_open(self, max_usage: MaxUsage, lane: Lane) -> None:
        """The gate may have been closed since the permit was handed over."""
        if self._closed:
            self.release(max_usage, None, lane=lane)
            raise Closed

    async def _wait(self, waiter: Waiter) -> Lane:
        if self._closed:
            raise Closed
        admitted = waiter.admitted = asyncio.get_running_loop().create_future()
        self._line.add(waiter)
        try:
            lane: Lane | None = await admitted
        except asyncio.CancelledError:
            if admitted.cancelled():
                with suppress(ValueError):
                    self._line.remove(waiter)
                self._serve()  # the next request may be smaller
            elif (lane := admitted.result()) is not None:
                self.release(waiter.max_usage, None, lane=lane)
            raise
        if lane is None:
            raise Closed if self._closed else NoLaneError
        return lane


def _refusal(policies: Sequence[Policy], now: float, max_usage: MaxUsage) -> Delay | Halt | None:
    """What the first of `policies` that does not admit a request says; None where all admit it."""
    for policy in policies:
        decision = policy.check(now, max_usage)
        if decision is not ADMIT and not isinstance(decision, Admit):
            return decision
    return None


def _sooner(wait_s: float | None, decision: Delay) -> float | None:
    if wait_s is None or decision.seconds is None:
        return wait_s if decision.seconds is None else decision.seconds
    return min(wait_s, decision.seconds)
