"""One run of one job, from its lock to its exit code.

The order is a promise. What can be refused is refused before anything is sent: input, output, lock, journal, a missing
decision. A row is in the journal before it is reported. The Parquet is made of the journal alone.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

from batchchat.core.events import InputNoted, Replayed
from batchchat.endpoint.unavailable import Unavailable
from batchchat.errors import InputError, OutputError, UsageError
from batchchat.execution import wiring
from batchchat.execution.checkpoints import Checkpoints
from batchchat.execution.context import RunContext
from batchchat.execution.disposition import Disposition
from batchchat.execution.early_import import end_imported_early
from batchchat.execution.early_output import EarlyOutput
from batchchat.execution.ending import RunResult, finish, tell_broken
from batchchat.execution.exit_reason import RunLoopResult
from batchchat.execution.feed import Feed
from batchchat.execution.input_notes import input_notes
from batchchat.execution.known_input import KnownInput
from batchchat.execution.messages import budgeted, mixed_mock, nothing_good, own_input
from batchchat.execution.opening import OpenRun, locked_folder, stop_time
from batchchat.execution.plan import PlanCounts
from batchchat.execution.planning import Planner
from batchchat.execution.recorder import Apply, Recorder
from batchchat.execution.row_sender import LeasedLimits
from batchchat.execution.run_record import run_record
from batchchat.execution.send_plan import SendPlan, SendTerms
from batchchat.execution.send_rows import send_rows
from batchchat.execution.started import started
from batchchat.job import JobSpec
from batchchat.pricing.for_job import no_price, rates_for
from batchchat.pricing.rates import Rates
from batchchat.sources import open_source, overlapping_entry
from batchchat.store.checkpoint import replay
from batchchat.store.journal import Journal
from batchchat.store.ledger import Ledger
from batchchat.store.segment_file import ResumePoint
from batchchat.store.segments import segments

__all__ = ["Session", "run_session"]

_MAX_UNSYNCED = 1000
"""Of the records that are written before anything is sent."""
_STOPPED_HASH_S = 1.0
"""A person waits for the end of a run that was stopped; the next one can read the input instead."""


async def run_session(context: RunContext, opened: Callable[[Path], None], session_type: type[Session]) -> RunResult:
    """Run or resume the job, as a session of `session_type`.

    `opened` is called with the run folder once its lock is held.

    Raises `BatchchatError` for what is refused or breaks; finished rows are then in the journal.
    """
    job, output = context.job, context.job.output
    stop_at = stop_time(context) if session_type.sends else None
    if (entry := overlapping_entry(job.input, output.path, output.url)) is not None:
        raise OutputError(own_input(output.as_given, entry))
    source = open_source(job.input, job.template, job.systems)
    with locked_folder(context, source.files) as (folder, lock, aside):
        opened(folder)
        with context.signals.handled():
            ledger = Ledger(folder)
            try:
                return await _told(session_type(context, OpenRun(folder, lock, source, ledger, stop_at)), aside)
            finally:
                ledger.close()


async def _told(session: Session, aside: list[str]) -> RunResult:
    """Run `session`; whatever refuses it or breaks it off is told with the figures there are, and raised."""
    try:
        return await session.run(aside)
    except BaseException as error:
        session.tell_broken(error)
        raise
    finally:
        session.close()


class Session:
    """One pass over an open run: what is to be sent of it is sent, and its output published."""

    sends = True
    """Whether rows are sent to the endpoint."""
    is_only_writer = True
    """Whether no other process of the run writes the journal."""

    def __init__(self, context: RunContext, run: OpenRun) -> None:
        self._lock = run.lock
        self._context = context
        self._job = context.job
        self._signals = context.signals
        self._tell = context.tell
        self._folder = run.folder
        self._source = run.source
        self._ledger = run.ledger
        self._stop_at = run.stop_at
        self._known = KnownInput(context, run.source, run.ledger)
        self._result: RunLoopResult | None = None
        """What is known of the run before it has ended; None until its journal was read."""
        self._recorder: Recorder | None = None
        open_recorder = partial(self._open_recorder, run.ledger.apply, _MAX_UNSYNCED)
        self._planner = Planner(context, run.source, run.ledger, open_recorder, self._counted, known_input=self._known)
        self._checkpoints: Checkpoints | None = None
        self._early = EarlyOutput(self._job, run.folder, run.ledger)

    async def run(self, aside: list[str]) -> RunResult:
        """Run to the end; `aside` are the paths of the previous output, as --fresh has renamed it."""
        job, options, ledger = self._job, self._context.options, self._ledger
        self._tell(started(job, self._source, sends=self.sends))
        if options.shard is not None:
            from batchchat.execution.shard_record import shard_note

            self._tell(shard_note(options.shard, job, self._source))
        self._tell_notes()
        with self._signals.left_alone():
            self._checkpoints = self._replay()
        self._check_mock()
        rates = await self._rates()
        goes_on = self._goes_on()
        resumes = ledger.index.has_finished and not goes_on
        looks_first = resumes or options.strict or job.budget.max_cost is not None or not self.sends
        try:
            counts = await self._planner.plan(rates) if looks_first else None
            self._tell_notes()
            if self._stopped() or (counts is not None and counts.nothing_new):
                assert self._result is not None
                result = self._result
                if not self._stopped() and self._lacks_shard_record():
                    self._open_recorder(ledger.apply, _MAX_UNSYNCED)
                amended = self._recorder is not None
                result.is_noop = not self._stopped() and not result.undecided and not amended
            else:
                result = await self._send(rates, counts)
        finally:
            self._close_recorder()  # it is open still where rows were amended and nothing was sent
        if result.error is None and not self._signals.impatient:
            if self._stopped():
                self._known.hurry(_STOPPED_HASH_S)
            with self._signals.caught(self._known.give_up):
                self._checkpoints.write()
        return replace(self._finish(result, rates), set_aside=aside)

    def _lacks_shard_record(self) -> bool:
        """Whether the journal does not say yet of the shard that the job is what there is to say."""
        if self._job.input.shard is None:
            return False
        from batchchat.execution.shard_record import is_recorded

        return not is_recorded(self._job, self._source, self._ledger.last_run)

    def _goes_on(self) -> bool:
        """Whether the run only goes on where the one before it was, and sends while it reads; that is told."""
        if not self.sends or self._known.nothing_left() is not None:
            return False
        if (planned := self._known.going_on()) is None:
            return False
        self._tell(planned)
        return True

    def _finish(self, result: RunLoopResult, rates: Rates) -> RunResult:
        return finish(self._context, self._folder, self._ledger, result, rates, early=self._early)

    def _tell_notes(self) -> None:
        """Say what is new of the notes about the input: at first of its first rows, at the end of all."""
        if notes := self._known.new_notes(input_notes(self._job, self._source)):
            self._tell(InputNoted(tuple(notes)))

    def _replay(self) -> Checkpoints:
        """Apply the existing journal to the ledger; returns what writes its checkpoints, and knows where it ends."""
        ledger = self._ledger
        if segments(self._folder):
            self._known.compare()
        replayed = replay(ledger, self._folder)
        ledger.end_session()
        if not self._known.recognise(replayed.reading):
            ledger.index.forget_ordinals()
        journal = replayed.tail
        if journal.damages or ledger.at_risk.requests:
            self._tell(Replayed(tuple(str(damage) for damage in journal.damages), ledger.at_risk.requests))
        self._result = RunLoopResult(paid_before_usd=ledger.paid_usd)
        return Checkpoints(self._folder, ledger, replayed, self._known.reading)

    def close(self) -> None:
        """Wait for what still goes on in a thread, and remove what was written early and not published."""
        self._early.abandon()
        self._known.close()

    def tell_broken(self, error: BaseException) -> None:
        """Report that `error` ended the run, where its journal was read; else its figures are not known."""
        if self._result is not None:
            tell_broken(self._context, error, self._result, self._ledger)

    def _check_mock(self) -> None:
        """Refuse to mix answers of the mock with those of a real endpoint."""
        totals = self._ledger.totals
        foreign = totals.answered - totals.mock_answers if self._job.is_mock else totals.mock_answers
        if foreign:
            raise OutputError(mixed_mock(self._job, foreign))

    async def _rates(self) -> Rates:
        """The known prices. A cap needs them before anything is sent: then the endpoint is asked for its list."""
        job, context, rates, no_list = self._job, self._context, rates_for(self._job), None
        if job.budget.max_cost is None:
            return rates
        for view, own_rates in zip(job.per_endpoint, rates.parts, strict=True):
            if view.is_mock or not (view.price is None or job.models != (job.model,) or self._source.may_name_models):
                continue
            async with wiring.sender_for(view, own_rates, context.environ, context.redactor) as sender:
                answer = await sender.listing()
            if isinstance(answer, Unavailable):
                no_list = answer.sentence if answer.retryable else no_list
            else:
                own_rates.learn(answer)
        for model in job.models:
            if rates.rate(model) is None:
                raise UsageError(no_price(job, model, no_list))
        return rates

    def _open_recorder(self, apply: Apply, max_unsynced: int) -> Recorder:
        """The journal, continued; its records are given to `apply` from here on."""
        if self._recorder is not None:
            self._recorder.redirect(apply, max_unsynced)
            return self._recorder
        assert self._checkpoints is not None, "it is replayed before it is continued"
        journal = self._checkpoints.replayed.tail
        is_elsewhere = self._ledger.last_run.get("host") != socket.gethostname() or bool(self._context.takeover.fetched)
        apart = bool(self._ledger.runs) and is_elsewhere  # who wrote the last segment may be at it still
        point = ResumePoint(journal.end, journal.last, apart, shared=not self.is_only_writer)
        self._recorder = Recorder(
            partial(Journal, self._folder, point),
            apply,
            max_unsynced=max_unsynced,
            mock=self._job.is_mock,
            lost=lambda: self._context.takeover.error,
        )
        self._recorder.keep(run_record(self._context, self._source, self._known.recognised_id))
        return self._recorder

    def _counted(self, counts: PlanCounts) -> None:
        """What is known of the run before anything is sent; rows that are gone are out of the totals."""
        ledger = self._ledger
        self._early.is_off |= bool(counts.replaced)
        self._result = RunLoopResult(
            left=counts.total - ledger.totals.finished,
            paid_before_usd=ledger.paid_usd,
            undecided=counts.rows[Disposition.UNDECIDED],
        )

    def _end_checkpoints(self) -> None:
        """Write no checkpoint in this run: others write the journal too."""
        assert self._checkpoints is not None
        self._checkpoints.end = None

    def _close_recorder(self) -> None:
        """Write what is queued, and close the journal where it is open; where that fails, the result has the error."""
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            assert self._result is not None, "the journal is replayed before it is continued"
            assert self._checkpoints is not None
            unwritten = recorder.close()
            self._checkpoints.end = recorder.end
            self._result.error = self._result.error or unwritten

    async def _send(self, rates: Rates, counts: PlanCounts | None) -> RunLoopResult:
        """Send the rows that are to be sent; returns the result of the run loop."""
        self._tell_budget(rates, counts)
        assert self._result is not None
        context, result = self._context, self._result
        async with wiring.senders_for(self._job, rates, context.environ, context.redactor) as senders:
            try:
                context = replace(context, job=await self._with_endpoint_limits(senders[0]))
                rows = self._rows(rates, counts)
                with self._limits(context.job, rates) as leased:
                    opened, meanwhile = self._open_recorder, self._checkpointed
                    feed = await send_rows(context, rows, senders, opened, result, leased=leased, meanwhile=meanwhile)
            finally:
                self._close_recorder()  # whatever ended it: what was paid is kept before the lock is given up
        self._tell_notes()
        self._check_input(feed, result)
        return result

    def _limits(self, job: JobSpec, rates: Rates) -> AbstractContextManager[LeasedLimits | None]:  # noqa: ARG002
        """The limits of the job as its rows are sent, where they are not its alone."""
        return nullcontext()

    @asynccontextmanager
    async def _checkpointed(self, feed: Feed, recorder: Recorder) -> AsyncIterator[None]:
        """While the rows of `feed` are sent: note what is read of the input, write checkpoints and the output."""
        assert self._checkpoints is not None
        self._known.watch(feed)
        with end_imported_early():
            async with self._checkpoints.kept(recorder), self._early.written():
                yield

    def _tell_budget(self, rates: Rates, counts: PlanCounts | None) -> None:
        """Tell the cap on the job's cost, where it has one: what counts against it, and what is to be sent."""
        job, ledger = self._job, self._ledger
        budget = wiring.budget_for(job, rates, ledger)
        if budget is not None and counts is not None:
            prices = [rates.rate(model) for model in job.models]
            self._tell(budgeted(budget, prices, ledger, counts, self._context.options.limit))

    async def _with_endpoint_limits(self, sender: wiring.Sender) -> JobSpec:
        """The job, with the endpoint's own limits where it asks for them."""
        if not self._job.ask_concurrency:
            return self._job
        job, limits_read = await wiring.with_endpoint_limits(self._job, sender)
        self._tell(limits_read)
        return job

    def _rows(self, rates: Rates, counts: PlanCounts | None) -> SendPlan:
        """The rows that are to be sent, after a plan with its `counts`."""
        terms = SendTerms(
            self._ledger,
            rates,
            limit=self._context.options.limit,
            outdated=0 if counts is None else counts.replaced,
            undecided=0 if counts is None else counts.rows[Disposition.UNDECIDED],
            stop_at=self._stop_at,
        )
        return SendPlan(
            self._source,
            self._planner.rules,
            terms,
            counted=self._known.total if counts is None else counts.total,
            unanswered=self._known.unanswered if counts is None else None,
        )

    def _stopped(self) -> bool:
        return self._signals.received is not None

    def _check_input(self, feed: Feed, result: RunLoopResult) -> None:
        """Raise `InputError` for an input that was read to its end and had no good row; nothing was sent then."""
        is_whole = self._job.input.shard is None  # the good rows may be in the other shards
        if is_whole and feed.exhausted and not feed.good_rows and result.error is None:
            raise InputError(nothing_good(self._job, feed.first_bad, self._source.left_out))
