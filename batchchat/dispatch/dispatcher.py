"""The bounded loop: a fixed number of workers plays scripts, one after the other.

A worker takes a row, sends its request as a plain await and, where that is the end of it, goes on to the next. With the
first failure the row moves to a task of its own, where tenacity drives it: its backoff holds no permit, and new rows
are taken while no more than the number of workers, or eight, are so in recovery. Rows alive are bounded by twice the
workers, whatever the input. When the input is at its end, or the run is stopped, and all rows alive are in flight,
`policy.stragglers` may cut one that hangs.

It knows scripts, attempts and verdicts; nothing of files, HTTP or money.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Protocol

from batchchat.core.attempt import NO_SPEND, Action, Attempt, Outcome, Request, Script, Spend
from batchchat.core.conversation import ErrorKind
from batchchat.dispatch.gate import Closed, Gate
from batchchat.dispatch.in_flight import InFlightAttempts, overdue
from batchchat.policy.circuit_breaker import FAILURES_TO_OPEN
from batchchat.policy.decision import Halt, Policy
from batchchat.policy.failure_streak import FailureStreak
from batchchat.policy.retry import RowStop, RowWait, retrying
from batchchat.policy.stragglers import Overdue, StragglerPolicy

__all__ = ["ENDPOINT_REFUSES", "Dispatcher", "Listener", "RetryPolicies", "Send", "Work"]

ENDPOINT_REFUSES = "endpoint refuses"

_ONCE_ANSWERED = {Action.STOP_UNLESS_ANSWERED: Action.FAIL_ROW, Action.RETRY_IF_ANSWERED: Action.RETRY}

Send = Callable[[Request], Awaitable[Attempt]]
RetryPolicies = Callable[[], tuple[RowStop, RowWait]]


@dataclass(slots=True)
class Work:
    """A row under way, taken at the monotonic time `queued_at`; `spend` includes the attempts of earlier runs."""

    script: Script
    queued_at: float
    spend: Spend = NO_SPEND
    attempts: list[Attempt] = field(default_factory=list)


class Listener(Protocol):
    """Who is told. None of it may block, but `room`."""

    def finished(self, work: Work, outcome: Outcome) -> None:
        """A row came to its end."""

    def tried(self, work: Work, attempt: Attempt) -> None:
        """An attempt did not finish its row; where it was or may have been billed, it must be kept."""

    def cut(self, work: Work, request: Request) -> None:
        """A request was in flight when we cut it off: it may have been billed."""

    def overdue(self, cut: Overdue) -> None:
        """An attempt at the end of the run took too long and is cut off."""

    async def room(self) -> None:
        """Returns when another row may be started."""


class Dispatcher:
    """Plays what `take` gives (None at the end) until that is done or `stop` is called."""

    def __init__(
        self,
        *,
        take: Callable[[], Awaitable[Work | None]],
        send: Send,
        policies: list[Policy],
        retry: RetryPolicies,
        listener: Listener,
        workers: int,
        stop_after_failures: int,
        answered_models: Iterable[str] = (),
        tail: StragglerPolicy | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._take = take
        self._send = send
        self._retry = retry
        self._listener = listener
        self._workers = workers
        self._answered_models = set(answered_models)
        self._alike = FailureStreak(stop_after_failures, answered_before=bool(self._answered_models))
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._recovering = 0
        # A run of few at a time must see as many rows fail as tell of an outage.
        self._most_recovering = max(workers, FAILURES_TO_OPEN)
        self._recovered = asyncio.Event()
        self._stopping = asyncio.Event()
        self._abandoned = False
        self._defect: BaseException | None = None
        self.gate = Gate(policies, clock, self.stop)
        self.flight = InFlightAttempts(
            tail or StragglerPolicy(max_resends=0), clock, self._all_in_flight, listener.overdue
        )
        self.stopped: Halt | None = None

    @property
    def recovering(self) -> int:
        """Rows that failed and are being tried again: in backoff, or in flight once more."""
        return self._recovering

    @property
    def stopping(self) -> bool:
        """Whether nothing more is sent."""
        return self._stopping.is_set()

    async def run(self) -> None:
        """Returns when every row is played, or, after `stop`, when what was in flight has ended.

        Raises what went wrong in ourselves or the listener, after the same. Cancelled, it abandons.
        """
        for _ in range(self._workers):
            self._start(self._worker())
        try:
            await self._idle.wait()
        except asyncio.CancelledError:
            self.abandon()
            await self._idle.wait()
            raise
        finally:
            self.flight.rest()
        if self._defect is not None:
            raise self._defect

    def stop(self, why: Halt | None = None) -> None:
        """Send nothing more; rows in backoff are left unfinished. The first reason stands."""
        if not self._stopping.is_set():
            self.stopped = why
            self._stopping.set()
            self.gate.close()
            self._recovered.set()
            if why is not None:  # a signal's drain has a bound of its own
                self.flight.watch()

    def abandon(self) -> None:
        """Cut off what is in flight; `run` returns as soon as that is done."""
        self.stop()
        self._abandoned = True
        for task in self._tasks:
            task.cancel()

    def _start(self, play: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(play)
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)
        return task

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error: BaseException | None
        if task.cancelled():
            error = None if self._abandoned else RuntimeError("a row was cancelled, and not by us")
        else:
            error = task.exception()
        if error is not None:
            self._defect = self._defect or error
            self.stop()
        if not self._tasks:
            self._idle.set()

    async def _worker(self) -> None:
        with suppress(Closed):
            while not self._stopping.is_set():
                await self._listener.room()
                while self._recovering > self._most_recovering and not self._stopping.is_set():
                    self._recovered.clear()
                    await self._recovered.wait()
                if self._stopping.is_set():
                    return
                if (work := await self._take()) is None:
                    self.flight.watch()
                    return
                await self._play(work)

    def _all_in_flight(self, in_flight: int) -> bool:
        """Whether no worker still takes rows, and no row waits for a permit or in backoff; not in a signal's drain."""
        return in_flight == len(self._tasks) and (self.stopped is not None or not self._stopping.is_set())

    async def _play(self, work: Work) -> None:
        """Send the row's requests until it ends, or until one fails and the row moves to recovery."""
        step = work.script.next(work.attempts)
        while isinstance(step, Request):
            attempt = await self._attempt(work, step)
            if attempt.verdict.action is Action.RETRY:
                # Counted here and not by the task: the worker goes on before that runs.
                self._recovering += 1
                self._start(self._try_again(work, attempt)).add_done_callback(self._recovery_ended)
                return
            work.attempts.append(attempt)
            step = work.script.next(work.attempts)
        self._listener.finished(work, step)
        if (reason := self._alike.add(step)) is not None:
            self.stop(Halt(reason, step.attempt))

    async def _try_again(self, work: Work, failed: Attempt) -> None:
        first: Attempt | None = failed

        async def once_more() -> Attempt:
            # tenacity makes the first attempt at once: that is the one which has failed already.
            nonlocal first, failed
            if first is not None:
                first = None
                return failed
            failed = await self._attempt(work, failed.request, because=failed.verdict.kind)
            return failed

        stop, wait = self._retry()
        with suppress(Closed):
            last: Attempt = await retrying(stop, wait, self._pause)(once_more)
            work.attempts.append(last)
            await self._play(work)

    def _recovery_ended(self, task: asyncio.Task[None]) -> None:  # noqa: ARG002
        self._recovering -= 1
        self._recovered.set()

    async def _attempt(self, work: Work, request: Request, *, because: ErrorKind | None = None) -> Attempt:
        await self.gate.acquire(request.max_usage, again=because is not None)
        if because is not None:
            work.spend = work.spend.with_retry(because)
        attempt = None
        in_flight = self.flight.begin(request.key)
        try:
            attempt = await self._send(request)
        except asyncio.CancelledError:
            if self._abandoned or not in_flight.was_cut():
                self._listener.cut(work, request)
                raise
        finally:
            accepted = attempt is not None and attempt.verdict.action is Action.ACCEPT
            self.flight.end(request.key, attempt if accepted else None)
            self.gate.release(request.max_usage, attempt)
        if attempt is None:
            assert in_flight.cut is not None
            attempt = overdue(request, in_flight.cut)
        attempt = self._judged_in_context(attempt)
        work.spend = work.spend.with_attempt(attempt)
        action = attempt.verdict.action
        if action is Action.RETRY or action is Action.STOP_RUN:
            self._listener.tried(work, attempt)
        if action is Action.STOP_RUN:
            self.stop(Halt(ENDPOINT_REFUSES, attempt))
            raise Closed
        return attempt

    def _judged_in_context(self, attempt: Attempt) -> Attempt:
        """403, 404 and the like stop the run only while this endpoint and model have answered nothing.

        Later a 403 or a 404 speaks of one prompt. A web page, a redirect or a foreign certificate does not, nor a 404
        in words of no endpoint: whoever stands before it for a while must not fail the rows of that while.
        """
        action, model = attempt.verdict.action, attempt.request.model
        if action is Action.ACCEPT:
            self._answered_models.add(model)
        elif (later := _ONCE_ANSWERED.get(action)) is not None:
            resolved = later if model in self._answered_models else Action.STOP_RUN
            return attempt._replace(verdict=replace(attempt.verdict, action=resolved))
        return attempt

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return
        raise Closed
