"""`batchchat import`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batchchat.cli.ending import Ending, JsonEnding, TextEnding
from batchchat.cli.errors import guarded
from batchchat.cli.output import say_error
from batchchat.cli.runner import event_loop, follower_of
from batchchat.cli.set_option import override, set_option, shown_again
from batchchat.errors import EXIT_OK, EXIT_ROWS_FAILED, InputError, MachineError
from batchchat.execution.run_command import RunCommand, next_commands
from batchchat.job import JobSpec, load_job
from batchchat.text.numbers import shown_path

if TYPE_CHECKING:
    from batchchat.cli.errors import ErrorBoundary
    from batchchat.execution.context import RunOptions
    from batchchat.execution.ending import RunResult
    from batchchat.sources.batch_output import BatchOutput

__all__ = ["import_"]


@click.command(
    "import",
    epilog="Example:\n\n    batchchat import batch-output.jsonl --job jobs/first.yaml",
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--job", type=click.Path(path_type=Path), required=True, metavar="JOB", help="The job they are for.")
@click.option("--yes", is_flag=True, help="Take in answers whose cost nobody knows.")
@set_option
@click.option("--json", "as_json", is_flag=True, help="The summary as one JSON object on stdout.")
def import_(file: Path, *, job: Path, yes: bool, sets: tuple[str, ...], as_json: bool) -> None:
    """Take in FILE, the output file of a batch at a provider, as answers of JOB. Nothing is sent.

    FILE is JSON lines (.gz and .zst too) of `custom_id` and `response`, as OpenAI, Azure, Groq, Mistral and vLLM write
    it, and `export --to openai-batch`. `custom_id` is the id of the row; of a sample or a variant it is as `export`
    writes it. An answer is judged as a live one is: what has no answer in it is failed. Rows that are answered already
    are kept, so the same command can be repeated.

    What an answer cost is what its response reports, else it is computed at the job's `price`: set that to what the
    batch was billed at, which is half the price of live requests at many providers. Other prices are not used.

    Exit codes: 0 all lines are taken in or were before, 2 refused, 3 rows failed, or lines were not taken in.
    """
    with guarded() as boundary:
        ending = JsonEnding(job) if as_json else TextEnding()
        boundary.on_error = ending.failed
        spec = load_job(job, overrides=[override(text) for text in sets], environ=os.environ)
        from batchchat.execution.context import RunOptions
        from batchchat.execution.wiring import redactor_for
        from batchchat.sources.batch_output import open_batch_output

        redactor = redactor_for(spec, os.environ)
        boundary.redact = redactor.redact
        command = RunCommand(job, {}, tuple(map(shown_again, sets)))
        with open_batch_output(file, redactor.redact_bytes) as batch:
            if not yes:
                _check_cost(spec, batch)
            options = RunOptions(again=command.text, plain=command.text(), batch=batch)
            code = _import(spec, options, command, boundary, ending)
    sys.exit(code)


def _check_cost(job: JobSpec, batch: BatchOutput) -> None:
    """Refuse answers whose cost would stay unknown though they were paid for, before anything is recorded."""
    from batchchat.execution.import_price import price_to_be_set

    if (refusal := price_to_be_set(job, batch)) is not None:
        raise InputError(refusal)


def _import(job: JobSpec, options: RunOptions, command: RunCommand, boundary: ErrorBoundary, ending: Ending) -> int:
    """Import the responses and print how that ended; returns the exit code."""
    from batchchat.execution.runner import run_job

    assert options.batch is not None
    counts, redact = options.batch.counts, boundary.redact

    def opened(folder: Path) -> None:
        boundary.folder = folder

    def ended(result: RunResult) -> int:
        commands = [redact(text) for text in next_commands(result, command, shown_path(job.output.path))]
        exit_code = EXIT_ROWS_FAILED if result.exit_code == EXIT_OK and counts.left_out else result.exit_code
        summary: Mapping[str, Any] = {**result.summary, "exit_code": exit_code, "imported": counts.json()}
        try:
            ending.ended(job, replace(result, exit_code=exit_code, summary=summary), commands)
        except MachineError as error:
            say_error(str(error))
            return exit_code or error.exit_code
        return exit_code

    running = run_job(job, options, [follower_of("log")], opened=opened, ended=ended, refused=ending.refused)
    return event_loop(running).exit_code
