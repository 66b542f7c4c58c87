"""`batchchat run`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from batchchat.cli.confirm import confirm
from batchchat.cli.ending import Ending, JsonEnding, TextEnding
from batchchat.cli.errors import ErrorBoundary, guarded
from batchchat.cli.output import say, say_error, style
from batchchat.cli.resend_option import CHANGED, FAILED, check_resend, resend_of, resend_words
from batchchat.cli.run_command import KEEP_CHANGED, LIMIT, RETRY_FAILED, RunCommand, next_commands
from batchchat.cli.runner import at_a_terminal, event_loop, follower_of
from batchchat.cli.set_option import override, set_option
from batchchat.core.events import Subscriber
from batchchat.errors import BatchchatError, MachineError
from batchchat.job import JobSpec, Override, load_job
from batchchat.text.escape import escaped
from batchchat.text.numbers import shown_path

if TYPE_CHECKING:
    from batchchat.run.context import RunOptions
    from batchchat.run.disposition import OnChanged
    from batchchat.run.ending import RunResult

__all__ = ["run"]


@click.command(
    epilog="Example:\n\n    batchchat run jobs/first.yaml --limit 5",
    short_help="Run or resume a job.",
)
@click.argument("job", type=click.Path(path_type=Path))
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Send at most N rows in this run.")
@click.option("--concurrency", metavar="N", help="Requests in flight at most.")
@click.option("--max-cost", metavar="USD", help="Limit of the job's total cost, over all its resumes.")
@click.option("--output", type=click.Path(path_type=Path), metavar="PATH", help="Where the Parquet goes.")
@click.option("--model", metavar="MODEL", help="Set `model`, for this run.")
@click.option("--input", "input_", metavar="PATH", help="Set `input.path`, for this run.")
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
@set_option
@click.option(
    "--progress",
    type=click.Choice(["auto", "bar", "log", "none"]),
    default="auto",
    help="Progress display on stderr.",
)
@click.option("--json", "as_json", is_flag=True, help="The run's summary as one JSON object on stdout.")
def run(
    job: Path,
    *,
    limit: int | None,
    concurrency: str | None,
    max_cost: str | None,
    output: Path | None,
    model: str | None,
    input_: str | None,
    resend: tuple[str, ...],
    retry_failed: bool,
    keep_changed: bool,
    fresh: bool,
    strict: bool,
    yes: bool,
    sets: tuple[str, ...],
    progress: str,
    as_json: bool,
) -> None:
    """Send every conversation of the input, and write the replies, with usage and cost, to Parquet.

    Stopped or killed, the same command picks up where it stopped: no answer is lost, none is paid for twice. Exit
    codes: 0 all answered, 2 refused (nothing sent), 3 some rows failed, are invalid or undecided, 4 stopped by budget
    or stop_at, 5 stopped by the endpoint, 6 by this machine, 128 + n by a signal.
    """
    with guarded() as boundary:
        ending = JsonEnding(job) if as_json else TextEnding()
        boundary.on_error = ending.failed
        check_resend(resend, keep_changed=keep_changed)
        short = {"--model": model, "--input": input_, "--concurrency": concurrency, "--max-cost": max_cost}
        spec = load_job(job, overrides=_overrides(job, sets, short), environ=os.environ, output=output)
        # After the job is read: a typo in it is reported without the half second that the libraries take to load.
        from batchchat.run.context import RunOptions
        from batchchat.run.disposition import OnChanged

        flags = {RETRY_FAILED: retry_failed or FAILED in resend, KEEP_CHANGED: keep_changed, "--yes": yes}
        command = RunCommand(
            job,
            {**short, "--output": _text(output), LIMIT: _text(limit)},
            sets,
            (*(flag for flag, is_set in flags.items() if is_set), *resend_words(resend)),
        )
        options = RunOptions(
            again=command.text,
            plain=command.plain().text(),
            limit=limit,
            resend=resend_of((*resend, FAILED) if retry_failed else resend),
            changed=OnChanged.RESEND if CHANGED in resend else OnChanged.KEEP if keep_changed else None,
            fresh=fresh,
            strict=strict,
            yes=yes,
            ask=_ask if at_a_terminal() else None,
        )
        if spec.confirm_above is not None and not yes:
            _confirm(spec, options, ending)
        code = _run(spec, options, command, follower_of(progress), boundary, ending=ending)
    sys.exit(code)


def _text(value: object) -> str | None:
    return None if value is None else str(value)


_SHORT = {
    "--model": "model",
    "--input": "input.path",
    "--concurrency": "concurrency",
    "--max-cost": "budget.max_cost",
}
"""Options that are short for a job key."""


def _overrides(job: Path, sets: tuple[str, ...], short: Mapping[str, str | None]) -> list[Override]:
    """The overrides that the command line asks for: by `--set`, and by the options of `short`."""
    overrides = [override(text) for text in sets]
    for option, value in short.items():
        if value is not None:
            overrides.append(Override(option, _SHORT[option], _from_here(value, job) if option == "--input" else value))
    return overrides


def _from_here(path: str, job: Path) -> str:
    """`path`, which a person typed in the working folder, as the `job` in another folder would name it."""
    if path.startswith(("/", "~", "[", "-")) or "://" in path or job.absolute().parent == Path.cwd():
        return path
    return os.path.relpath(path, job.absolute().parent)


def _confirm(job: JobSpec, options: RunOptions, ending: Ending) -> None:
    """Ask about a run that costs more than the job's `confirm_above`."""
    from batchchat.preflight.assumptions import model_list
    from batchchat.preflight.confirm_above import confirmation_for
    from batchchat.preflight.scan import SendOptions
    from batchchat.run.disposition import OnChanged
    from batchchat.run.tasks import ResumeRules

    changed = OnChanged(job.resume.changed) if options.changed is None else options.changed
    sending = SendOptions(ResumeRules(options.resend, changed), fresh=options.fresh)
    models = event_loop(model_list(job, os.environ))
    if (question := confirmation_for(job, sending, options.limit, models)) is None:
        return
    try:
        confirm(question, "Run it?", yes=False, without_terminal="There is no terminal to ask on; --yes runs it.")
    except BatchchatError as error:
        from batchchat.run.runner import refuse

        event_loop(refuse(job, options, error, os.environ, ending.refused))
        raise


def _run(
    job: JobSpec,
    options: RunOptions,
    command: RunCommand,
    follower: Subscriber,
    boundary: ErrorBoundary,
    *,
    ending: Ending,
) -> int:
    """Run the job and print how it ended; returns the exit code."""
    from batchchat.run.runner import run_job
    from batchchat.run.wiring import redactor_for

    redact = boundary.redact = redactor_for(job, os.environ).redact

    def opened(folder: Path) -> None:
        boundary.folder = folder

    def ended(result: RunResult) -> int:
        commands = [redact(text) for text in next_commands(result, command, shown_path(job.output.path))]
        try:
            ending.ended(job, result, commands)
        except MachineError as error:
            say_error(str(error))
            return result.exit_code or error.exit_code
        return result.exit_code

    try:
        return event_loop(
            run_job(job, options, [follower], opened=opened, ended=ended, refused=ending.refused)
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
    from batchchat.run.disposition import OnChanged

    text = f"{escaped(question)}\nSend them again (y), keep the answers there are (k), or stop here (n)? [y/k/N]"
    try:
        answer = click.prompt(
            text, type=click.Choice(["y", "k", "n"]), default="n", show_default=False, show_choices=False, err=True
        )
    except click.Abort:  # Ctrl-C, or no more input
        raise KeyboardInterrupt from None
    return {"y": OnChanged.RESEND, "k": OnChanged.KEEP}.get(answer, OnChanged.ASK)
