"""The sending part of a run with workers: what each is assigned, and what is made of all they say and write."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from batchchat.cluster.assignment import Assignment, WorkerEnd, WorkerMark
from batchchat.cluster.crew import Crew, CrewPlan
from batchchat.cluster.follower import JournalFollower
from batchchat.cluster.input_read import InputRead
from batchchat.cluster.lessor import LeaseTerms, Lessor
from batchchat.cluster.local import WorkerHandle
from batchchat.cluster.news import WorkerNews
from batchchat.cluster.progress import ClusterProgress
from batchchat.cluster.row_quota import RowQuota
from batchchat.cluster.run_streak import RunStreak
from batchchat.cluster.spent import NOTHING_SPENT, Spent
from batchchat.core.conversation import ErrorKind, Status
from batchchat.core.events import Draining
from batchchat.core.record import key_of
from batchchat.core.shard import Shard
from batchchat.errors import BatchchatError, MachineError
from batchchat.execution.context import RunContext
from batchchat.execution.exit_reason import RunLoopResult
from batchchat.execution.finished_rows import FinishedRows
from batchchat.execution.send_plan import SendPlan
from batchchat.job import JobSpec
from batchchat.job.cluster import RAY, partition_count, worker_count
from batchchat.job.spec import AUTO
from batchchat.policy.circuit_breaker import OUTAGE
from batchchat.policy.decision import Halt
from batchchat.sources import Source
from batchchat.store.segment_file import WAY_OUT
from batchchat.store.segments import segment_path, segments

__all__ = ["ClusterRun"]

_TICK_S = 0.2
_TICKS_TO_INTRUSION = 50
"""A segment that no worker has told of for ten seconds is another run's."""
_ONCE_ANSWERED = {ErrorKind.FORBIDDEN, ErrorKind.NOT_FOUND, ErrorKind.BAD_RESPONSE}
"""Refusals that stop a run only while the endpoint and model have answered nothing."""
_NEVER = 1 << 62


class ClusterRun:
    """Has `rows` sent by as many workers as the context's job says. What comes of it is added to `result`.

    `send` is called once; `apply` takes in the records of the journal. `input` is what was read.
    """

    def __init__(self, context: RunContext, folder: Path, rows: SendPlan, result: RunLoopResult) -> None:
        job = context.job
        self._context = context
        self._folder = folder
        self._rows = rows
        self._result = result
        self._workers = worker_count(job.cluster, job.workers, job.concurrency)
        self._shards = partition_count(job.cluster, self._workers)
        self._finished = FinishedRows(rows.ledger, rows.outdated, context.tell, rows.undecided)
        self._news = WorkerNews(context.tell)
        self._base = list[int]()
        self._spent = NOTHING_SPENT
        self._counting: int | None = None
        """The shard whose worker counts what earlier sessions have spent."""
        self._lessor = _lessor_for(job)
        self._crew: Crew | None = None
        self._streak = RunStreak(
            job.retry.stop_after_failures,
            answered_before=bool(rows.ledger.answered_models.get(job.host)),
            model=job.model if len(job.models) == 1 else None,
            halt=self._halt,
        )
        self._is_draining = False
        self.input = InputRead(self._shards)

    def apply(self, location: int, record: Any) -> None:
        """Apply the synced `record` at `location` in the journal."""
        if record["kind"] != "row":
            self._finished.apply(location, record)
            return
        index = self._rows.ledger.index
        entry = index.add(key_of(record))
        failed_before = index.status(entry) == Status.FAILED
        self._finished.apply(location, record)
        self._streak.add(record, failed_before=failed_before)

    async def send(self, start: Callable[[WorkerMark], Coroutine[None, None, WorkerHandle]]) -> None:
        """Send the rows by workers, each of which `start` starts."""
        context, rows, job = self._context, self._rows, self._context.job
        self._base, self._spent = segments(self._folder), Spent(rows.ledger.paid_usd, rows.ledger.uncertain_cost)
        follower = JournalFollower(self._folder, self._base, self.apply)
        progress = ClusterProgress(
            job, self._finished, self._news, context.tell, total=self._total(), shards=self._shards, limit=rows.limit
        )

        def ended(number: int, end: WorkerEnd) -> None:
            progress.count_shard(number, end.total, estimated=end.is_estimated)
            if end.input_rows is not None:
                progress.count_input(end.input_rows * job.variants * job.samples)
            self._take_in(number, end)

        plan = CrewPlan(self._shards, self._workers, start, self._assignment, self._is_of_one, job.drain)
        quota = None if rows.limit is None else RowQuota(rows.limit, self._workers)
        crew = self._crew = Crew(
            plan, self._lessor, follower, news=self._news, quota=quota, signals=context.signals, ended=ended
        )
        ticking = asyncio.create_task(self._tick(crew, follower, progress))
        try:
            with context.signals.listening(self._signalled):
                await crew.run()
        finally:
            ticking.cancel()
            with suppress(asyncio.CancelledError):
                await ticking
            rows.ledger.end_session()  # workers that were killed had requests in flight
        progress.report()
        result, finished = self._result, self._finished
        result.stop = crew.halted or result.stop
        result.elapsed_s, result.left = progress.elapsed_s, progress.left()
        result.estimated_total = progress.estimated_total()
        result.rows, result.outdated, result.count = finished.rows, finished.outdated, finished.count

    def _total(self) -> int | None:
        """The rows of the input, where that is known before it is read."""
        rows, job = self._rows, self._context.job
        if rows.counted is not None or rows.source.rows_total is None:
            return rows.counted
        return rows.source.rows_total * job.variants * job.samples

    def _spent_before(self, number: int) -> Spent:
        """What the worker of the shard `number` counts of earlier sessions: that of the first to be started all."""
        if self._counting is None:
            self._counting = number
            self._lessor.expect(str(number))
        return self._spent if number == self._counting else NOTHING_SPENT

    def _assignment(self, mark: WorkerMark, own: Sequence[int]) -> Assignment:
        """What the worker of `mark` is to do, whose shard has the segments `own` behind those of the base."""
        context, rows = self._context, self._rows
        return Assignment(
            job=_of_one(context.job, self._workers),
            rates=rows.rates,
            rules=rows.rules,
            folder=self._folder,
            base=self._base,
            own=own,
            shard=Shard(mark.number, self._shards, by_request=_may_share(context.job, rows.source)),
            mark=mark,
            environ=None if context.job.cluster.engine == RAY else dict(context.environ),
            is_limited=rows.limit is not None,
            stop_at=rows.stop_at,
            spent_before=self._spent_before(mark.number),
            answered_models=self._answered_models,
        )

    @property
    def _answered_models(self) -> frozenset[str]:
        return frozenset(self._rows.ledger.answered_models.get(self._context.job.host, ()))

    def _take_in(self, number: int, end: WorkerEnd) -> None:
        """The shard `number` has ended: what that says of the run."""
        result, rates = self._result, self._rows.rates
        result.stop = result.stop or end.halt
        result.error = result.error or end.error
        result.cancelled += end.cancelled
        if end.listed is not None and not rates.has_list:
            rates.learn(end.listed)
        self.input.add(number, end)

    def _halt(self, halt: Halt) -> None:
        if self._crew is not None:
            self._crew.halt(halt)
            self._tell_draining(halt.reason, self._context.job.timeout.total)

    def _is_of_one(self, halt: Halt) -> bool:
        """Whether only the worker that halts has that reason: others are answered, or were."""
        attempt = halt.attempt
        if halt.reason == OUTAGE:
            return bool(self._news.latest) and not self._news.is_down
        kind = None if attempt is None else attempt.verdict.kind
        return attempt is not None and kind in _ONCE_ANSWERED and attempt.request.model in self._answered_models

    async def _tick(self, crew: Crew, follower: JournalFollower, progress: ClusterProgress) -> None:
        """Tell where the run stands, and look for another run that goes on with the same rows."""
        unknown = Counter[int]()
        while True:
            progress.report()
            unknown = Counter({number: unknown[number] + 1 for number in follower.unknown()})
            if not crew.stopping and (error := self._intrusion(unknown)) is not None:
                self._result.error = error
                crew.drain()
                self._tell_draining(str(error), self._context.job.drain)
            await asyncio.sleep(_TICK_S)

    def _intrusion(self, unknown: Mapping[int, int]) -> BatchchatError | None:
        """The error that another process goes on with the run; `unknown` segments were seen so often."""
        number = next((number for number, ticks in unknown.items() if ticks > _TICKS_TO_INTRUSION), None)
        if number is None:
            return self._context.takeover.error
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


def _of_one(job: JobSpec, workers: int) -> JobSpec:
    """The job as one of its workers has it: an even share of the requests in flight, so that no more are at risk.

    What stops all of them is counted over all.
    """
    retry = replace(job.retry, stop_after_failures=_NEVER)
    return replace(job, concurrency=-(-job.concurrency // workers), retry=retry, on_finish=None)


def _may_share(job: JobSpec, source: Source) -> bool:
    """Whether rows with equal requests may be sent once, so that they have to be in one shard."""
    if job.dedupe != AUTO:
        return bool(job.dedupe)
    axes = (axis for axis in job.matrix or () if axis.key == "params.temperature")
    temperatures = [value for axis in axes for _, value in axis.values] or [job.params.get("temperature")]
    return 0 in temperatures or source.may_name_models
