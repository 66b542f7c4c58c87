"""The end of a session: why it ended, whether the Parquet is published, and what is told. One place for all exits.

What could not be kept comes before all else that ended it; then a signal, an error, a stop, and at last how the rows
fared. The Parquet is published with the rows there are wherever the run ended in order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from batchchat.core.events import Finished, Publishing, Subscriber
from batchchat.core.record import RowRecord
from batchchat.errors import EXIT_OK, EXIT_ROWS_FAILED, BatchchatError, BudgetError, EndpointError, MachineError
from batchchat.job import JobSpec
from batchchat.policy.decision import Halt
from batchchat.pricing.rates import Rates
from batchchat.run import publish
from batchchat.run.bounds import OWN_BOUNDS, bound_words, change_to_go_on
from batchchat.run.messages import signal_words, stop_reason, stop_words
from batchchat.run.signals import Signals
from batchchat.store.ledger import Ledger

__all__ = ["Ending", "RunLoopResult", "RunResult"]

_SIGNALLED = 128
_PUBLISHED = {EXIT_OK, EXIT_ROWS_FAILED, BudgetError.exit_code, EndpointError.exit_code}


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a session ended. `stopped` says why, in words, where something did; `rows` are the first rows it finished.

    `left` rows have no record yet, and `outdated` have one but were to be sent again. `change` are the words that the
    same command needs to go on.
    """

    exit_code: int
    elapsed_s: float
    ledger: Ledger
    left: int | None
    stopped: str | None = None
    rows: list[RowRecord] = field(default_factory=list)
    set_aside: list[Path] = field(default_factory=list)
    change: tuple[str, ...] = ()
    outdated: int = 0


@dataclass(slots=True)
class RunLoopResult:
    """What a drive left behind; as it stands here, where there was nothing to drive."""

    stop: Halt | None = None
    error: BatchchatError | None = None
    elapsed_s: float = 0.0
    left: int | None = None
    outdated: int = 0
    cuts: int = 0
    rows: list[RowRecord] = field(default_factory=list)


class ExitReason(NamedTuple):
    """How it ended: `text` says what stopped it in full, `reason` without what an endpoint said."""

    exit_code: int
    text: str | None
    reason: str


class Ending:
    """Ends the session of `job`; `text` is the job as written, to be kept with the output."""

    def __init__(self, job: JobSpec, text: str, signals: Signals, tell: Subscriber) -> None:
        self._job = job
        self._text = text
        self._signals = signals
        self._tell = tell
        self.rates: Rates | None = None
        """What is known of prices, once it is."""

    def end(self, folder: Path, ledger: Ledger, drove: RunLoopResult, aside: list[Path]) -> RunResult:
        """Publish where the contract says so, and draw the sum."""
        output, totals = self._job.output, ledger.totals
        why = self._why(drove, ledger)
        content = publish.content_of(ledger, output)
        if why.exit_code in _PUBLISHED and not publish.is_published(output.path, content, totals.finished):
            self._tell(Publishing(totals.finished))
            try:
                with self._signals.left_alone():
                    publish.publish(output, folder, ledger, {**self._metadata(), "content": content}, drove.left)
            except MachineError as error:
                why = ExitReason(error.exit_code, str(error), str(error))
        change = self._tell_finished(why, drove, ledger)
        return RunResult(
            exit_code=why.exit_code,
            elapsed_s=drove.elapsed_s,
            ledger=ledger,
            left=drove.left,
            stopped=why.text,
            rows=drove.rows,
            set_aside=aside,
            change=change,
            outdated=drove.outdated,
        )

    def refuse(self, drove: RunLoopResult, ledger: Ledger) -> None:
        """Tell that it ended with an error which the caller raises; nothing is published."""
        self._tell_finished(self._why(drove, ledger), drove, ledger)

    def _tell_finished(self, why: ExitReason, drove: RunLoopResult, ledger: Ledger) -> tuple[str, ...]:
        """Tell the end; what the same command needs to go on."""
        totals = ledger.totals
        change: tuple[str, ...] = ()
        if drove.stop is not None and why.exit_code == BudgetError.exit_code:
            change = change_to_go_on(drove.stop, self._job, ledger, (drove.left or 0) + drove.outdated)
        self._tell(
            Finished(
                exit_code=why.exit_code,
                text=why.text or "",
                reason=why.reason,
                answered=totals.answered,
                failed=totals.failed,
                invalid=totals.invalid,
                left=drove.left,
                cost_usd=totals.known_cost_usd,
                change=change,
                possibly_billed=totals.possibly_billed,
                possibly_billed_usd=None if totals.unbounded else totals.possibly_billed_usd * ledger.dearest,
            )
        )
        return change

    def _why(self, drove: RunLoopResult, ledger: Ledger) -> ExitReason:
        if isinstance(drove.error, MachineError):  # whatever else ended it: what could not be kept comes first
            return ExitReason(drove.error.exit_code, str(drove.error), str(drove.error))
        if self._signals.received is not None:
            words = signal_words(self._signals, drove.cuts)
            return ExitReason(_SIGNALLED + self._signals.received, words, words)
        if drove.error is not None:
            return ExitReason(drove.error.exit_code, str(drove.error), str(drove.error))
        if drove.stop is not None:
            if drove.stop.reason in OWN_BOUNDS:
                words = bound_words(drove.stop, self._job, ledger)
                return ExitReason(BudgetError.exit_code, words, words)
            return ExitReason(EndpointError.exit_code, stop_words(drove.stop, self._job), stop_reason(drove.stop))
        totals = ledger.totals
        return ExitReason(EXIT_ROWS_FAILED if totals.failed or totals.invalid else EXIT_OK, None, "")

    def _metadata(self) -> dict[str, Any]:
        job = self._job
        rate = None if self.rates is None else self.rates.rate(job.model)
        return {
            "name": job.name,
            "job": self._text,
            "model": job.model,
            "endpoint": job.host,
            "inputs": list(job.input.paths),
            "max_cost_usd": None if job.budget.max_cost is None else str(job.budget.max_cost),
            "price": None
            if rate is None
            else {
                "input": str(rate.price.input),
                "output": str(rate.price.output),
                "cached_input": None if rate.price.cached_input is None else str(rate.price.cached_input),
                "source": rate.source,
                "said_by": rate.source_name,
                "as_of": None if rate.as_of is None else rate.as_of.isoformat(),
            },
        }
