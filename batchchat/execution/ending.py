"""The end of a run: whether the Parquet is published, and what is reported. The only place for every end.

The Parquet is published with the rows there are wherever the run ended in order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchchat.core.events import Finished, Publishing
from batchchat.core.next_step import AS_BEFORE, NextStep
from batchchat.core.record import RowRecord
from batchchat.core.run_figures import RunFigures, ThisRun, running_s
from batchchat.core.totals import TOKEN_FIELDS
from batchchat.errors import EXIT_OK, EXIT_ROWS_FAILED, BudgetError, EndpointError, MachineError
from batchchat.execution.context import RunContext
from batchchat.execution.early_output import EarlyOutput
from batchchat.execution.exit_reason import ExitReason, RunLoopResult, error_reason, exit_reason
from batchchat.job.paths import relative_inputs
from batchchat.pricing.rates import Rates
from batchchat.store.ledger import Ledger

if TYPE_CHECKING:
    from batchchat.store.remote_output import RemoteResult

__all__ = ["RunResult", "finish", "tell_broken"]

_PUBLISHED = {EXIT_OK, EXIT_ROWS_FAILED, BudgetError.exit_code, EndpointError.exit_code}


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended. `stopped` says why, in words, where something did; `rows` are the first rows it finished.

    `left` rows have no record yet (None: not known), and `outdated` have one but were to be sent again; the request of
    `undecided` ones has changed, and their answers were kept. `next_step` is the change to the command that continues;
    `set_aside` are the paths that `fresh` moved the previous output to. `is_noop` where there was nothing to do.
    """

    exit_code: int
    elapsed_s: float
    ledger: Ledger
    left: int | None
    stopped: str | None = None
    # Not shown: when a run ends, asyncio shows its main task twice, to no one, and with it what the run returns.
    rows: list[RowRecord] = field(default_factory=list, repr=False)
    set_aside: list[str] = field(default_factory=list)
    next_step: NextStep = AS_BEFORE
    outdated: int = 0
    undecided: int = 0
    stopped_by: str = ""
    is_noop: bool = False
    figures: RunFigures = field(default_factory=RunFigures)
    remote: RemoteResult | None = None
    """The output in its object store."""
    summary: Mapping[str, Any] = field(default_factory=dict)
    """The object that `run --json` prints and `on_finish` reads."""


def finish(
    context: RunContext,
    folder: Path,
    ledger: Ledger,
    result: RunLoopResult,
    rates: Rates | None,
    *,
    early: EarlyOutput | None = None,
) -> RunResult:
    """Publish the output if the run ended in order, and report how it ended; `rates` go into the metadata.

    `early` is what was written of the output while the run went on.
    """
    from batchchat.execution import publish  # pyarrow, which is not needed before

    job, rows = context.job, ledger.totals.finished
    reason = exit_reason(result, context.signals, job, ledger)
    if (limit := context.options.limit) is not None:
        reason = _with_limit(reason, limit, result)
    parsed = publish.parsed_fields(job.expect)
    content = publish.content_of(ledger, job.output, parsed)
    is_published = publish.is_published(job.output.path, folder, content, rows)
    remote: RemoteResult | None = None
    if reason.exit_code in _PUBLISHED:
        try:
            with context.signals.left_alone():
                if not is_published:
                    context.tell(Publishing(rows))
                    metadata = {**_metadata(context, rates), "content": content, "ended": _ended(reason)}
                    publish.publish(job.output, folder, ledger, metadata, result.left, parsed=parsed, early=early)
                if context.remote is not None:
                    from batchchat.execution.remote import upload

                    remote = upload(context, context.remote)
        except MachineError as error:
            reason = error_reason(error)
    figures = figures_of(result, ledger)
    _tell_finished(context, reason, figures)
    return RunResult(
        exit_code=reason.exit_code,
        elapsed_s=result.elapsed_s,
        ledger=ledger,
        left=result.left,
        stopped=reason.text,
        rows=result.rows,
        next_step=reason.next_step,
        outdated=result.outdated,
        figures=figures,
        stopped_by=reason.stopped_by,
        is_noop=result.is_noop and is_published and reason.text is None and not (remote and remote.uploaded),
        remote=remote,
        undecided=result.undecided,
    )


def _with_limit(reason: ExitReason, limit: int, result: RunLoopResult) -> ExitReason:
    """`reason` of a run that may send `limit` rows: the next one sends those of them that are left."""
    stopped_by = f"at --limit {limit}" if reason.text is None and result.left else reason.stopped_by
    return reason._replace(next_step=reason.next_step.with_limit(limit - result.count), stopped_by=stopped_by)


def tell_broken(context: RunContext, error: BaseException, result: RunLoopResult, ledger: Ledger) -> None:
    """Report that the run was refused or broke off with `error`, which the caller raises; nothing is published."""
    _tell_finished(context, error_reason(error, result.count), figures_of(result, ledger))


def _tell_finished(context: RunContext, reason: ExitReason, figures: RunFigures) -> None:
    redact = context.redactor.redact
    context.tell(
        Finished(
            exit_code=reason.exit_code,
            text=redact(reason.text or ""),
            reason=redact(reason.reason),
            figures=figures,
            next_step=reason.next_step,
            stopped_by=reason.stopped_by,
        )
    )


def figures_of(result: RunLoopResult, ledger: Ledger) -> RunFigures:
    """The figures of the job at the end of a run."""
    totals, off_row, paid_usd = ledger.totals, ledger.off_row_costs, ledger.known_paid_usd
    this_run_usd = None if paid_usd is None else paid_usd - result.paid_before_usd
    return RunFigures(
        rows=totals.counts(result.left, result.undecided),
        outdated=result.outdated,
        estimated_total=result.estimated_total,
        paid_usd=paid_usd,
        superseded_usd=off_row.superseded_usd,
        unknown_cost_rows=totals.unknown_cost_rows,
        possibly_billed=totals.possibly_billed + off_row.pending_possibly_billed + off_row.at_risk,
        possibly_billed_usd=None if off_row.unbounded or ledger.at_risk.unpriced else off_row.unsure_usd,
        broke_off=totals.possibly_billed,
        broke_off_usd=None if totals.unbounded else totals.possibly_billed_usd * ledger.max_price_ratio,
        tokens={name: totals.tokens.get(name) for name in TOKEN_FIELDS},
        cache_saved_usd=off_row.cache_saved_usd,
        failures={kind: count for kind, count in totals.failures.items() if count},
        replies=totals.replies_json(),
        of_mock=bool(totals.mock_answers),
        # This run's own time is of a clock that can't jump.
        running_s=running_s(ledger.sessions[:-1] if result.elapsed_s else ledger.sessions) + result.elapsed_s,
        this_run=ThisRun(result.count, this_run_usd, result.elapsed_s),
    )


def _ended(reason: ExitReason) -> dict[str, Any]:
    """How the run ended, for an output that has lost its run folder."""
    finished = reason.exit_code in {EXIT_OK, EXIT_ROWS_FAILED}
    return {"state": "finished" if finished else "stopped", "stopped_by": reason.stopped_by or None}


def _metadata(context: RunContext, rates: Rates | None) -> dict[str, Any]:
    """The job's part of the output's metadata."""
    job = context.job
    rate = None if rates is None else rates.rate(job.model)
    return {
        "name": job.name,
        "job": context.redactor.redact(job.text),
        "model": ", ".join(job.models),
        "endpoint": job.host,
        **({"endpoints": [entry.name for entry in job.endpoints]} if job.endpoints else {}),
        "mock": job.is_mock,
        "inputs": relative_inputs(job.input.paths, job.output.path.parent),
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
