"""`batchchat export`."""

from __future__ import annotations

import os
from collections import Counter
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
)
@click.argument("source", metavar="JOB|OUTPUT", type=click.Path(path_type=Path))
@click.option("--to", "form", type=click.Choice(_FORMS), help="The file's form; without it, by FILE's suffix.")
@click.option(
    "-o", "--output", "target", type=click.Path(path_type=Path), required=True, help="The file to write; - is stdout."
)
@click.option("--where", metavar="EXPR", help="Write the rows for which this holds: \"status == 'answered'\".")
@click.option("--split", metavar="NAME=SHARE,...", help="Write a file for each part of the rows: train=0.9,test=0.1.")
@click.option("--with-cut-off", is_flag=True, help="Write cut-off answers to sharegpt and chat, too.")
def export(
    source: Path, form: str | None, target: Path, *, where: str | None, split: str | None, with_cut_off: bool
) -> None:
    """Write every finished row, of a running or killed run too, in the order of the input.

    JOB is a job file, OUTPUT the Parquet it writes (which need not be there yet). The run is not disturbed.

    csv has the Parquet's columns, and a ' before text that a spreadsheet would take for a formula. openai-batch is a
    batch's output file, which `import` reads back. sharegpt and chat are for training: a conversation with its reply a
    line, in ShareGPT's form or as fine-tuning takes it, {"messages": [...]}. Answers that ended at their token limit
    are left out of both. What is left out is counted.

    EXPR is an expression over the output's columns, as `input.where` has: "status == 'answered' and cost_usd < 0.01";
    `parsed`, `tool_calls` and `messages` are objects and lists: "parsed.score > 3". --split writes FILE's name with the
    part's before the suffix, x-train.jsonl and x-test.jsonl. A hash of the id says which part a row is in, so it stays
    there whatever rows are added.
    """
    with guarded():
        form = form or _form_of(target)
        from batchchat.results.export import Selection, export_run
        from batchchat.results.reader import output_of
        from batchchat.results.row_filter import Part, parse_split

        to_stdout = str(target) == "-"
        targets: list[tuple[Path, Part | None]] = [(Path("/dev/stdout") if to_stdout else target, None)]
        if split is not None:
            if to_stdout:
                raise UsageError("--split writes a file for each part, and stdout is one. Name a file with -o.")
            targets = [(target.with_name(f"{target.stem}-{p.name}{target.suffix}"), p) for p in parse_split(split)]
        output = output_of(source, os.environ)
        job = source if source != output else None
        try:
            exported = export_run(output, targets, form, job, Selection(where, with_cut_off))
        except BrokenPipeError:  # the reader of the pipe has closed it
            return
        left_out = Counter[str]()
        for (path, _), counts in zip(targets, exported, strict=True):
            left_out += counts.left_out
            if not to_stdout:
                put(f"{path}: {numbers.rows(counts.rows)}")
        for why, count in left_out.items():
            say(f"left out: {numbers.rows(count)} {why}")


def _form_of(target: Path) -> str:
    form = _FORM_OF_SUFFIX.get(target.suffix.lower())
    if form is None:
        raise UsageError(
            f"{target} does not say its form: name it with --to {'|'.join(_FORMS)},"
            f" or give the file a suffix of {', '.join(_FORM_OF_SUFFIX)}."
        )
    return form
