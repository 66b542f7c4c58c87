"""Sends rows from this process: all that a run sends, or the shard of one of several workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Protocol

from batchchat.dispatch.lane import Send
from batchchat.errors import BatchchatError
from batchchat.execution import wiring
from batchchat.execution.context import RunContext
from batchchat.execution.context_check import ContextCheck
from batchchat.execution.engine import Engine
from batchchat.execution.exit_reason import RunLoopResult
from batchchat.execution.feed import Feed, RowLimit
from batchchat.execution.finished_rows import FinishedRows
from batchchat.execution.input_total import InputTotal
from batchchat.execution.progress import ProgressReporter
from batchchat.execution.recorder import Apply, Recorder
from batchchat.execution.run_loop import RunLoop
from batchchat.execution.scripts import scripts_for
from batchchat.execution.send_plan import SendPlan
from batchchat.execution.tasks import Scripts
from batchchat.execution.unsendable import UnsendableRows
from batchchat.job import JobSpec
from batchchat.pricing.for_job import context_for

__all__ = ["LeasedLimits", "OpenRecorder", "send_rows"]

_COUNT_REST_S = 1.0  # a person waits for the end of a run that was stopped

OpenRecorder = Callable[[Apply, int], Recorder]
"""(called with each synced record and its location, how many may be unsynced) -> the open journal."""
Meanwhile = Callable[[Feed, Recorder], AbstractAsyncContextManager[None]]
"""What is done as long as the rows of a feed are sent, and their records written."""


class LeasedLimits(Protocol):
    """Limits of a job that several processes share."""

    @property
    def limits(self) -> wiring.JobLimits:
        """What is leased to this process."""

    def begin(self, loop: RunLoop) -> None:
        """`loop`, which is about to run, sends by these limits."""


async def send_rows(
    context: RunContext,
    rows: SendPlan,
    senders: Sequence[wiring.Sender],
    open_recorder: OpenRecorder,
    result: RunLoopResult,
    *,
    leased: LeasedLimits | None = None,
    meanwhile: Meanwhile = lambda _feed, _recorder: nullcontext(),
) -> Feed:
    """Send `rows` by the limits of the context's job, or by `leased` ones; what came of it is added to `result`.

    Returns the feed, which knows what was read. The recorder is left open. Raises what is no `BatchchatError`.
    """
    job, ledger, signals = context.job, rows.ledger, context.signals
    finished = FinishedRows(ledger, rows.outdated, context.tell, rows.undecided)
    recorder = open_recorder(finished.apply, job.concurrency)
    limits = wiring.job_limits_for(job, rows.rates, ledger) if leased is None else leased.limits
    engine = wiring.engine_for(context, rows, senders, recorder, limits)
    scripts = scripts_for(job, rows.rates, engine.formats)
    feed = _feed_of(rows, job, scripts, recorder)
    progress = ProgressReporter(engine, feed, finished, recorder.retries, context.tell, limit=rows.limit)
    loop = RunLoop(engine, recorder, feed, progress, signals)
    if leased is not None:
        leased.begin(loop)

    def stopped() -> bool:
        return signals.received is not None

    try:
        async with meanwhile(feed, recorder), _following_endpoints(context, engine, loop, senders[0]):
            result.stop = await loop.run()
        if feed.unshared and not stopped():
            from batchchat.execution.sharing import share_answers

            await share_answers(rows.tasks(scripts), ledger, recorder, stopped)
        await feed.count_rest(_COUNT_REST_S)
    except BatchchatError as error:
        result.error = error
    result.rows, result.elapsed_s, result.left = finished.rows, progress.elapsed_s, progress.left()
    result.estimated_total = progress.estimated_total()
    result.cancelled, result.outdated, result.count = recorder.cancelled_count, finished.outdated, finished.count
    return feed


def _feed_of(rows: SendPlan, job: JobSpec, scripts: Scripts, recorder: Recorder) -> Feed:
    """Supplies what is to be sent of `rows`; the records of those that end unsent go to `recorder`."""
    return Feed(
        rows.tasks(scripts),
        rows.ledger,
        recorder.keep,
        InputTotal(
            rows.source,
            counted=rows.counted,
            rows_each=scripts.expansion.rows_each,
            shards=1 if rows.shard is None else rows.shard.of,
        ),
        limit=RowLimit(rows.limit, rows.more),
        unanswered=rows.unanswered,
        unsendable=UnsendableRows(ContextCheck(context_for(job, rows.rates)), wiring.limit_reached_for(job)),
    )


def _following_endpoints(
    context: RunContext, engine: Engine, loop: RunLoop, sender: wiring.Sender
) -> AbstractAsyncContextManager[None]:
    """Meanwhile the run has the endpoints of their file, where the job names one; `sender` opens those that join."""
    if engine.membership is None or context.job.endpoints_file is None:
        return nullcontext()
    from batchchat.execution.endpoints_follower import following_endpoints

    async def open_send(view: JobSpec) -> Send:
        return (await sender.another(view, wiring.rates_for(view))).send

    return following_endpoints(context.job, engine.membership, loop, open_send, context.tell)
