"""Why a run ended, and how to continue after it; the only place that decides this.

A failed write of the journal takes precedence over everything else; then a signal, an error, a stop, and last the
status of the rows.
"""

from __future__ import annotations

import signal
from asyncio import CancelledError
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from batchchat.core.next_step import AS_BEFORE, NextStep
from batchchat.core.record import RowRecord
from batchchat.errors import (
    EXIT_DEFECT,
    EXIT_OK,
    EXIT_ROWS_FAILED,
    BatchchatError,
    BudgetError,
    EndpointError,
    MachineError,
    UsageError,
    error_of_machine,
)
from batchchat.execution.messages import OWN_BOUNDS, bound_words, next_usd, signal_words, stop_reason, stop_words
from batchchat.execution.signals import Signals
from batchchat.job import JobSpec
from batchchat.policy.budget import enough_usd
from batchchat.policy.deadline import TIME_UP
from batchchat.policy.decision import Halt
from batchchat.policy.failure_streak import ALL_FAIL_ALIKE, NOW_FAIL_ALIKE
from batchchat.store.ledger import Ledger
from batchchat.text import numbers

__all__ = ["ExitReason", "RunLoopResult", "error_reason", "exit_reason"]

_SIGNALLED = 128
DEFECT = "a defect of batchchat; see run.log"
_STOPPED_BY = {
    UsageError.exit_code: "by its input",
    EndpointError.exit_code: "by the endpoint",
    MachineError.exit_code: "by this machine",
}


@dataclass(slots=True)
class RunLoopResult:
    """The result of a run loop; the defaults are those of a run with nothing to send.

    `left` rows have no record yet (None: not known), and `outdated` have one but were to be sent again; `undecided`
    answers are kept, though their request has changed. `rows` are the first of the `count` rows that were finished.
    `estimated_total` is what is known of an input whose end was not seen, `cancelled` counts the requests that were
    cancelled in flight; `paid_before_usd` was paid for the job before this run. `is_noop` where there was nothing to
    send or record.
    """

    stop: Halt | None = None
    error: BatchchatError | None = None
    elapsed_s: float = 0.0
    left: int | None = None
    outdated: int = 0
    cancelled: int = 0
    rows: list[RowRecord] = field(default_factory=list)
    undecided: int = 0
    count: int = 0
    estimated_total: int | None = None
    paid_before_usd: Decimal = field(default_factory=Decimal)
    is_noop: bool = False


class ExitReason(NamedTuple):
    """How a run ended: `text` says what stopped it in full, `reason` without what an endpoint said.

    `stopped_by` says it in a few words that follow "stopped": `by SIGTERM`.
    """

    exit_code: int
    text: str | None
    reason: str
    next_step: NextStep = AS_BEFORE
    stopped_by: str = ""


def exit_reason(result: RunLoopResult, signals: Signals, job: JobSpec, ledger: Ledger) -> ExitReason:
    """The reason why the run of `job` ended, from its `result`."""
    error, stop = result.error, result.stop
    if isinstance(error, MachineError):
        return error_reason(error)
    if signals.received is not None:
        words = signal_words(signals, result.cancelled)
        return ExitReason(_SIGNALLED + signals.received, words, words, stopped_by=f"by {signals.name}")
    if error is not None:
        return error_reason(error, result.count)
    if stop is not None:
        if stop.reason in OWN_BOUNDS:
            words = bound_words(stop, job, ledger)
            left = (result.left or 0) + result.outdated
            next_step = next_step_after_bound(stop, job, ledger, left)
            return ExitReason(BudgetError.exit_code, words, words, next_step, _bound_name(stop, job))
        failed_alike = stop.reason in {ALL_FAIL_ALIKE, NOW_FAIL_ALIKE}
        next_step = NextStep(retry_failed=failed_alike)
        words, reason = stop_words(stop, job), stop_reason(stop)
        return ExitReason(EndpointError.exit_code, words, reason, next_step, "by the endpoint")
    totals = ledger.totals
    return ExitReason(EXIT_ROWS_FAILED if totals.failed or totals.invalid or result.undecided else EXIT_OK, None, "")


def error_reason(error: BaseException, count: int = 0) -> ExitReason:
    """The reason where a run was refused by `error`, or broke off after `count` rows; a signal's exit is one, too.

    Only asyncio cancels a run from outside: at a Ctrl-C that comes before the run handles signals.
    """
    error = error_of_machine(error, sent=True) or error
    if isinstance(error, BatchchatError):
        refused = isinstance(error, UsageError) and not count
        stopped_by = "before it began" if refused else _STOPPED_BY.get(error.exit_code, "")
        return ExitReason(error.exit_code, str(error), str(error), stopped_by=stopped_by)
    if isinstance(error, SystemExit | KeyboardInterrupt | CancelledError):
        code = error.code if isinstance(error, SystemExit) else _SIGNALLED + signal.SIGINT
        if isinstance(code, int) and code > _SIGNALLED:
            name = signal.Signals(code - _SIGNALLED).name
            return ExitReason(code, f"{name}, at once.", f"{name}, at once.", stopped_by=f"by {name}")
    return ExitReason(EXIT_DEFECT, DEFECT, DEFECT, stopped_by="by a defect of batchchat; its traceback is in run.log")


def _bound_name(stop: Halt, job: JobSpec) -> str:
    """`at budget.max_cost ($5.0000)`: the limit of the job's own that was reached."""
    if stop.reason == TIME_UP:
        assert job.budget.stop_at is not None
        return f"at budget.stop_at ({job.budget.stop_at.written})"
    return f"at budget.max_cost ({numbers.money(job.budget.max_cost)})"


def next_step_after_bound(stop: Halt, job: JobSpec, ledger: Ledger, left: int) -> NextStep:
    """The change to the command that continues after `stop`, one of the job's own limits, with `left` rows to send."""
    if stop.reason == TIME_UP:
        is_moment = job.budget.stop_at is not None and job.budget.stop_at.moment is not None
        return NextStep(("--set", "budget.stop_at=null")) if is_moment else AS_BEFORE
    assert job.budget.max_cost is not None
    counted_usd = ledger.paid_usd + ledger.uncertain_cost.upper_bound_usd
    answered = ledger.totals.answered
    usd = enough_usd(job.budget.max_cost, counted_usd, next_usd(stop), answered=answered, left=left or answered)
    if job.input.shard is not None:
        usd *= job.input.shard.of  # the option is of all shards together, as the key is
    return NextStep(("--max-cost", f"{usd:f}"))
