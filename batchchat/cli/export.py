"""`batchchat export`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from batchchat.cli.errors import guarded
from batchchat.cli.output import put, say
from batchchat.errors import UsageError
from batchchat.text import numbers

__all__ = ["export"]

_FORMS = ["parquet", "jsonl", "csv", "openai-batch", "sharegpt", "chat"]
_FORM_OF_SUFFIX = {".parquet": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv"}


@click.command(
    epilog="Example:\n\n    batchchat export out/first.parquet -o so-far.jsonl",
    short_help="Write the results so far to a file.",
)
@click.argument("source", metavar="JOB|OUTPUT", type=click.Path(path_type=Path))
@click.option("--to", "form", type=click.Choice(_FORMS), help="The file's form; without it, by FILE's suffix.")
@click.option(
    "-o", "--output", "target", type=click.Path(path_type=Path), required=True, help="The file to write; - is stdout."
)
@click.option("--with-cut-off", is_flag=True, help="Write cut-off answers to sharegpt and chat, too.")
def export(source: Path, form: str | None, target: Path, *, with_cut_off: bool) -> None:
    """Write every finished row, of a running or killed run too, in the order of the input.

    JOB is a job file, OUTPUT the Parquet it writes (which need not be there yet). The run is not disturbed.

    csv has the Parquet's columns, and a ' before text that a spreadsheet would take for a formula. openai-batch is a
    batch's output file. sharegpt holds the conversations that were answered in plain text, chat is what fine-tuning
    takes: {"messages": [...]} a line. Both are for training, so answers that ended at their token limit are left out.
    What is left out is counted.
    """
    with guarded():
        form = form or _form_of(target)
        from batchchat.results.export import export_run
        from batchchat.results.reader import output_of

        output = output_of(source, os.environ)
        to_stdout = str(target) == "-"
        try:
            exported = export_run(
                output,
                Path("/dev/stdout") if to_stdout else target,
                form,
                source if source != output else None,
                with_cut_off=with_cut_off,
            )
        except BrokenPipeError:  # the reader of the pipe has closed it
            return
        written = f"{target}: {numbers.rows(exported.rows)}"
        if not to_stdout:
            put(written)
        for why, count in exported.left_out.items():
            say(f"left out: {numbers.rows(count)} {why}")


def _form_of(target: Path) -> str:
    form = _FORM_OF_SUFFIX.get(target.suffix.lower())
    if form is None:
        raise UsageError(
            f"{target} does not say its form: name it with --to {'|'.join(_FORMS)},"
            f" or give the file a suffix of {', '.join(_FORM_OF_SUFFIX)}."
        )
    return form
