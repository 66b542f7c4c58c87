"""Why a run ended, and how to continue after it; the only place that decides this.

A failed write of the journal takes precedence over everything else; then a signal, an error, a stop, and last the
status of the rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from batchchat.core.next_step import AS_BEFORE, NextStep
from batchchat.core.record import RowRecord
from batchchat.errors import EXIT_OK, EXIT_ROWS_FAILED, BatchchatError, BudgetError, EndpointError, MachineError
from batchchat.job import JobSpec
from batchchat.policy.budget import enough_usd
from batchchat.policy.deadline import TIME_UP
from batchchat.policy.decision import Halt
from batchchat.policy.failure_streak import ALL_FAIL_ALIKE, NOW_FAIL_ALIKE
from batchchat.run.messages import OWN_BOUNDS, bound_words, next_usd, signal_words, stop_reason, stop_words
from batchchat.run.signals import Signals
from batchchat.store.ledger import Ledger

__all__ = ["ExitReason", "RunLoopResult", "exit_reason"]

_SIGNALLED = 128


@dataclass(slots=True)
class RunLoopResult:
    """The result of a run loop; the defaults are those of a run with nothing to send.

    `left` rows have no record yet (None: not known), and `outdated` have one but were to be sent again. `rows` are the
    first that were finished, `cancelled` the requests that were cancelled in flight.
    """

    stop: Halt | None = None
    error: BatchchatError | None = None
    elapsed_s: float = 0.0
    left: int | None = None
    outdated: int = 0
    cancelled: int = 0
    rows: list[RowRecord] = field(default_factory=list)


class ExitReason(NamedTuple):
    """How a run ended: `text` says what stopped it in full, `reason` without what an endpoint said."""

    exit_code: int
    text: str | None
    reason: str
    next_step: NextStep = AS_BEFORE


def exit_reason(result: RunLoopResult, signals: Signals, job: JobSpec, ledger: Ledger) -> ExitReason:
    """The reason why the run of `job` ended, from its `result`."""
    error, stop = result.error, result.stop
    if isinstance(error, MachineError):
        return ExitReason(error.exit_code, str(error), str(error))
    if signals.received is not None:
        words = signal_words(signals, result.cancelled)
        return ExitReason(_SIGNALLED + signals.received, words, words)
    if error is not None:
        return ExitReason(error.exit_code, str(error), str(error))
    if stop is not None:
        if stop.reason in OWN_BOUNDS:
            words = bound_words(stop, job, ledger)
            left = (result.left or 0) + result.outdated
            return ExitReason(BudgetError.exit_code, words, words, next_step_after_bound(stop, job, ledger, left))
        failed_alike = stop.reason in {ALL_FAIL_ALIKE, NOW_FAIL_ALIKE}
        next_step = NextStep(retry_failed=failed_alike)
        return ExitReason(EndpointError.exit_code, stop_words(stop, job), stop_reason(stop), next_step)
    totals = ledger.totals
    return ExitReason(EXIT_ROWS_FAILED if totals.failed or totals.invalid else EXIT_OK, None, "")


def next_step_after_bound(stop: Halt, job: JobSpec, ledger: Ledger, left: int) -> NextStep:
    """The change to the command that continues after `stop`, one of the job's own limits, with `left` rows to send."""
    if stop.reason == TIME_UP:
        is_moment = job.budget.stop_at is not None and job.budget.stop_at.moment is not None
        return NextStep(("--set", "budget.stop_at=null")) if is_moment else AS_BEFORE
    assert job.budget.max_cost is not None
    counted_usd = ledger.paid_usd + ledger.uncertain_cost.upper_bound_usd
    answered = ledger.totals.answered
    usd = enough_usd(job.budget.max_cost, counted_usd, next_usd(stop), answered=answered, left=left or answered)
    return NextStep(("--max-cost", f"{usd:f}"))
