"""`batchchat preview`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from batchchat.cli.errors import guarded
from batchchat.cli.output import put
from batchchat.cli.set_option import override, set_option
from batchchat.job import load_job

__all__ = ["preview"]

_REQUESTS = 3


@click.command(
    epilog="Example:\n\n    batchchat preview jobs/first.yaml -n 1",
)
@click.argument("job", type=click.Path(path_type=Path))
@click.option(
    "-n",
    "--requests",
    "count",
    type=click.IntRange(min=1),
    default=_REQUESTS,
    metavar="N",
    help=f"How many requests to show; {_REQUESTS} by default.",
)
@set_option
@click.option("--json", "as_json", is_flag=True, help="The body of each request, exactly as it is sent, one a line.")
def preview(job: Path, *, count: int, sets: tuple[str, ...], as_json: bool) -> None:
    """Print the first requests of a job just as they would be sent; send nothing, write nothing.

    It needs no key. Rows that can't be sent are passed over, and said. Local files (`file:photo.jpg`) show as their
    paths; a run sends what is in them.
    """
    with guarded():
        spec = load_job(job, overrides=[override(text) for text in sets], environ=os.environ, reads_key=False)
        from batchchat.preflight.preview import preview as preview_of
        from batchchat.reporting.preview import preview_lines, preview_text

        result = preview_of(spec, count)
        put("\n".join(preview_lines(result)) if as_json else preview_text(result))
