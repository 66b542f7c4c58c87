"""`batchchat export`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from batchchat.cli.boundary import guarded, put

__all__ = ["export"]


@click.command(
    epilog="Example:\n\n    batchchat export out/first.parquet --to jsonl -o so-far.jsonl",
    short_help="Write the results so far to a file.",
)
@click.argument("source", metavar="JOB|OUTPUT", type=click.Path(path_type=Path))
@click.option("--to", "form", type=click.Choice(["parquet", "jsonl"]), required=True, help="The file's form.")
@click.option("-o", "--output", "target", type=click.Path(path_type=Path), required=True, help="The file to write.")
def export(source: Path, form: str, target: Path) -> None:
    """Write every finished row, also of a run that is going on or was killed, in the order of the input.

    JOB is a job file, OUTPUT the Parquet it writes (which need not be there yet). The run is not disturbed.
    """
    with guarded():
        from batchchat.run.export import export_run, output_of

        count = export_run(output_of(source, os.environ), target, form)
        put(f"{target}: {count:,} rows")
