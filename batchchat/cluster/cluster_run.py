"""The sending part of a run with workers: what each is assigned, and what is made of all they say and write."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from batchchat.cluster.assigner import Assigner
from batchchat.cluster.assignment import WorkerEnd, WorkerMark
from batchchat.cluster.crew import Crew, CrewPlan
from batchchat.cluster.follower import JournalFollower
from batchchat.cluster.handout import Handout
from batchchat.cluster.lessor import LeaseTerms, Lessor
from batchchat.cluster.local import WorkerHandle
from batchchat.cluster.news import WorkerNews
from batchchat.cluster.progress import ClusterProgress
from batchchat.cluster.run_streak import RunStreak
from batchchat.core.conversation import ErrorKind, Status
from batchchat.core.events import Draining
from batchchat.core.record import key_of
from batchchat.errors import BatchchatError, MachineError
from batchchat.execution.context import RunContext
from batchchat.execution.exit_reason import RunLoopResult
from batchchat.execution.feed import Feed
from batchchat.execution.finished_rows import FinishedRows
from batchchat.execution.recorder import Recorder
from batchchat.execution.scripts import scripts_for
from batchchat.execution.send_plan import SendPlan
from batchchat.execution.send_rows import end_feed, feed_of
from batchchat.job import JobSpec
from batchchat.job.cluster import partition_count, worker_count
from batchchat.policy.circuit_breaker import OUTAGE
from batchchat.policy.decision import Halt
from batchchat.store.segment_file import WAY_OUT
from batchchat.store.segments import segment_of, segment_path

__all__ = ["ClusterRun"]

_TICK_S = 0.2
_TICKS_TO_INTRUSION = 50
"""A segment that no worker has told of for ten seconds is another run's."""
_ONCE_ANSWERED = {ErrorKind.FORBIDDEN, ErrorKind.NOT_FOUND, ErrorKind.BAD_RESPONSE}
"""Refusals that stop a run only while the endpoint and model have answered nothing."""


class ClusterRun:
    """Has `rows` sent by as many workers as the context's job says. What comes of it is added to `result`.

    `send` is called once; `apply_own` takes in the records that the run itself writes in the journal.
    """

    def __init__(self, context: RunContext, folder: Path, rows: SendPlan, result: RunLoopResult) -> None:
        job, terms = context.job, rows.terms
        self._context = context
        self._folder = folder
        self._rows = rows
        self._result = result
        self._finished = FinishedRows(terms.ledger, terms.outdated, context.tell, terms.undecided)
        self._news = WorkerNews(context.tell, terms.rates.learn)
        self._assigner: Assigner | None = None
        self._crew: Crew | None = None
        self._handout: Handout | None = None
        self._follower = JournalFollower(folder, self._apply)
        self._streak = RunStreak(
            job.retry.stop_after_failures,
            answered_before=bool(terms.ledger.answered_models.get(job.host)),
            model=job.model if len(job.models) == 1 else None,
            halt=self._halt,
        )
        self._is_draining = False

    def apply_own(self, location: int, record: Any) -> None:
        """Apply the synced `record` at `location` in the journal, which the run has written."""
        self._follower.add_own(segment_of(location))
        self._finished.apply(location, record)

    def _apply(self, location: int, record: Any) -> None:
        """Apply the synced `record` at `location` in the journal, which a worker has written."""
        if record["kind"] != "row":
            self._finished.apply(location, record)
            return
        key, index = key_of(record), self._rows.terms.ledger.index
        failed_before = index.status(index.add(key)) == Status.FAILED
        self._finished.apply(location, record)
        self._streak.add(record, failed_before=failed_before)
        if self._handout is not None:
            self._handout.finished(key)

    async def send(
        self, start: Callable[[WorkerMark], Coroutine[None, None, WorkerHandle]], recorder: Recorder
    ) -> Feed:
        """Send the rows by workers, each of which `start` starts; `recorder` has the run's own part of the journal.

        Returns the feed, which knows what was read.
        """
        context, rows, terms, job = self._context, self._rows, self._rows.terms, self._context.job
        lessor, base = _lessor_for(job), self._follower.begin()
        workers = worker_count(job.cluster, job.workers, job.concurrency)
        partitions = partition_count(job.cluster, workers)
        assigner = self._assigner = Assigner(context, terms, self._folder, base, workers=workers, lessor=lessor)
        scripts = scripts_for(job, terms.rates)
        feed = feed_of(rows, job, scripts, recorder)
        handout = self._handout = Handout(feed, partitions, workers, recorder.room)
        progress = ClusterProgress(job, self._finished, self._news, context.tell, feed=feed, limit=terms.limit)
        plan = CrewPlan(partitions, workers, start, assigner.assign, self._is_of_one, job.drain, terms.stop_at)
        crew = self._crew = Crew(
            plan,
            lessor,
            self._follower,
            news=self._news,
            handout=handout,
            signals=context.signals,
            ended=self._take_in,
        )
        result, finished = self._result, self._finished
        await self._run_crew(crew, recorder, progress)
        try:
            await recorder.settled()
            await end_feed(feed, rows, scripts, recorder, lambda: context.signals.received is not None)
        except BatchchatError as error:
            result.error = result.error or error
        progress.report()
        result.stop = crew.halted or result.stop
        result.elapsed_s, result.left = progress.elapsed_s, progress.left()
        result.estimated_total = progress.estimated_total()
        result.rows, result.outdated, result.count = finished.rows, finished.outdated, finished.count
        return feed

    async def _run_crew(self, crew: Crew, recorder: Recorder, progress: ClusterProgress) -> None:
        """Returns once all workers have ended."""
        ticking = asyncio.create_task(self._tick(crew, recorder, progress))
        try:
            with self._context.signals.listening(self._signalled):
                await crew.run()
        finally:
            ticking.cancel()
            with suppress(asyncio.CancelledError):
                await ticking
            self._rows.terms.ledger.end_session()  # workers that were killed had requests in flight

    def _take_in(self, end: WorkerEnd) -> None:
        """A partition has come to its `end`: what that says of the run."""
        result = self._result
        result.stop = result.stop or end.halt
        result.error = result.error or end.error
        result.cancelled += end.cancelled

    def _halt(self, halt: Halt) -> None:
        if self._crew is not None:
            self._crew.halt(halt)
            self._tell_draining(halt.reason, self._context.job.timeout.total)

    def _is_of_one(self, halt: Halt) -> bool:
        """Whether only the worker that halts has that reason: others are answered, or were."""
        if halt.reason == OUTAGE:
            return bool(self._news.latest) and not self._news.is_down
        if (attempt := halt.attempt) is None or self._assigner is None:
            return False
        return attempt.verdict.kind in _ONCE_ANSWERED and attempt.request.model in self._assigner.answered_models

    async def _tick(self, crew: Crew, recorder: Recorder, progress: ClusterProgress) -> None:
        """Tell where the run stands, and look for another run that goes on with the same rows."""
        unknown = Counter[int]()
        while True:
            progress.report()
            unknown = Counter({number: unknown[number] + 1 for number in self._follower.unknown()})
            if not crew.stopping and (error := self._intrusion(recorder, unknown)) is not None:
                self._result.error = error
                crew.drain()
                self._tell_draining(str(error), self._context.job.drain)
            await asyncio.sleep(_TICK_S)

    def _intrusion(self, recorder: Recorder, unknown: Mapping[int, int]) -> BatchchatError | None:
        """The error that another process goes on with the run; `unknown` segments were seen so often."""
        number = next((number for number, ticks in unknown.items() if ticks > _TICKS_TO_INTRUSION), None)
        if number is None:
            return recorder.intrusion
        return MachineError(
            f"another process has begun {segment_path(self._folder, number)}, while this run goes on. Every row"
            f" reported as done is kept. {WAY_OUT}"
        )

    def _signalled(self) -> None:
        self._tell_draining(self._context.signals.name, self._context.job.drain, by_signal=True)

    def _tell_draining(self, reason: str, wait_s: float, *, by_signal: bool = False) -> None:
        """Once, where requests in flight are waited for."""
        in_flight = sum(progress.in_flight for progress in self._news.latest.values())
        if not self._is_draining and (in_flight or by_signal):
            self._is_draining = True
            self._context.tell(Draining(reason, in_flight, wait_s, by_signal=by_signal))


def _lessor_for(job: JobSpec) -> Lessor:
    terms = LeaseTerms(
        slots=job.concurrency,
        attempt_s=job.timeout.total,
        requests_per_minute=job.limits.requests_per_minute,
        tokens_per_minute=job.limits.tokens_per_minute,
        max_cost_usd=job.budget.max_cost,
    )
    return Lessor(terms)
