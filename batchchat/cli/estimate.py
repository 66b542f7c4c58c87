"""`batchchat estimate`."""

from __future__ import annotations

import os
import shlex
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from batchchat.cli.confirm import confirm
from batchchat.cli.errors import ErrorBoundary, guarded
from batchchat.cli.output import put, say, style
from batchchat.cli.runner import event_loop, follower_of
from batchchat.cli.set_option import override, set_option, shown_again
from batchchat.cli.shard_option import shard_option, to_shard
from batchchat.errors import EXIT_OK, EXIT_ROWS_FAILED, JobError
from batchchat.job import JobSpec, load_job
from batchchat.text.numbers import shown_path

if TYPE_CHECKING:
    from batchchat.preflight.estimate import PilotPlan
    from batchchat.preflight.job_estimate import JobEstimate

__all__ = ["estimate"]


@click.command(
    epilog="Example:\n\n    batchchat estimate jobs/first.yaml --pilot 20 --yes",
)
@click.argument("job", type=click.Path(path_type=Path))
@click.option("--pilot", type=click.IntRange(min=1), metavar="N", help="Send N sampled rows, and keep their answers.")
@click.option("--seed", type=click.IntRange(min=0), default=0, metavar="K", help="Which rows the pilot samples.")
@click.option(
    "--like", type=click.Path(path_type=Path), metavar="JOB|OUTPUT", help="Take reply lengths from another run."
)
@click.option("--compare", metavar="MODEL[,MODEL]", help="Compare with other models.")
@click.option("--yes", is_flag=True, help="Send the pilot without asking.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@shard_option
@set_option
def estimate(
    job: Path,
    *,
    pilot: int | None,
    seed: int,
    like: Path | None,
    compare: str | None,
    yes: bool,
    as_json: bool,
    shard: str | None,
    sets: tuple[str, ...],
) -> None:
    """Estimate the tokens, cost and duration of a job, and show the source of each figure.

    Without --pilot no row is sent, nothing is written, and no key is needed; the endpoint is asked for its list of
    models, which has prices and context lengths. A pilot's rows are rows of the job: their answers are kept, and the
    run does not pay for them again. With the same seed a larger pilot contains the smaller one. Exit codes: 0 there is
    an estimate, 2 refused; of a pilot that stopped, those of run.
    """
    with guarded() as boundary:
        if pilot is not None and like is not None:
            raise click.UsageError("--pilot and --like contradict each other: reply lengths come from one of them.")
        spec, arguments = _load(job, sets, shard, needs_key=pilot is not None)
        from batchchat import lossless_json
        from batchchat.execution.wiring import redactor_for
        from batchchat.preflight.assumptions import model_list
        from batchchat.preflight.estimate import Pilot
        from batchchat.preflight.estimate import estimate as estimate_job
        from batchchat.reporting.estimate import estimate_json, estimate_text
        from batchchat.results.reader import output_of

        run_command = shlex.join(["batchchat", "run", *arguments])

        def send(plan: PilotPlan) -> None:
            confirm(
                _pilot_cost(spec, plan),
                "Send them?",
                yes=yes,
                without_terminal="There is no terminal to ask on; --yes sends them.",
            )
            code = _run_pilot(spec, plan, run_command, boundary)
            if code not in {EXIT_OK, EXIT_ROWS_FAILED}:
                sys.exit(code)

        estimates = estimate_job(
            spec,
            pilot=None if pilot is None else Pilot(pilot, seed, send),
            like=None if like is None else output_of(like, os.environ),
            compare=[] if compare is None else [name for name in map(str.strip, compare.split(",")) if name],
            models=event_loop(model_list(spec, os.environ)),
        )
        if as_json:
            put(lossless_json.dumps(estimate_json(estimates)).decode())
            return
        next_command = shlex.join(["batchchat", *_next_words(estimates[0], spec, arguments)])
        head, _, body = estimate_text(estimates, redactor_for(spec, os.environ).redact(next_command)).partition("\n")
        is_sure = estimates[0].forecast.measured or not estimates[0].load.left
        put(f"{style(head, 'green' if is_sure else 'yellow')}\n{body}")


def _load(job: Path, sets: tuple[str, ...], shard: str | None, *, needs_key: bool) -> tuple[JobSpec, list[str]]:
    """The job, or a shard of it, and the arguments that name it in a command.

    It has its key, or none where the estimate `needs_key` not and none is set.
    """
    load = partial(load_job, job, overrides=[override(text) for text in sets], environ=os.environ)
    try:
        whole = load()
    except JobError:
        if needs_key:
            raise
        whole = load(reads_key=False)
    arguments = [str(job), *(word for text in sets for word in ("--set", shown_again(text)))]
    (spec,), noted = to_shard([whole], shard)
    if noted is not None:
        from batchchat.text.shard_lines import shard_noted

        say(shard_noted(noted))
        arguments += ["--shard", str(spec.input.shard)]
    return spec, arguments


def _next_words(estimate: JobEstimate, job: JobSpec, arguments: list[str]) -> list[str]:
    """The command that has something to do: the run, a pilot first where no reply was measured, or the report."""
    load = estimate.load
    if load.left:
        return ["run", *arguments] if estimate.forecast.measured else ["estimate", *arguments, "--pilot", "100"]
    if load.undecided or load.too_long:
        return ["run", *arguments]
    if load.kept_failed:
        return ["run", *arguments, "--retry-failed"]
    return ["report", arguments[0] if job.input.shard is None else shown_path(job.output.path)]


def _pilot_cost(job: JobSpec, plan: PilotPlan) -> str:
    """The rows that a pilot sends, and their maximum cost."""
    from batchchat.text import numbers

    cost = "maximum cost unknown"
    if plan.max_usd is not None:
        cost = f"maximum cost {numbers.money(plan.max_usd)} at {plan.price}"
    rows = f"a pilot of {numbers.rows(plan.rows)}"
    if plan.rows != plan.input_rows:
        rows += f" (all variants and samples of {numbers.quantity(plan.input_rows, 'input row')})"
    if plan.rows == plan.left:
        rows = "the remaining row" if plan.rows == 1 else f"the remaining {numbers.rows(plan.rows)}"
    return f"{job.name}: sending {rows} to {job.host}; {cost}. The run keeps the answers."


def _run_pilot(job: JobSpec, plan: PilotPlan, run_command: str, boundary: ErrorBoundary) -> int:
    """Run the pilot's rows as a run of the job, and say why it stopped if it did; returns its exit code."""
    from batchchat.execution.runner import run_job
    from batchchat.execution.wiring import redactor_for
    from batchchat.preflight.pilot_run import pilot_run

    boundary.redact = redactor_for(job, os.environ).redact

    def opened(folder: Path) -> None:
        boundary.folder = folder

    result = event_loop(run_job(*pilot_run(job, plan, run_command), [follower_of("auto")], opened=opened))
    if result.stopped:
        say(f"{style('stopped:', 'red')} {result.stopped}")
    return result.exit_code
