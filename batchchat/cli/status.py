"""`batchchat status`."""

from __future__ import annotations

import os
import shlex
import sys
import time
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING

import click

from batchchat.cli.errors import guarded
from batchchat.cli.output import put, style
from batchchat.errors import EXIT_OK, EndpointError, MachineError
from batchchat.text.escape import escaped
from batchchat.text.numbers import shown_path

if TYPE_CHECKING:
    from batchchat.results.status import RunStatus

__all__ = ["status"]

_EVERY_S = 1.0
_COLOURS = {None: "yellow", EXIT_OK: "green", EndpointError.exit_code: "red", MachineError.exit_code: "red"}


@click.command(
    epilog="Example:\n\n    batchchat status jobs/first.yaml",
)
@click.argument("source", metavar="JOB|OUTPUT", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for scripts.")
@click.option("--watch", is_flag=True, help="Update each second until the run ends; Ctrl-C ends it earlier.")
def status(source: Path, *, as_json: bool, watch: bool) -> None:
    """Print the state of a running, stopped or finished run, from another shell.

    JOB is a job file, OUTPUT what it writes. The run is not disturbed. Exit codes: 0 there is a run, 2 there is none.
    """
    with guarded():
        from batchchat import lossless_json
        from batchchat.reporting.status import status_line, status_text
        from batchchat.results.reader import output_of
        from batchchat.results.status import status_of

        output = output_of(source, os.environ)
        job = source if source != output else None
        as_given = shown_path(output) if job else str(source)
        in_place = watch and not as_json and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"

        def text_of(run_status: RunStatus) -> str:
            if as_json:
                return lossless_json.dumps(dict(run_status.state)).decode()
            if watch and not in_place:
                return status_line(run_status)
            head, _, body = status_text(run_status, shlex.quote(as_given)).partition("\n")
            if in_place:
                head, body = (_cut(escaped(text)) for text in (head, body))
            return f"{style(head, _colour(run_status))}\n{body}"

        before: RunStatus | None = None
        over = ""
        while True:
            run_status = status_of(output, as_given, job)
            # In place the previous text is overwritten; elsewhere a line is added where something changed.
            if in_place or as_json or before is None or run_status.figures != before.figures:
                text = text_of(run_status)
                if not put(text, before=over):
                    return
                over = f"\x1b[{text.count(chr(10)) + 1}A\x1b[J" if in_place else ""
            if not watch or run_status.is_over:
                return
            before = run_status
            time.sleep(_EVERY_S)


def _colour(run_status: RunStatus) -> str:
    return _COLOURS.get(run_status.state["exit_code"], "yellow")


def _cut(text: str) -> str:
    """`text` with no line wider than the terminal: one that wraps could not be overwritten."""
    width = get_terminal_size().columns
    return "\n".join(line if len(line) < width else f"{line[: width - 2]}…" for line in text.split("\n"))
