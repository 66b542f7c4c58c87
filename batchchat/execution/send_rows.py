"""Sends rows from this process: all that a run sends, or the shard of one of several workers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from batchchat.core.shard import Shard, UnansweredRows
from batchchat.dispatch.lane import Send
from batchchat.errors import BatchchatError
from batchchat.execution import wiring
from batchchat.execution.context import RunContext
from batchchat.execution.context_check import ContextCheck
from batchchat.execution.exit_reason import RunLoopResult
from batchchat.execution.feed import Feed, RowLimit
from batchchat.execution.finished_rows import FinishedRows
from batchchat.execution.input_total import InputTotal
from batchchat.execution.progress import ProgressReporter
from batchchat.execution.recorder import Apply, Recorder
from batchchat.execution.run_loop import RunLoop
from batchchat.execution.scripts import scripts_for
from batchchat.execution.tasks import ResumeRules, tasks
from batchchat.execution.unsendable import UnsendableRows
from batchchat.job import JobSpec
from batchchat.pricing.for_job import context_for
from batchchat.pricing.rates import Rates
from batchchat.sources import Source
from batchchat.store.ledger import Ledger

__all__ = ["LeasedLimits", "OpenRecorder", "SendPlan", "send_rows"]

_COUNT_REST_S = 1.0  # a person waits for the end of a run that was stopped

OpenRecorder = Callable[[Apply, int], Recorder]
"""(called with each synced record and its location, how many may be unsynced) -> the open journal."""
Meanwhile = Callable[[Feed, Recorder], AbstractAsyncContextManager[None]]
"""What is done as long as the rows of a feed are sent, and their records written."""


@dataclass(frozen=True, slots=True)
class SendPlan:
    """The rows of `source` that `rules` have sent, or those of its `shard`; `ledger` has what came of them before.

    At most `limit` are sent (None: all); when these were taken `more` gives how many more may be. `counted` is the
    number of rows of the input, where it was read already; `outdated` rows have a record and are sent again, and
    `undecided` ones keep their answers. Rows that are not `unanswered` are passed
    over, where that is known. `stop_at` is when the run is to end, in seconds since the epoch.
    """

    source: Source
    ledger: Ledger
    rules: ResumeRules
    rates: Rates
    limit: int | None = None
    more: Callable[[], Awaitable[int]] | None = None
    counted: int | None = None
    outdated: int = 0
    undecided: int = 0
    stop_at: float | None = None
    shard: Shard | None = None
    unanswered: UnansweredRows | None = None


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
    engine = wiring.engine_for(
        job,
        rates=rows.rates,
        senders=senders,
        recorder=recorder,
        ledger=ledger,
        job_limits=wiring.job_limits_for(job, rows.rates, ledger) if leased is None else leased.limits,
        tell=context.tell,
        stop_at=rows.stop_at,
    )
    scripts = scripts_for(job, rows.rates, engine.formats)
    feed = Feed(
        tasks(rows.source, scripts, ledger.index, rows.rules, rows.shard, unanswered=rows.unanswered),
        ledger,
        recorder.keep,
        InputTotal(rows.source, counted=rows.counted, rows_each=scripts.expansion.rows_each),
        limit=RowLimit(rows.limit, rows.more),
        unanswered=rows.unanswered,
        unsendable=UnsendableRows(ContextCheck(context_for(job, rows.rates)), wiring.limit_reached_for(job)),
    )
    progress = ProgressReporter(engine, feed, finished, recorder.retries, context.tell, limit=rows.limit)
    loop = RunLoop(engine, recorder, feed, progress, signals)

    if leased is not None:
        leased.begin(loop)

    def stopped() -> bool:
        return signals.received is not None

    async def open_send(view: JobSpec) -> Send:
        return (await senders[0].another(view, wiring.rates_for(view))).send

    try:
        following: AbstractAsyncContextManager[None] = nullcontext()
        if job.endpoints_file is not None:
            from batchchat.execution.endpoints_follower import following_endpoints

            following = following_endpoints(job, engine.membership, loop, open_send, context.tell)
        async with meanwhile(feed, recorder), following:
            result.stop = await loop.run()
        if feed.unshared and not stopped():
            from batchchat.execution.sharing import share_answers

            again = tasks(rows.source, scripts, ledger.index, rows.rules, rows.shard)
            await share_answers(again, ledger, recorder, stopped)
        await feed.count_rest(_COUNT_REST_S)
    except BatchchatError as error:
        result.error = error
    result.rows, result.elapsed_s, result.left = finished.rows, progress.elapsed_s, progress.left()
    result.estimated_total = progress.estimated_total()
    result.cancelled, result.outdated, result.count = recorder.cancelled_count, finished.outdated, finished.count
    return feed
