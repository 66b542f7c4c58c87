"""A run whose responses come out of a batch's output file instead of from the endpoint.

Its plan, its journal and its end are those of any run: an imported row is kept by the next one as if that had been
sent. Nothing is sent, so that no rate limit, budget or stop applies: what is imported was paid for already.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from batchchat.core.attempt import Outcome
from batchchat.core.conversation import Key, Status
from batchchat.core.events import InputNoted
from batchchat.dispatch.work import Work
from batchchat.errors import BatchchatError
from batchchat.execution import wiring
from batchchat.execution.context import RunContext
from batchchat.execution.disposition import OnChanged
from batchchat.execution.ending import RunResult
from batchchat.execution.exit_reason import RunLoopResult
from batchchat.execution.feed import Feed
from batchchat.execution.finished_rows import FinishedRows
from batchchat.execution.input_total import InputTotal
from batchchat.execution.opening import OpenRun
from batchchat.execution.plan import PlanCounts
from batchchat.execution.recorder import Recorder
from batchchat.execution.resend import Resend
from batchchat.execution.scripts import scripts_for
from batchchat.execution.session import Session
from batchchat.execution.tasks import tasks
from batchchat.pricing.rates import Rates
from batchchat.sources.batch_output import BatchOutput
from batchchat.store.index import Index
from batchchat.text.import_lines import import_notes

__all__ = ["ImportSession"]

_MAX_UNSYNCED = 1000


@dataclass(frozen=True, slots=True)
class _FailedInFile(Resend):
    """Rows that failed before, and to which the file has a response."""

    batch: BatchOutput | None = None

    def wants(self, key: Key, entry: int, index: Index) -> bool:
        assert self.batch is not None
        return self.batch.match(key) is not None and index.status(entry) == Status.FAILED


class ImportSession(Session):
    """A session that takes in the responses of `context.options.batch`."""

    sends = False

    def __init__(self, context: RunContext, run: OpenRun) -> None:
        assert context.options.batch is not None
        super().__init__(_for_plan(context, context.options.batch), run)
        self._context = context
        self._batch = context.options.batch

    async def _rates(self) -> Rates:
        """The prices that are known without asking the endpoint."""
        return wiring.rates_for(self._job)

    async def _send(self, rates: Rates, counts: PlanCounts | None) -> RunLoopResult:
        """Record the responses of the rows that have no answer yet."""
        assert counts is not None
        assert self._result is not None
        started, result, ledger = time.monotonic(), self._result, self._ledger
        finished = FinishedRows(ledger, counts.replaced, self._tell)
        recorder = self._open_recorder(finished.apply, _MAX_UNSYNCED)
        # Neither a context window nor the limits of `retry` bound what was answered already.
        rows = tasks(self._source, scripts_for(self._job, rates), ledger.index, self._planner.rules)
        total = InputTotal(self._source, counted=counts.total)
        feed = Feed(rows, ledger, recorder.keep, total, unsendable=None)
        try:
            try:
                await self._take_in(feed, recorder, wiring.batch_judge_for(self._job, rates))
                await recorder.settled()
            except BatchchatError as error:
                result.error = error
        finally:
            self._close_recorder()
        result.rows, result.count, result.elapsed_s = finished.rows, finished.count, time.monotonic() - started
        result.left = counts.total - ledger.totals.finished
        self._check_input(feed, result)
        return result

    def _finish(self, result: RunLoopResult, rates: Rates) -> RunResult:
        """Tell what became of the lines of the file, and end as any run does."""
        result.outdated = 0
        if self._signals.received is None and result.error is None:
            self._batch.count_lines(result.left)
            self._tell(InputNoted(import_notes(self._batch.counts)))
        return super()._finish(result, rates)

    async def _take_in(self, feed: Feed, recorder: Recorder, judge: wiring.BatchJudge) -> None:
        while self._signals.received is None and (work := await feed.take()) is not None:
            await recorder.room()
            self._record(work, recorder, judge)

    def _record(self, work: Work, recorder: Recorder, judge: wiring.BatchJudge) -> None:
        """Record the response to the row of `work`.

        None is recorded of a row with several turns, or one that was asked in part: which of its requests a response
        is to, the file does not say.
        """
        counts, script = self._batch.counts, work.script
        request = script.next([])
        if isinstance(request, Outcome) or script.row.turns or work.attempts:
            self._batch.count_unfinished(script.row.key)
            return
        number = self._batch.match(script.row.key)
        assert number is not None, "the plan has only rows to which there is a response"
        attempt = judge(request, self._batch.response(number))
        step = script.next([attempt])
        answers = isinstance(step, Outcome) and step.status is Status.ANSWERED
        if work.history.failed and not answers:
            return  # it failed before, perhaps by this very response
        work.spend = work.spend.with_attempt(attempt)
        if isinstance(step, Outcome):
            recorder.imported(work, step)
            counts.answered += answers
            counts.failed += not answers
        else:  # it is to be asked once more about this answer, which the next run does
            recorder.attempt(work, attempt)
            self._batch.count_unfinished(script.row.key)


def _for_plan(context: RunContext, batch: BatchOutput) -> RunContext:
    """`context` as the plan sees it: only those rows sent that the file answers, and no cap to hold them against.

    No row shares the answer of another: what was paid for each is in the file.
    """
    job, options = context.job, context.options
    return replace(
        context,
        job=replace(job, budget=replace(job.budget, max_cost=None), dedupe=False),
        options=options._replace(
            resend=_FailedInFile(batch=batch),
            changed=OnChanged.KEEP,
            only=lambda key: batch.match(key) is not None,
        ),
    )
