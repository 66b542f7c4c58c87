"""`batchchat init`."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

from batchchat.cli.errors import guarded
from batchchat.cli.output import put
from batchchat.errors import UsageError

__all__ = ["init"]


@click.command(
    epilog="Example:\n\n    batchchat init chef",
    short_help="Write a first job with sample input.",
)
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(path_type=Path, file_okay=False))
def init(folder: Path) -> None:
    """Write a job file, sample input, and the schema that editors check the job by, into DIR (here, if left out).

    The job sets the eight keys you need and shows the others, commented, with their defaults. Nothing is overwritten.
    """
    with guarded():
        from batchchat.job import starter
        from batchchat.job.schema import schema_text

        texts = {
            starter.JOB: starter.starter_job(),
            starter.INPUT: starter.sample_rows(),
            starter.SCHEMA: schema_text() + "\n",
        }
        _write(folder, texts)
        job, output = folder / starter.JOB, folder / "out" / "try.parquet"
        run = shlex.join(["batchchat", "run", str(job), "--limit", "5"])
        mock = shlex.join(["--set", "endpoint.base_url=mock", "--output", str(output)])
        put(
            f"{job}: a job that sets {len(starter.SET)} keys and shows the others with their defaults\n"
            f"{folder / starter.INPUT}: {texts[starter.INPUT].count(chr(10))} rows to try it with\n"
            f"{folder / starter.SCHEMA}: what an editor completes and checks the job by\n"
            "\n"
            "Without a key, at the embedded mock endpoint:\n"
            f"  {run} {mock}\n"
            "With one:\n"
            f"  export {starter.KEY_VARIABLE}=...\n"
            f"  {run}"
        )


def _write(folder: Path, texts: dict[str, str]) -> None:
    """Write all of `texts`, or nothing where one of them is there already."""
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


def _is_there(path: Path) -> UsageError:
    return UsageError(f"{path} is there already, and init overwrites nothing. Name another DIR, or move it away.")
