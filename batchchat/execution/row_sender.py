"""Sends rows from this process, whoever supplies them, and says what came of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import TYPE_CHECKING, Protocol

from batchchat.dispatch.lane import Send
from batchchat.errors import BatchchatError
from batchchat.execution import wiring
from batchchat.execution.context import RunContext
from batchchat.execution.engine import Engine
from batchchat.execution.exit_reason import RunLoopResult
from batchchat.execution.finished_rows import FinishedRows
from batchchat.execution.progress import ProgressReporter
from batchchat.execution.recorder import Apply, Recorder
from batchchat.execution.run_loop import RunLoop
from batchchat.execution.scripts import scripts_for
from batchchat.execution.send_plan import SendTerms
from batchchat.job import JobSpec

if TYPE_CHECKING:
    from batchchat.execution.row_supply import RowSupply

__all__ = ["LeasedLimits", "OpenRecorder", "RowSender"]

OpenRecorder = Callable[[Apply, int], Recorder]
"""(called with each synced record and its location, how many may be unsynced) -> the open journal."""


class LeasedLimits(Protocol):
    """Limits of a job that several processes share."""

    @property
    def limits(self) -> wiring.JobLimits:
        """What is leased to this process."""

    def begin(self, loop: RunLoop) -> None:
        """`loop`, which is about to run, sends by these limits."""


async def _nothing() -> None:
    """Of a supply whose end needs no more."""


class RowSender:
    """Sends by the limits of the context's job, or by `leased` ones, with `senders`; `send` is called once.

    `recorder` has the journal, and is left open; `scripts` make the scripts of rows.
    """

    def __init__(
        self,
        context: RunContext,
        terms: SendTerms,
        senders: Sequence[wiring.Sender],
        open_recorder: OpenRecorder,
        *,
        leased: LeasedLimits | None = None,
    ) -> None:
        job, ledger = context.job, terms.ledger
        self._context = context
        self._limit = terms.limit
        self._senders = senders
        self._leased = leased
        self._finished = FinishedRows(ledger, terms.outdated, context.tell, terms.undecided)
        self.recorder = open_recorder(self._finished.apply, job.concurrency)
        limits = wiring.job_limits_for(job, terms.rates, ledger) if leased is None else leased.limits
        self._engine = wiring.engine_for(context, terms, senders, self.recorder, limits)
        self.scripts = scripts_for(job, terms.rates, self._engine.formats)

    async def send(
        self,
        supply: RowSupply,
        result: RunLoopResult,
        meanwhile: AbstractAsyncContextManager[None] | None = None,
        at_end: Callable[[], Awaitable[None]] = _nothing,
    ) -> None:
        """Send what `supply` gives, while `meanwhile` is entered, and then do `at_end`; what came of it is in `result`.

        Raises what is no `BatchchatError`.
        """
        context, recorder, finished = self._context, self.recorder, self._finished
        progress = ProgressReporter(self._engine, supply, finished, recorder.retries, context.tell, limit=self._limit)
        loop = RunLoop(self._engine, recorder, supply, progress, context.signals)
        if self._leased is not None:
            self._leased.begin(loop)
        try:
            async with (
                meanwhile or nullcontext(),
                _following_endpoints(context, self._engine, loop, self._senders[0]),
            ):
                result.stop = await loop.run()
            await at_end()
        except BatchchatError as error:
            result.error = error
        result.rows, result.elapsed_s, result.left = finished.rows, progress.elapsed_s, progress.left()
        result.estimated_total = progress.estimated_total()
        result.cancelled, result.outdated, result.count = recorder.cancelled_count, finished.outdated, finished.count


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
