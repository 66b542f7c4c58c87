"""`batchchat init`."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

from batchchat.cli.errors import guarded
from batchchat.cli.examples import EXAMPLES, example_files
from batchchat.cli.output import put
from batchchat.errors import UsageError

__all__ = ["init"]

_SCHEMA_USE = "what an editor completes and checks the job by"
_EXAMPLE_HELP = "Write an example instead, which runs as it is, without a key: {}.".format(
    "; ".join(f"{name} ({example.summary})" for name, example in EXAMPLES.items())
)


@click.command(
    epilog="Example:\n\n    batchchat init chef",
)
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(path_type=Path, file_okay=False))
@click.option("--example", "name", metavar="NAME", type=click.Choice(list(EXAMPLES)), help=_EXAMPLE_HELP)
def init(folder: Path, name: str | None) -> None:
    """Write a job file, sample input, and the schema that editors check the job by, into DIR (here, if left out).

    The job sets the eight keys you need and shows the others, commented, with their defaults. Nothing is overwritten.
    """
    with guarded():
        put(_write_starter(folder) if name is None else _write_example(folder, name))


def _write_starter(folder: Path) -> str:
    """Write the first job; what is said of it."""
    from batchchat.job import starter

    texts = {starter.JOB: starter.starter_job(), starter.INPUT: starter.sample_rows()}
    _write(folder, texts)
    job, output = folder / starter.JOB, folder / "out" / "try.parquet"
    run = shlex.join(["batchchat", "run", str(job), "--limit", "5"])
    mock = shlex.join(["--set", "endpoint.base_url=mock", "--output", str(output)])
    return (
        f"{job}: a job that sets {len(starter.SET)} keys and shows the others with their defaults\n"
        f"{folder / starter.INPUT}: {texts[starter.INPUT].count(chr(10))} rows to try it with\n"
        f"{folder / starter.SCHEMA}: {_SCHEMA_USE}\n"
        "\n"
        "Without a key, at the embedded mock endpoint:\n"
        f"  {run} {mock}\n"
        "With one:\n"
        f"  export {starter.KEY_VARIABLE}=...\n"
        f"  {run}"
    )


def _write_example(folder: Path, name: str) -> str:
    """Write the example called `name`; what is said of it."""
    from batchchat.job import starter

    example, texts = EXAMPLES[name], example_files(name)
    _write(folder, texts)
    jobs = [str(folder / job) for job in example.jobs]
    data = [str(folder / file) for file in texts if file not in example.jobs]
    return (
        f"{', '.join(jobs)}: {example.summary}\n"
        f"{', '.join(data)}: sample data\n"
        f"{folder / starter.SCHEMA}: {_SCHEMA_USE}\n"
        "\n"
        "It runs as it is, at the embedded mock endpoint:\n"
        f"  {shlex.join(['batchchat', 'run', *jobs])}\n"
        f"Then read {jobs[0]}: its comments say what to change for data and a model of yours."
    )


def _write(folder: Path, texts: dict[str, str]) -> None:
    """Write all of `texts` and the schema, or nothing where one of them is there already.

    The schema stays where it is there and the same, so that a folder may have several jobs.
    """
    from batchchat.job import starter
    from batchchat.job.schema import schema_text

    schema = schema_text() + "\n"
    if not _holds(folder / starter.SCHEMA, schema):
        texts = {**texts, starter.SCHEMA: schema}
    for name in texts:
        if os.path.lexists(folder / name):
            raise _is_there(folder / name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            with (folder / name).open("x", encoding="utf-8") as file:
                file.write(text)
    except FileExistsError as error:
        raise _is_there(Path(error.filename)) from error
    except OSError as error:
        raise UsageError(f"{error.filename or folder} can't be written: {error.strerror}. Name another DIR.") from error


def _holds(path: Path, text: str) -> bool:
    """Whether the file at `path` has this very text."""
    try:
        return path.is_file() and path.read_bytes() == text.encode()
    except OSError:
        return False


def _is_there(path: Path) -> UsageError:
    return UsageError(f"{path} is there already, and init overwrites nothing. Name another DIR, or move it away.")
