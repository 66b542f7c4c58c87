"""A session: one run of one job, from its lock to its exit code.

The order is a promise. What can be refused is refused before anything is sent: input, output, lock, journal, a missing
decision. What was acknowledged is in the journal before anything is told. The Parquet is made of the journal alone.
"""

from __future__ import annotations

import os
import shlex
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from batchchat import __version__
from batchchat.core.conversation import Key
from batchchat.core.events import Replayed, Started, Subscriber
from batchchat.errors import BatchchatError, InputError, MachineError, OutputError, UsageError
from batchchat.job import JobSpec
from batchchat.pricing.for_job import asks_for_list, context_for, no_price, rates_for
from batchchat.pricing.rates import Rates
from batchchat.run import wiring
from batchchat.run.anomaly_detector import AnomalyDetector
from batchchat.run.bounds import budgeted, no_bound, stop_at_passed
from batchchat.run.context_check import ContextCheck
from batchchat.run.ending import Ending, RunLoopResult, RunResult
from batchchat.run.messages import changed_rows_question, mixed_mock, nothing_good, own_input, strict_refusal
from batchchat.run.plan import Disposition, OnChanged, PlanCounts
from batchchat.run.run_loop import Drive
from batchchat.run.signals import Signals
from batchchat.run.tasks import Feed, RowPlanner
from batchchat.sources import Source, entry_that_takes, open_source
from batchchat.store.folder import check_output, make_folder, set_aside
from batchchat.store.journal import Journal
from batchchat.store.ledger import Ledger, schema_text
from batchchat.store.lock import Lock
from batchchat.store.records import FORMAT
from batchchat.store.segments import scan, segments

__all__ = ["RunOptions", "Session"]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command says beyond the job.

    `again` is the command that continues, with what must change; `ask` asks a person what to do about changed rows
    (ASK: stop), and is None where there is nobody. `only` rows of such keys are sent: a pilot.
    """

    again: Callable[[tuple[str, ...]], str]
    limit: int | None = None
    retry_failed: bool = False
    changed: OnChanged = OnChanged.ASK
    fresh: bool = False
    strict: bool = False
    ask: Callable[[str], OnChanged] | None = None
    only: Callable[[Key], bool] | None = None


class Session:
    """One run. `folder` is known as soon as there is one, also when `play` raises."""

    def __init__(self, job: JobSpec, options: RunOptions, environ: Mapping[str, str], tell: Subscriber) -> None:
        self._job = job
        self._options = options
        self._environ = environ
        self._tell = tell
        self._signals = Signals()
        self.blanker = wiring.blanker_for(job, environ)
        self._ending = Ending(job, self.blanker.redact(job.text), self._signals, tell)
        self._stop_at: float | None = None
        self.folder: Path | None = None

    @property
    def at_once(self) -> bool:
        """Whether a second signal asked for an end without any more ado."""
        return self._signals.impatient

    async def play(self, opened: Callable[[Path], None] = lambda _folder: None) -> RunResult:
        """Run or resume the job. `opened` is called with the run folder once it is ours.

        Raises `BatchchatError` for what is refused or breaks; finished rows are then in the journal.
        """
        job, output = self._job, self._job.output
        if (bound := job.budget.stop_at) is not None:
            self._stop_at = bound.on(time.time())
            if self._stop_at <= time.time():
                raise UsageError(stop_at_passed(bound.written))
        if (entry := entry_that_takes(job.input, output.path)) is not None:
            raise OutputError(own_input(output.as_given, entry))
        source = open_source(job.input)
        check_output(output.path, output.as_given, source.files, fresh=self._options.fresh)
        folder = make_folder(output.path, output.as_given)
        lock = self._lock(folder)
        aside: list[Path] = []
        try:
            if self._options.fresh and (segments(folder) or output.path.exists()):
                aside = self._set_aside()
                folder = make_folder(output.path, output.as_given)
                lock.release()
                lock = self._lock(folder)
            self.folder = folder
            opened(folder)
            with self._signals.handled():
                return await self._play(folder, source, aside)
        finally:
            lock.release()

    def _lock(self, folder: Path) -> Lock:
        output = self._job.output
        here = os.path.relpath(output.path.resolve())  # to be pasted: as typed it is relative to the job file
        return Lock.take(folder, output.as_given, f"batchchat status {shlex.quote(here)}")

    def _set_aside(self) -> list[Path]:
        output = self._job.output
        try:
            return set_aside(output.path)
        except OSError as error:
            raise OutputError(f"{output.as_given} can't be set aside: {error.strerror}.") from error

    async def _play(self, folder: Path, source: Source, aside: list[Path]) -> RunResult:
        job, options = self._job, self._options
        self._tell(
            Started(
                job.name,
                job.model,
                job.host,
                None if job.ask_concurrency else job.concurrency,
                source.description,
                source.recognised,
                job.output.as_given,
            )
        )
        ledger = Ledger(folder)
        try:
            with self._signals.left_alone():
                journal_end = self._replay(folder, ledger)
            rates = await self._known()
            reading = RowPlanner(
                source,
                wiring.scripts_for(job, rates),
                ledger,
                retry_failed=options.retry_failed,
                only=options.only,
            )
            resumes = bool(len(ledger.index))
            looks = resumes or options.strict or job.budget.max_cost is not None
            tally = await self._survey(reading, rates, ledger) if looks else None
            if self._signals.received is not None or (tally is not None and tally.nothing_new):
                left = tally.to_send if tally is not None and self._signals.received is None else None
                return self._ending.end(folder, ledger, RunLoopResult(left=left), aside)
            drove = await self._drive(
                folder, journal_end, rates=rates, reading=reading, source=source, ledger=ledger, tally=tally
            )
            return self._ending.end(folder, ledger, drove, aside)
        finally:
            ledger.close()

    async def _known(self) -> Rates:
        """What is known of prices. A cap must know before it sends; else the endpoint is asked once it tells none."""
        job, listed = self._job, None
        if asks_for_list(job) and job.budget.max_cost is not None:
            async with wiring.sender(job, rates_for(job), self._environ, self.blanker) as opened:
                found = await opened.listing()
                listed = None if isinstance(found, str) else found
        self._ending.rates = rates = rates_for(job, listed)
        if job.budget.max_cost is not None and rates.rate(job.model) is None:
            raise UsageError(no_price(job))
        return rates

    def _replay(self, folder: Path, ledger: Ledger) -> int:
        """Fold the journal there is; the location where it goes on."""
        reading = scan(folder)
        for at, record in reading:
            ledger.fold(at, record)
        ledger.close_replay()
        if reading.damages or ledger.at_risk:
            self._tell(Replayed(tuple(str(damage) for damage in reading.damages), ledger.at_risk))
        totals = ledger.totals
        others = totals.answered - totals.mock_answers if self._job.is_mock else totals.mock_answers
        if others:
            raise OutputError(mixed_mock(self._job, others))
        return reading.end

    async def _survey(self, reading: RowPlanner, rates: Rates, ledger: Ledger) -> PlanCounts:
        """Look before a resume: what is kept, what is sent, what needs a word from the user first."""
        options = self._options
        reading.changed = options.changed
        tally = await reading.survey(lambda: self._signals.received is not None)
        if self._signals.received is not None:
            return tally
        if not tally.good:
            raise InputError(nothing_good(self._job, next(iter(tally.first_invalid), None)))
        if options.strict and tally.invalid:
            raise InputError(strict_refusal(self._job, tally))
        if tally.fates[Disposition.UNDECIDED]:
            reading.changed = self._decide(tally)
            tally.decide(reading.changed)
        ledger.retire_gone()
        if self._job.budget.max_cost is not None and tally.most.unbounded:
            raise InputError(no_bound(self._job, tally.most))
        price = wiring.price_label(self._job, rates)
        if price is not None and self._job.budget.max_cost is not None:
            ledger.bound_at_risk(price, tally.dearest_usd)
        if ledger.totals.finished or ledger.gone.rows:
            self._tell(tally.planned(ledger.gone.rows))
        return tally

    def _decide(self, tally: PlanCounts) -> OnChanged:
        question = changed_rows_question(tally)
        if self._options.ask is None:
            raise OutputError(
                f"{question} --resend-changed pays for them again, --keep-changed keeps the answers there are."
            )
        with self._signals.left_alone():
            changed = self._options.ask(question)
        if changed is OnChanged.ASK:
            raise OutputError("stopped at the question; nothing was sent.")
        return changed

    async def _drive(
        self,
        folder: Path,
        journal_end: int,
        *,
        rates: Rates,
        reading: RowPlanner,
        source: Source,
        ledger: Ledger,
        tally: PlanCounts | None,
    ) -> RunLoopResult:
        job = self._job
        drove = RunLoopResult()
        random = Random()  # noqa: S311 (jitter)
        budget = wiring.budget_for(job, rates, ledger)
        if budget is not None and tally is not None:
            self._tell(budgeted(budget, rates.rate(job.model), ledger, tally, self._options.limit))
        async with wiring.sender(job, rates, self._environ, self.blanker) as opened:
            if job.ask_concurrency:
                job, told = await wiring.allowed(job, opened)
                self._tell(told)
            restraint = wiring.restraint_for(job, random, ledger)
            drive = Drive(
                ledger=ledger,
                send=opened.send,
                retry=wiring.retry_for(job, random, restraint.outage),
                restraint=restraint,
                limits=wiring.limits_for(job, self._stop_at),
                price=wiring.price_label(job, rates),
                budget=budget,
                tail=wiring.tail_for(job, ledger.totals),
                limit=self._options.limit,
                replaced=0 if tally is None else tally.replaced,
                mock=job.is_mock,
                host=job.host,
                tell=self._tell,
                signals=self._signals,
                notices=AnomalyDetector(self._tell, job.params),
            )
            journal = drive.journal = Journal(folder, journal_end, drive.committed, drive.abandon)
            try:
                journal.append(self._run_record(source))
                feed = Feed(
                    reading,
                    source,
                    ledger,
                    journal.append,
                    limit=self._options.limit,
                    fitting=ContextCheck(context_for(job, rates), job.params),
                    total=None if tally is None else tally.total,
                )
                drove.stop = await drive.run(journal, feed)
            except BatchchatError as error:
                drove.error = error
            finally:
                drive.settle_holds()
                self._close(journal, drove)
            if feed.exhausted and not feed.good_rows and drove.error is None:
                drove.error = InputError(nothing_good(job, feed.first_bad))
                self._ending.refuse(drove, ledger)
                raise drove.error
            drove.rows, drove.elapsed_s, drove.left = drive.sent_rows, drive.elapsed_s, drive.left()
            drove.cuts, drove.outdated = drive.cuts, drive.outdated
        return drove

    def _close(self, journal: Journal, drove: RunLoopResult) -> None:
        try:
            journal.close()
        except MachineError as error:
            drove.error = drove.error or error

    def _run_record(self, source: Source) -> dict[str, Any]:
        """What a session notes of itself; nothing in it is secret."""
        job = self._job
        return {
            "kind": "run",
            "format": FORMAT,
            "version": __version__,
            "name": job.name,
            "model": job.model,
            "mock": job.is_mock,
            "endpoint": job.host,
            "inputs": list(job.input.paths),
            "job": self.blanker.redact(job.text),
            "columns": schema_text(source.column_types),
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "at": time.time(),
        }
