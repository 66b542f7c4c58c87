"""`estimate`: tokens, cost and duration of a job before spending, from Python."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from batchchat.api.background import BackgroundRun, machine_errors, wait
from batchchat.api.job import Job, job_from
from batchchat.api.result import Result
from batchchat.api.summary_table import html_text
from batchchat.errors import JobError, UsageError
from batchchat.execution.run_command import RunCommand
from batchchat.execution.runner import run_job
from batchchat.execution.wiring import redactor_for
from batchchat.preflight.assumptions import model_list
from batchchat.preflight.estimate import Pilot, PilotPlan
from batchchat.preflight.estimate import estimate as estimate_job
from batchchat.preflight.pilot_run import pilot_run
from batchchat.reporting.estimate import estimate_json, estimate_text
from batchchat.results.reader import output_of
from batchchat.text.display import PROGRESS, display_for

if TYPE_CHECKING:
    from batchchat.api.run import JobLike
    from batchchat.execution.ending import RunResult
    from batchchat.execution.signals import Signals
    from batchchat.job import JobSpec
    from batchchat.preflight.job_estimate import JobEstimate

__all__ = ["CostRange", "Estimate", "estimate"]


class CostRange(NamedTuple):
    """Costs in USD; None is unknown."""

    low: float | None
    expected: float | None
    worst: float | None


class Estimate:
    """What a job is expected to take, of the whole job and of the rows that are left.

    `print` shows the text of `batchchat estimate`, and a notebook shows it, too.
    """

    def __init__(self, estimates: list[JobEstimate]) -> None:
        self.summary: dict[str, Any] = estimate_json(estimates)
        """What `batchchat estimate --json` prints: rows, tokens, cost in USD, duration in seconds, their sources."""
        self._text = estimate_text(estimates, None)

    @property
    def cost_usd(self) -> CostRange | None:
        """The cost of the whole job in USD; None where no price is known."""
        return _range(self.summary["cost_usd"])

    @property
    def left_cost_usd(self) -> CostRange | None:
        """The cost in USD of the rows that are left to send; None where no price is known."""
        return _range(self.summary["left_cost_usd"])

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"<Estimate of {self.summary['job']}: {self.summary['rows_left']} rows left, {self.left_cost_usd}>"

    def _repr_html_(self) -> str:
        return html_text(self._text)


def _range(costs: dict[str, float | None] | None) -> CostRange | None:
    return None if costs is None else CostRange(**costs)


def estimate(
    job: JobLike,
    /,
    *,
    pilot: int | None = None,
    seed: int = 0,
    like: str | os.PathLike[str] | None = None,
    compare: str | Iterable[str] = (),
    progress: str = "auto",
    **keys: Any,
) -> Estimate:
    """Estimate tokens, cost and duration of `job`, and say where each figure comes from.

    `keys` are those of `Job.override`. Without `pilot` no row is sent, nothing is written, and no key is needed; the
    endpoint is asked for its list of models. With `pilot` as many rows, sampled by `seed`, are sent as rows of the job:
    their answers are kept, and the run does not pay for them again; `progress` is shown as `run` shows it. `like` is a
    job file or an output whose replies give the lengths. `compare` names other models, each at its own price.

    Raises `UsageError` (`JobError`, `InputError`, `OutputError`) where a run would be refused, and of a pilot that
    stops early what `Result.check` raises.
    """
    _check(pilot, seed, progress)
    if pilot is not None and like is not None:
        raise UsageError("pilot and like contradict each other: reply lengths come from one of them.")
    whole = job_from(job, keys)
    spec = _spec(whole, needs_key=pilot is not None)
    command = None if whole.path is None else RunCommand(whole.path, {}, tuple(whole.changes)).text()

    def send(plan: PilotPlan) -> None:
        piloted, options = pilot_run(spec, plan, command)
        display = display_for(progress, sys.stderr)

        async def run_pilot(signals: Signals) -> RunResult:
            with machine_errors(redactor_for(spec, os.environ).redact):
                return await run_job(piloted, options, [display], signals=signals)

        ended = wait(BackgroundRun(run_pilot))
        Result(spec.output.path, ended).check()

    names = (compare,) if isinstance(compare, str) else tuple(compare)
    models = wait(BackgroundRun(lambda _: model_list(spec, os.environ)))
    return Estimate(
        estimate_job(
            spec,
            pilot=None if pilot is None else Pilot(pilot, seed, send),
            like=None if like is None else output_of(Path(like), os.environ),
            compare=names,
            models=models,
        )
    )


def _check(pilot: object, seed: object, progress: str) -> None:
    """Raise `UsageError` for an argument of `estimate` that is none."""
    for name, value, least in (("pilot", pilot, 1), ("seed", seed, 0)):
        if value is not None and (not isinstance(value, int) or value < least):
            raise UsageError(f"{name} is {value!r}. It takes a whole number of at least {least}.")
    if progress not in PROGRESS:
        raise UsageError(f"progress is {progress!r}. It takes {', '.join(PROGRESS)}.")


def _spec(job: Job, *, needs_key: bool) -> JobSpec:
    """The job with its key; without it where the estimate `needs_key` not, and none is set."""
    try:
        return job.spec()
    except JobError:
        if needs_key:
            raise
        return job.spec(reads_key=False)
