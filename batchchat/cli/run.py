"""`batchchat run`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from batchchat.cli.ending import Ending, JsonEnding, TextEnding
from batchchat.cli.errors import ErrorBoundary, guarded
from batchchat.cli.job_options import input_again, load_jobs, path_or_url, short_options, values_of
from batchchat.cli.output import say, say_error, style
from batchchat.cli.resend_option import to_resend
from batchchat.cli.runner import at_a_terminal, event_loop, follower_of
from batchchat.cli.set_option import set_option, shown_again
from batchchat.cli.shard_option import shard_option, to_shard
from batchchat.cli.stages import Stage, check_stages
from batchchat.errors import EXIT_OK, EXIT_ROWS_FAILED, BatchchatError, MachineError
from batchchat.execution.collector import rare_collections
from batchchat.execution.run_command import (
    CHANGED,
    FAILED,
    KEEP_CHANGED,
    LIMIT,
    RETRY_FAILED,
    RunCommand,
    next_commands_of_stages,
    resend_options,
)
from batchchat.job import JobSpec
from batchchat.text.escape import escaped
from batchchat.text.numbers import shown_path

if TYPE_CHECKING:
    from batchchat.cli.stages_ending import StagesEnding
    from batchchat.core.events import Subscriber
    from batchchat.execution.context import RunOptions
    from batchchat.execution.disposition import OnChanged
    from batchchat.execution.ending import RunResult
    from batchchat.execution.signals import Signals

__all__ = ["run"]


@click.command(
    epilog="Example:\n\n    batchchat run jobs/first.yaml --limit 5",
)
@click.argument("jobs", nargs=-1, required=True, metavar="JOB...", type=click.Path(path_type=Path))
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Send at most N rows in this run.")
@short_options
@click.option(
    "--output",
    type=click.Path(),
    callback=path_or_url,
    metavar="PATH",
    help="Where the Parquet goes: a path, or s3:// gs:// az://.",
)
@click.option(
    "--resend",
    multiple=True,
    metavar="WHAT",
    help="Send finished rows again: `failed`, an error kind, `cut-off`, `changed`, or `@FILE` with one id a line.",
)
@click.option("--retry-failed", is_flag=True, help="The same as `--resend failed`.")
@click.option("--keep-changed", is_flag=True, help="Keep the answers of rows whose request changed.")
@click.option("--fresh", is_flag=True, help="Rename the old run to a dated name and start over.")
@click.option("--strict", is_flag=True, help="Send nothing if any row is invalid.")
@click.option(
    "--yes",
    is_flag=True,
    help="Run without asking, though it costs more than `confirm_above`, or the output is another job's.",
)
@shard_option
@set_option
@click.option(
    "--progress",
    type=click.Choice(["auto", "bar", "log", "none"]),
    default="auto",
    help="Progress display on stderr.",
)
@click.option("--json", "as_json", is_flag=True, help="The run's summary as one JSON object on stdout.")
def run(
    jobs: tuple[Path, ...],
    *,
    limit: int | None,
    output: str | None,
    resend: tuple[str, ...],
    retry_failed: bool,
    keep_changed: bool,
    fresh: bool,
    strict: bool,
    yes: bool,
    shard: str | None,
    sets: tuple[str, ...],
    progress: str,
    as_json: bool,
    **short: str | None,
) -> None:
    """Send every conversation of the input, and write the replies, with usage and cost, to Parquet.

    Several jobs run in order, the next one after exit code 0 or 3, and the options apply to each of them.

    Stopped or killed, the same command picks up where it stopped: no answer is lost, none is paid for twice. Exit
    codes: 0 all answered, 2 refused (nothing sent), 3 some rows failed, are invalid or undecided, 4 stopped by budget
    or stop_at, 5 stopped by the endpoint, 6 by this machine, 128 + n by a signal.
    """
    with rare_collections(), guarded() as boundary:
        ending = _ending(jobs, as_json=as_json)
        boundary.on_error = ending.failed
        wanted = to_resend((*resend, FAILED) if retry_failed else resend, keep_changed=keep_changed)
        keys = values_of(short)
        specs, noted = to_shard(load_jobs(jobs, sets, keys, output), shard)
        # After the jobs are read: a typo is reported without the half second that the libraries take to load.
        from batchchat.execution.context import RunOptions
        from batchchat.execution.disposition import OnChanged

        flags = {RETRY_FAILED: retry_failed or FAILED in resend, KEEP_CHANGED: keep_changed, "--yes": yes}
        shard_again, again = _text(specs[0].input.shard), {"--input": input_again(keys["--input"]), "--output": output}
        valued = {**keys, **again, LIMIT: _text(limit), "--shard": shard_again}
        set_flags = (*(flag for flag, is_set in flags.items() if is_set), *resend_options(resend))
        several = jobs if len(jobs) > 1 else ()
        command = RunCommand(jobs[0], valued, tuple(map(shown_again, sets)), set_flags, several)
        options = RunOptions(
            again=command.text,
            plain=command.plain().text(),
            limit=limit,
            resend=wanted,
            changed=OnChanged.RESEND if CHANGED in resend else OnChanged.KEEP if keep_changed else None,
            fresh=fresh,
            strict=strict,
            yes=yes,
            ask=_ask if at_a_terminal() else None,
            shard=noted,
        )
        stages = [Stage.of(spec, options, command._replace(job=path)) for spec, path in zip(specs, jobs, strict=True)]
        code = _run_stages(stages, progress, boundary, ending)
    sys.exit(code)


def _ending(jobs: tuple[Path, ...], *, as_json: bool) -> Ending:
    if len(jobs) > 1:
        from batchchat.cli.stages_ending import StagesEnding

        return StagesEnding(jobs, as_json=as_json)
    return JsonEnding(jobs[0]) if as_json else TextEnding()


def _run_stages(stages: Sequence[Stage], progress: str, boundary: ErrorBoundary, ending: Ending) -> int:
    """Run one after the other until one stops; returns the exit code of the command."""
    from batchchat.execution.signals import Signals

    if (of_all := _ending_of_all(stages, ending)) is not None:
        check_stages(stages, of_all)
    signals, code = Signals.here(), EXIT_OK
    results: list[tuple[JobSpec, RunResult]] = []
    for stage in stages:
        if stage.job.confirm_above is not None and not stage.options.yes:
            _confirm(stage.job, stage.options, ending)
        of_stage = _run(stage, follower_of(progress), boundary, signals, results, ending=ending)
        code = max(code, of_stage) if of_stage in _GOES_ON else of_stage
        if of_stage in _GOES_ON and signals.received is not None and stage is not stages[-1]:
            code = _SIGNALLED + signals.received  # it came when the stage had ended
        if code not in _GOES_ON:
            break
    if of_all is not None:
        of_all.finished(code)
    return code


def _ending_of_all(stages: Sequence[Stage], ending: Ending) -> StagesEnding | None:
    """`ending` as that of several jobs; None where there is one."""
    if len(stages) == 1:
        return None
    from batchchat.cli.stages_ending import StagesEnding

    assert isinstance(ending, StagesEnding)
    return ending


_GOES_ON = {EXIT_OK, EXIT_ROWS_FAILED}
_SIGNALLED = 128


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _confirm(job: JobSpec, options: RunOptions, ending: Ending) -> None:
    """Ask about a run that costs more than the job's `confirm_above`."""
    from batchchat.cli.confirm import confirm
    from batchchat.preflight.assumptions import model_list
    from batchchat.preflight.confirm_above import confirmation_for

    if (question := confirmation_for(job, options, event_loop(model_list(job, os.environ)))) is None:
        return
    try:
        confirm(question, "Run it?", yes=False, without_terminal="There is no terminal to ask on; --yes runs it.")
    except BatchchatError as error:
        from batchchat.execution.runner import refuse

        event_loop(refuse(job, options, error, os.environ, ending.refused))
        raise


def _run(
    stage: Stage,
    follower: Subscriber,
    boundary: ErrorBoundary,
    signals: Signals,
    results: list[tuple[JobSpec, RunResult]],
    *,
    ending: Ending,
) -> int:
    """Run a job, add its result to `results`, and print how it ended; returns the exit code."""
    from batchchat.cluster.session_type import session_for
    from batchchat.execution.runner import run_job
    from batchchat.execution.wiring import redactor_for

    job, command = stage.job, stage.command
    boundary.folder = None
    redact = boundary.redact = redactor_for(job, os.environ).redact

    def opened(folder: Path) -> None:
        boundary.folder = folder

    def ended(result: RunResult) -> int:
        results.append((job, result))
        outputs = [shown_path(job.output.path) for job, _ in results]
        commands = next_commands_of_stages([result for _, result in results], command, outputs)
        commands = [redact(text) for text in commands]
        try:
            ending.ended(job, result, commands)
        except MachineError as error:
            say_error(str(error))
            return result.exit_code or error.exit_code
        return result.exit_code

    try:
        return event_loop(
            run_job(
                job,
                stage.options,
                [follower],
                session_type=session_for(job),
                signals=signals,
                opened=opened,
                ended=ended,
                refused=ending.refused,
            )
        ).exit_code
    except SystemExit as left:
        _tell_left(left.code, redact(command.text()))
        raise


def _tell_left(code: object, again: str) -> None:
    """Say that a signal ended the run at once, with nothing in flight: reading the journal or writing the output."""
    name = signal.Signals(int(str(code)) - 128).name
    say(
        f"{style('stopped:', 'yellow')} {name}, at once. Every finished row is in the journal; the output is as it was."
    )
    say(f"next  {again}")


def _ask(question: str) -> OnChanged:
    from batchchat.execution.disposition import OnChanged

    text = f"{escaped(question)}\nSend them again (y), keep the answers there are (k), or stop here (n)? [y/k/N]"
    try:
        answer = click.prompt(
            text, type=click.Choice(["y", "k", "n"]), default="n", show_default=False, show_choices=False, err=True
        )
    except click.Abort:  # Ctrl-C, or no more input
        raise KeyboardInterrupt from None
    return {"y": OnChanged.RESEND, "k": OnChanged.KEEP}.get(answer, OnChanged.ASK)
