"""The bounded loop: a fixed number of workers plays scripts, one after the other.

A worker takes a row, sends its request as a plain await and, if that ends the row, takes the next. With the
first failure the row moves to a task of its own, where tenacity drives it: its backoff holds no permit, and new rows
are taken meanwhile. Rows alive are bounded whatever the input (`dispatch.recovery`). A row that is itself the cause of
its refusals is shown to the gate's policies as such (`policy.refused_rows`). When the input is at its end, or the run
is stopped, and all rows alive are in flight, `policy.stragglers` may cut one that hangs.

Of several endpoints each is a lane. Rows belong to none: an attempt goes to the lane that the gate admits it to, a row
that was refused by one waits its backoff for that one alone, and what one can't serve goes to another
(`dispatch.rerouting`). What would stop a run stops the lane, as long as another is in use.

What an attempt cost, or may have cost, is recorded before its permit is released: `AttemptRecorder.attempt` or `row`
gives the number of the record, and the gate passes it to its policies with the release.

It knows scripts, attempts and verdicts; nothing of files, HTTP or money.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from batchchat.core.attempt import Action, Attempt, Outcome, Request, Scope, StreamCancelledError
from batchchat.core.conversation import ErrorKind, Status
from batchchat.dispatch.admission import Admission
from batchchat.dispatch.gate import Closed, Gate, NoLaneError
from batchchat.dispatch.in_flight import InFlightAttempts, overdue_attempt
from batchchat.dispatch.lane import EndpointLane, Lane
from batchchat.dispatch.pause import pause
from batchchat.dispatch.recovery import Recovery
from batchchat.dispatch.task_set import TaskSet
from batchchat.dispatch.work import AttemptRecorder, Observer, Sending, Work
from batchchat.policy.circuit_breaker import FAILURES_TO_OPEN
from batchchat.policy.decision import Halt
from batchchat.policy.failure_streak import FailureStreak
from batchchat.policy.refusal_judge import ENDPOINT_REFUSES, RefusalJudge
from batchchat.policy.retry import retrying

if TYPE_CHECKING:
    from batchchat.dispatch.rerouting import Rerouting

__all__ = ["Dispatcher"]

# A member of an enum takes 0.1 µs to look up in Python 3.11; these are looked up for each row.
_ACCEPT, _RETRY, _STOP_RUN, _ANSWERED = Action.ACCEPT, Action.RETRY, Action.STOP_RUN, Status.ANSWERED


class Dispatcher:
    """Plays what `take` gives (None at the end) until that is done or `stop` is called."""

    def __init__(
        self,
        sending: Sending,
        take: Callable[[], Awaitable[Work | None]],
        recorder: AttemptRecorder,
        observer: Observer,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sending = sending
        self._take = take
        self._recorder = recorder
        self._observer = observer
        self._clock = clock
        self._streak = FailureStreak(
            sending.stop_after_failures, answered_before=bool(sending.answered_models), model=sending.model
        )
        self._tasks = TaskSet(self.stop)
        self._stopping = asyncio.Event()
        self.lanes: Sequence[EndpointLane] = sending.lanes or [_only_lane(sending)]
        shared = sending.policies if sending.lanes else ()
        self.gate = Gate(shared, clock, self.stop, self.lanes, self.retire, line=sending.line(self.lanes))
        self._admission = Admission(self.gate, self.lanes, clock, self._pause)
        self._rerouting = _rerouting_for(sending)
        # Even with few workers, enough rows must fail at once to show an outage.
        self._recovery = Recovery(max(sending.workers, FAILURES_TO_OPEN), clock)
        self.in_flight = InFlightAttempts(sending.stragglers, clock, self._all_in_flight, observer.overdue)
        self.stopped: Halt | None = None

    @property
    def recovering(self) -> int:
        """Rows that failed and are being tried again: in backoff, or in flight again."""
        return self._recovery.rows

    @property
    def stopping(self) -> bool:
        """Whether nothing more is sent."""
        return self._stopping.is_set()

    async def run(self) -> None:
        """Returns when every row is played, or, after `stop`, when what was in flight has ended.

        Raises what went wrong in ourselves, the recorder or the observer, after the same. Cancelled, it abandons.
        """
        for _ in range(self._sending.workers):
            self._tasks.start(self._worker())
        try:
            await self._tasks.ended()
        except asyncio.CancelledError:
            self.abandon()
            await self._tasks.ended()
            raise
        finally:
            self.in_flight.unwatch()
        self._tasks.raise_defect()

    def stop(self, why: Halt | None = None) -> None:
        """Send nothing more; rows in backoff are left unfinished. Only the first reason counts."""
        if not self._stopping.is_set():
            self.stopped = why
            self._stopping.set()
            self.gate.close()
            self._recovery.wake()
            if why is not None:  # a signal's drain has a bound of its own
                self.in_flight.watch()

    def retire(self, lane: Lane, why: Halt) -> None:
        """Send nothing more to `lane`. Where no other is in use, that stops the run."""
        if lane.halt is not None or self._stopping.is_set():
            return
        if len(self.lanes) == 1:
            self.stop(why)
            return
        lane.halt = why._replace(endpoint=lane.name)
        halts = [member.halt for member in self.lanes if member.halt is not None]
        if len(halts) == len(self.lanes):
            self.stop(lane.halt._replace(others=tuple(halt for halt in halts if halt is not lane.halt)))
        else:
            self.gate.turn_away_unservable()
            asyncio.get_running_loop().call_soon(self.gate.recheck)

    def abandon(self) -> None:
        """Cancel what is in flight; `run` returns as soon as that is done."""
        self.stop()
        self._tasks.cancel()

    async def _worker(self) -> None:
        with suppress(Closed):
            while not self._stopping.is_set():
                await self._recorder.room()
                while self._recovery.is_full() and not self._stopping.is_set():
                    await self._recovery.changed()
                await self.gate.room()
                if self._stopping.is_set():
                    return
                if (work := await self._take()) is None:
                    self.in_flight.watch()
                    return
                await self._play(work)

    def _all_in_flight(self, in_flight: int) -> bool:
        """Whether no worker still takes rows, and no row waits for a permit or in backoff; not in a signal's drain."""
        return in_flight == len(self._tasks) and (self.stopped is not None or not self._stopping.is_set())

    async def _play(self, work: Work) -> None:
        """Send the row's requests until it ends, or until one fails and the row moves to recovery."""
        if work.step is None:
            work.step = work.script.next(work.attempts)
            if not isinstance(work.step, Request):  # an earlier run had answered all but its end
                self._recorder.row(work, work.step)
                self._observe_end(work)
        while isinstance(work.step, Request):
            attempt = await self._attempt(work, work.step)
            if attempt.verdict.action is _RETRY:
                # Counted here and not by the task: the worker continues before that runs.
                size = len(attempt.request.body)
                self._recovery.begin(size)
                self._tasks.start(self._recover(work, attempt)).add_done_callback(partial(self._recovery.end, size))
                return

    async def _recover(self, work: Work, failed: Attempt) -> None:
        """Try the request of `failed` again until it is accepted or the row is given up, then play on."""
        first: Attempt | None = failed

        async def once_more() -> Attempt:
            # tenacity makes the first attempt at once: that is the one which has failed already.
            nonlocal first, failed
            if first is not None:
                first = None
                return failed
            try:
                failed = await self._attempt(work, failed.request, because=failed.verdict.kind)
            except NoLaneError:
                from batchchat.dispatch.rerouting import given_up

                failed = given_up(failed)
            if failed.verdict.action is _RETRY:
                self._recovery.count_failure()
            return failed

        async def rest(seconds: float) -> None:
            await self._admission.rest(work, failed, seconds)

        stop, wait = self._sending.retry()
        if work.stop is None:
            stop.count_earlier(work.history.billed)
            work.stop = stop
        with suppress(Closed):
            last: Attempt = await retrying(work.stop, wait, rest)(once_more)
            if not work.attempts or work.attempts[-1] is not last:  # given up: that ends the row
                if self._rerouting is not None and work.refusals:
                    last = self._rerouting.failed(work, last)
                self._advance(work, last)
                self._observe_end(work)
            await self._play(work)

    async def _attempt(self, work: Work, request: Request, *, because: ErrorKind | None = None) -> Attempt:
        """Send `request`, `because` an attempt before failed so. What it cost is recorded before its permit is free."""
        lane = await self._admission.acquire(work, request, again=because is not None)
        work.lane = lane
        if because is not None or work.history.billed:
            await self._begin_again(work, request, because)
        sent = number = raw = None
        serial = lane.refused_rows.sent(again=because is not None and lane in work.failed_at)
        in_flight = self.in_flight.begin(request.key, work.limit_of_next)
        try:
            try:
                sent = await lane.send(request)
            except asyncio.CancelledError as cancelled:
                raw = cancelled.raw if isinstance(cancelled, StreamCancelledError) else None
                if self._tasks.cancelled or not in_flight.was_overdue():
                    raise
            if sent is not None:
                attempt = lane.judge.judge(self._clock(), sent)
            else:
                assert in_flight.overdue is not None
                attempt = overdue_attempt(request, in_flight.overdue)._replace(raw=raw, endpoint=work.endpoint)
            judged = attempt
            attempt = judged if self._rerouting is None else self._rerouting.of(work, lane, judged)
            action = attempt.verdict.action
            if action is _RETRY and lane not in work.failed_at:
                work.failed_at |= {lane}
            work.spend = work.spend.with_attempt(attempt)
            if action is _RETRY or action is _STOP_RUN:
                number = self._recorder.attempt(work, attempt)
            else:
                number = self._advance(work, attempt)
        except BaseException:  # cancelled, so that nobody knows what it cost; or a defect, and its cost must be kept
            number = (
                self._recorder.cancelled(work, request, raw) if sent is None else self._recorder.attempt(work, sent)
            )
            raise
        finally:
            accepted = sent if sent is not None and sent.verdict.action is _ACCEPT else None
            self.in_flight.end(request.key, accepted)
            self.gate.release(request.max_usage, lane.refused_rows.settled(serial, sent), number, lane)
        # Looked at once it is recorded: what an observer makes of it can't lose it.
        if action is not _ACCEPT:
            attempt = self._look_at_failure(work, lane, judged, attempt)
        if action is not _RETRY:
            self._observe_end(work)
        return attempt

    async def _begin_again(self, work: Work, request: Request, because: ErrorKind | None) -> None:
        """A row is sent again. Where it may have been billed before, the journal knows it first: a kill then counts."""
        if work.may_have_been_billed:
            try:
                await self._recorder.sending(work, request)
            except BaseException:
                self.gate.release(request.max_usage, None, lane=work.lane)
                raise
        if because is not None:
            work.spend = work.spend.with_retry(because)

    def _look_at_failure(self, work: Work, lane: EndpointLane, judged: Attempt, attempt: Attempt) -> Attempt:
        """Tell the observer of `attempt`, which the judge had as `judged`; stop the lane where that stops it.

        Returns what the row's next step goes by. Raises `Closed` where the run stops for it: its row has no end.
        """
        self._observer.failed(attempt)
        halt = lane.judge.verdict_on_open()
        if judged.verdict.action is _STOP_RUN:
            halt = Halt(ENDPOINT_REFUSES, judged)
        if halt is not None:
            self.retire(lane, halt)
        if attempt.verdict.action is _STOP_RUN:
            raise Closed
        if lane.streak is None or self._rerouting is None:
            return attempt
        if attempt.verdict.elsewhere:
            self._count_at_lane(lane, lane.streak, work, self._rerouting.failure_at_lane(work, judged))
        elif attempt.verdict.action is _RETRY and attempt.verdict.scope is Scope.ENDPOINT and not attempt.may_be_billed:
            why = lane.refused_rows.cause(attempt.request.key)
            return attempt if why is None else self._rerouting.of_cause(work, lane, attempt, why)
        return attempt

    def _count_at_lane(self, lane: Lane, streak: FailureStreak, work: Work, outcome: Outcome) -> None:
        """Stop a lane at which one row too many failed alike, whether others serve those or not."""
        if (reason := streak.add(outcome, failed_before=work.history.failed)) is not None:
            self.retire(lane, Halt(reason, outcome.attempt._replace(failure=outcome.reason)))

    def _advance(self, work: Work, attempt: Attempt) -> int | None:
        """Give the script `attempt`, which was accepted or failed for good; the number of the record of it."""
        work.attempts.append(attempt)
        step = work.step = work.script.next(work.attempts)
        if not isinstance(step, Request):
            return self._recorder.row(work, step)
        if attempt.verdict.action is _ACCEPT:  # else the same is sent in another form
            work.spend = work.spend.with_next_request(attempt.usage)
        return self._recorder.attempt(work, attempt)

    def _observe_end(self, work: Work) -> None:
        """Look at how a row ended, where it has; stop where it is one too many that failed alike."""
        step = work.step
        if not isinstance(step, Outcome):
            return
        if step.status is _ANSWERED:
            self._recovery.count_answer()
            self._observer.answered(step)
        if (reason := self._streak.add(step, failed_before=work.history.failed)) is not None:
            # What failed the row need not be the attempt's own failure: an accepted reply can be refused by the script.
            self.stop(Halt(reason, step.attempt._replace(failure=step.reason)))
        if isinstance(work.lane, EndpointLane) and work.lane.streak is not None:
            self._count_at_lane(work.lane, work.lane.streak, work, step)

    async def _pause(self, seconds: float) -> None:
        if await pause(seconds, self._stopping):
            raise Closed


def _rerouting_for(sending: Sending) -> Rerouting | None:
    """What becomes of what one of several endpoints refused; None where the run has but one."""
    if not sending.lanes:
        return None
    from batchchat.dispatch.rerouting import Rerouting

    return Rerouting(sending.lanes)


def _only_lane(sending: Sending) -> EndpointLane:
    """The lane of a run that goes to one endpoint."""
    assert sending.send is not None
    judge = RefusalJudge(sending.model, sending.answered_models)
    return EndpointLane(sending.policies, send=sending.send, judge=judge, refused_rows=sending.refused_rows)
