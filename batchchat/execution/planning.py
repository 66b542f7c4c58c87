"""What a run will do with the rows that have a record, decided before anything is sent.

The input is read once and counted. Where rows take over answers, or have new values in their passthrough columns, they
are amended in the journal, and the input is counted again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from batchchat.core.events import IdsNotInInput
from batchchat.errors import BatchchatError, InputError, OutputError
from batchchat.execution import wiring
from batchchat.execution.context import RunContext
from batchchat.execution.disposition import Disposition, OnChanged
from batchchat.execution.known_input import KnownInput
from batchchat.execution.messages import changed_rows_question, no_bound, nothing_good, other_job, strict_refusal
from batchchat.execution.plan import PlanCounts, plan
from batchchat.execution.recorder import Recorder
from batchchat.execution.scripts import scripts_for
from batchchat.execution.tasks import ResumeRules, tasks
from batchchat.pricing.rates import Rates
from batchchat.sources import Source
from batchchat.store.ledger import Ledger

if TYPE_CHECKING:
    from batchchat.execution.amending import Amended
    from batchchat.execution.reuse import FreeAnswers

__all__ = ["Planner"]


class Planner:
    """Plans a run of `source` over the records in `ledger`. `rules` say what becomes of rows that have a record.

    `open_recorder` gives a recorder whose records go to the ledger; it is called only where something is to be amended.
    `counted` is told the counts once the ledger is without the rows that are gone, in a run that is refused, too.
    """

    def __init__(
        self,
        context: RunContext,
        source: Source,
        ledger: Ledger,
        open_recorder: Callable[[], Recorder],
        counted: Callable[[PlanCounts], None],
        *,
        known_input: KnownInput,
    ) -> None:
        options, job = context.options, context.job
        self._context = context
        self._job = job
        self._source = source
        self._ledger = ledger
        self._open_recorder = open_recorder
        self._counted = counted
        self._known = known_input
        changed = OnChanged(job.resume.changed) if options.changed is None else options.changed
        self.rules = ResumeRules(options.resend, changed, options.only)

    async def plan(self, rates: Rates) -> PlanCounts:
        """Count what is kept and what is sent; the user decides on rows whose request changed.

        Raises `InputError` and `OutputError` for what is refused before anything is sent.
        """
        from batchchat.execution.reuse import FreeAnswers

        job, ledger = self._job, self._ledger
        if (counts_before := self._known.nothing_left()) is not None:
            self._counted(counts_before)
            self._tell(counts_before)
            return counts_before
        self._continue_resend()
        counts = await self._count(rates)
        if self._stopped():
            return counts
        free = FreeAnswers(ledger.index, counts.wanted, counts.changed_entries)
        if (refusal := self._refusal(counts, free)) is not None:
            self._settle(counts)
            raise refusal
        amended = None
        if len(free) or counts.stale_passthrough:
            amended = await self._amend(rates, free)
            counts = await self._count(rates)
        counts = await self._begin_resend(rates, counts)
        if self._stopped():
            return counts
        self._settle(counts)
        self._known.planned(counts)
        self._decide(counts)
        if job.budget.max_cost is not None and counts.max_cost.unbounded:
            raise InputError(no_bound(job, counts.max_cost))
        price = wiring.price_label(job, rates)
        if price is not None and job.budget.max_cost is not None:
            ledger.set_bound_for_unpriced(price, counts.max_row_cost_usd)
        self._tell(counts, amended)
        return counts

    def _refusal(self, counts: PlanCounts, free: FreeAnswers) -> BatchchatError | None:
        """Why nothing of this input may be sent or written; None where it may."""
        job, options, totals = self._job, self._context.options, self._ledger.totals
        if not counts.good and job.input.shard is None:
            return InputError(nothing_good(job, next(iter(counts.first_invalid), None), self._source.left_out))
        if options.strict and counts.invalid:
            return InputError(strict_refusal(job, counts))
        sent_before = totals.answered or totals.failed
        if sent_before and not counts.recorded and not len(free) and not options.yes:
            return OutputError(other_job(job, self._ledger))
        return None

    def _settle(self, counts: PlanCounts) -> None:
        self._ledger.drop_rows_not_in_input()
        self._counted(counts)

    def _stopped(self) -> bool:
        return self._context.signals.received is not None

    async def _count(self, rates: Rates) -> PlanCounts:
        scripts, ledger = scripts_for(self._job, rates), self._ledger
        if not len(ledger.index) and not ledger.unfinished and self.rules.only is None:
            from batchchat.execution.first_look import first_look

            counts = await first_look(self._source, scripts, self._stopped)
            if counts is not None:
                return counts
        rows = tasks(self._source, scripts, ledger.index, self.rules)
        return await plan(rows, ledger, self._stopped, wiring.limit_reached_for(self._job))

    async def _amend(self, rates: Rates, free: FreeAnswers) -> Amended:
        from batchchat.execution.amending import amend

        rows = tasks(self._source, scripts_for(self._job, rates), self._ledger.index, self.rules)
        return await amend(rows, self._ledger, free, self._open_recorder(), self._stopped)

    def _continue_resend(self) -> None:
        """Rows that a stopped run of the same --resend has answered are not sent once more."""
        ledger, resend = self._ledger, self.rules.resend
        labels = ((offset, run.get("resend")) for offset, run in ledger.runs)
        self.rules = self.rules._replace(resend=resend.going_on(labels))

    async def _begin_resend(self, rates: Rates, counts: PlanCounts) -> PlanCounts:
        """The counts where the same --resend ran to its end before: it begins once more."""
        rules = self.rules
        left = counts.rows[Disposition.SEND_AGAIN] + counts.rows[Disposition.SEND_FAILED] + counts.used_up
        if rules.resend.since is None or left:
            return counts
        self.rules = rules._replace(resend=replace(rules.resend, since=None))
        return await self._count(rates)

    def _decide(self, counts: PlanCounts) -> None:
        """Ask about rows whose request changed, if there is someone to ask; without a word they stay undecided."""
        options = self._context.options
        if not counts.rows[Disposition.UNDECIDED] or options.ask is None:
            return
        with self._context.signals.left_alone():
            changed = options.ask(changed_rows_question(counts))
        if changed is OnChanged.ASK:
            raise OutputError("stopped at the question; nothing was sent.")
        self.rules = self.rules._replace(changed=changed)
        counts.decide(changed)
        self._counted(counts)

    def _tell(self, counts: PlanCounts, amended: Amended | None = None) -> None:
        ledger, tell = self._ledger, self._context.tell
        if ledger.totals.finished or ledger.not_in_input.rows:
            planned, job = counts.planned(ledger.not_in_input.rows, amended), self._job
            tell(planned._replace(variants=job.variants, samples=job.samples))
        if counts.rows[Disposition.UNDECIDED]:
            tell(counts.changed_rows())
        for ids in self.rules.resend.id_lists:
            if ids.absent:
                tell(IdsNotInInput(ids.as_given, ids.absent))
