"""`batchchat validate`."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import click

from batchchat.cli.errors import guarded
from batchchat.cli.output import put, style
from batchchat.cli.set_option import override, set_option
from batchchat.errors import EXIT_OK, UsageError
from batchchat.job import load_job

__all__ = ["validate"]


@click.command(
    epilog="Example:\n\n    batchchat validate jobs/first.yaml",
)
@click.argument("job", type=click.Path(path_type=Path))
@set_option
def validate(job: Path, *, sets: tuple[str, ...]) -> None:
    """Check the job file and every row of its input; send nothing, write nothing.

    It needs no key. Prints how many rows can be sent, in which format they are read, which models they are for, what
    rows have that is not sent, and how many rows can't be sent for which reason, the first of each with file and line.
    An object store that the job writes to is asked whether it is there; whether it takes objects, only `run` tries.
    Exit codes: 0 all rows are good, 2 one is not, or the job is not.
    """
    with guarded():
        spec = load_job(
            job, overrides=[override(text) for text in sets], environ=os.environ, reads_key=False, checks_key_name=True
        )
        from batchchat.preflight.validate import NextCommands
        from batchchat.preflight.validate import validate as validate_job
        from batchchat.reporting.validation import validation_text

        arguments = [str(job), *(word for text in sets for word in ("--set", text))]
        commands = NextCommands(
            shlex.join(["batchchat", "run", *arguments, "--limit", "5"]),
            shlex.join(["batchchat", "validate", *arguments]),
            shlex.join(["batchchat", "report", str(job)]),
        )
        result = validate_job(spec, os.environ, commands)
        head, _, body = validation_text(result).partition("\n")
        put(f"{style(head, 'yellow' if result.invalid or result.unfit else 'green')}\n{body}")
    sys.exit(UsageError.exit_code if result.invalid or result.unfit or not result.good else EXIT_OK)
