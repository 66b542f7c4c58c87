"""The end of a run: whether the Parquet is published, and what is reported. The only place for every end.

The Parquet is published with the rows there are wherever the run ended in order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from batchchat.core.events import Finished, Publishing
from batchchat.core.next_step import AS_BEFORE, NextStep
from batchchat.core.record import RowRecord
from batchchat.errors import EXIT_OK, EXIT_ROWS_FAILED, BudgetError, EndpointError, MachineError
from batchchat.pricing.rates import Rates
from batchchat.run import publish
from batchchat.run.context import RunContext
from batchchat.run.exit_reason import ExitReason, RunLoopResult, exit_reason
from batchchat.store.ledger import Ledger

__all__ = ["RunResult", "finish", "tell_refused"]

_PUBLISHED = {EXIT_OK, EXIT_ROWS_FAILED, BudgetError.exit_code, EndpointError.exit_code}


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended. `stopped` says why, in words, where something did; `rows` are the first rows it finished.

    `left` rows have no record yet (None: not known), and `outdated` have one but were to be sent again. `next_step` is
    the change to the command that continues; `set_aside` are the paths that `fresh` moved the previous output to.
    """

    exit_code: int
    elapsed_s: float
    ledger: Ledger
    left: int | None
    stopped: str | None = None
    rows: list[RowRecord] = field(default_factory=list)
    set_aside: list[Path] = field(default_factory=list)
    next_step: NextStep = AS_BEFORE
    outdated: int = 0


def finish(context: RunContext, folder: Path, ledger: Ledger, result: RunLoopResult, rates: Rates | None) -> RunResult:
    """Publish the output if the run ended in order, and report how it ended; `rates` go into the metadata."""
    job, rows = context.job, ledger.totals.finished
    reason = exit_reason(result, context.signals, job, ledger)
    content = publish.content_of(ledger, job.output)
    if reason.exit_code in _PUBLISHED and not publish.is_published(job.output.path, content, rows):
        context.tell(Publishing(rows))
        metadata = {**_metadata(context, rates), "content": content}
        try:
            with context.signals.left_alone():
                publish.publish(job.output, folder, ledger, metadata, result.left)
        except MachineError as error:
            reason = ExitReason(error.exit_code, str(error), str(error))
    _tell_finished(context, reason, result, ledger)
    return RunResult(
        exit_code=reason.exit_code,
        elapsed_s=result.elapsed_s,
        ledger=ledger,
        left=result.left,
        stopped=reason.text,
        rows=result.rows,
        next_step=reason.next_step,
        outdated=result.outdated,
    )


def tell_refused(context: RunContext, result: RunLoopResult, ledger: Ledger) -> None:
    """Report that the run ended with an error, which the caller raises; nothing is published."""
    _tell_finished(context, exit_reason(result, context.signals, context.job, ledger), result, ledger)


def _tell_finished(context: RunContext, reason: ExitReason, result: RunLoopResult, ledger: Ledger) -> None:
    totals = ledger.totals
    context.tell(
        Finished(
            exit_code=reason.exit_code,
            text=reason.text or "",
            reason=reason.reason,
            answered=totals.answered,
            failed=totals.failed,
            invalid=totals.invalid,
            left=result.left,
            cost_usd=totals.known_cost_usd,
            next_step=reason.next_step,
            possibly_billed=totals.possibly_billed,
            possibly_billed_usd=None if totals.unbounded else totals.possibly_billed_usd * ledger.max_price_ratio,
        )
    )


def _metadata(context: RunContext, rates: Rates | None) -> dict[str, Any]:
    """The job's part of the output's metadata."""
    job = context.job
    rate = None if rates is None else rates.rate(job.model)
    return {
        "name": job.name,
        "job": context.redactor.redact(job.text),
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
