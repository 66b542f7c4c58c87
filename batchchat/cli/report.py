"""`batchchat report`."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from batchchat.cli.errors import guarded
from batchchat.cli.output import put, say
from batchchat.errors import UsageError
from batchchat.text import numbers
from batchchat.text.numbers import shown_path

if TYPE_CHECKING:
    from batchchat.job import JobSpec
    from batchchat.results.reconciliation import Reconciliation

__all__ = ["report"]


@click.command(
    epilog="Example:\n\n    batchchat report jobs/first.yaml --by category --html report.html",
)
@click.argument("sources", metavar="JOB|OUTPUT...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--by",
    "columns",
    metavar="COLUMN[,COLUMN]",
    multiple=True,
    help="The same figures for each value of a column, or for each combination of several.",
)
@click.option(
    "--since",
    metavar="TIME",
    help="Only rows that ended since then: `last-run`, a date and time, a time of day (18:00), or how long ago (2h).",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option(
    "--csv", metavar="FILE", type=click.Path(path_type=Path), help="The figures, a line for each group; - is stdout."
)
@click.option("--html", metavar="FILE", type=click.Path(path_type=Path), help="A page with charts and rows, one file.")
@click.option("--reconcile", is_flag=True, help="Compare with what the job's endpoint billed.")
def report(
    sources: tuple[Path, ...],
    columns: tuple[str, ...],
    since: str | None,
    csv: Path | None,
    html: Path | None,
    *,
    reconcile: bool,
    as_json: bool,
) -> None:
    """Print rows, tokens, cost, latency and failures of finished, stopped and running jobs.

    JOB is a job file, OUTPUT the Parquet file or folder it writes. Several outputs are compared side by side. The
    figures come from the output, or from the journal where that has more; nothing is sent and nothing changed. Only
    --reconcile sends requests: it asks DeepInfra, or an endpoint like it, with the job's key what it billed.
    """
    with guarded():
        from batchchat import lossless_json
        from batchchat.reporting.figures_report import FiguresReport
        from batchchat.results.figures import figures_of
        from batchchat.results.reader import output_of
        from batchchat.results.since import Since
        from batchchat.results.write_target import check_target, refuse_named_pipe

        by = _columns(columns)
        after = None if since is None else Since(since, time.time())
        if after is not None and reconcile:
            raise UsageError("--reconcile compares the whole job. Leave out --since.")
        jobs = _jobs(sources) if reconcile else []
        outputs = [output_of(source, os.environ) for source in sources]
        named_jobs = [source if source != output else None for source, output in zip(sources, outputs, strict=True)]
        if as_json and str(csv) == "-":
            raise UsageError("--json and `--csv -` both write to stdout. Give --csv a file.")
        if html is not None:
            refuse_named_pipe(html)
        for target in (csv, html):
            if target is not None and str(target) != "-":
                check_target(outputs, target, jobs=sources)
        compared = _compared(jobs)
        if html is not None:
            from batchchat.reporting.page import page_of_outputs
            from batchchat.reporting.reconcile import reconcile_lines

            billed = {output: reconcile_lines(*bill) for output, bill in compared.items()}
            content, all_figures = page_of_outputs(outputs, by, shown_path, named_jobs, billed=billed, since=after)
            _write(html, content)
        else:
            all_figures = [figures_of(output, by, job, after) for output, job in zip(outputs, named_jobs, strict=True)]
        figures_report = FiguresReport(all_figures, by, compared)
        if csv is not None:
            content = figures_report.csv()
            if str(csv) == "-":
                put(content.decode().removesuffix("\n"))
                return
            _write(csv, content)
        put(lossless_json.dumps(figures_report.json()).decode() if as_json else figures_report.text())


def _columns(options: tuple[str, ...]) -> list[str]:
    """The columns of `--by a,b --by c`, each once, as they were named."""
    columns = [name.strip() for option in options for name in option.split(",")]
    if "" in columns:
        raise UsageError("--by has an empty name of a column.")
    return list(dict.fromkeys(columns))


def _write(target: Path, content: bytes) -> None:
    from batchchat.results.write_target import write_target

    write_target(target, content)
    say(f"{shown_path(target)}: {numbers.size(len(content))}")


def _jobs(sources: tuple[Path, ...]) -> list[JobSpec]:
    from batchchat.results.reconcile import job_to_reconcile

    return [job_to_reconcile(source, os.environ) for source in sources]


def _compared(jobs: list[JobSpec]) -> dict[Path, tuple[Reconciliation, str]]:
    """What each job's endpoint billed, by the job's output, with the endpoint's name."""
    if not jobs:
        return {}
    from batchchat.results.reconcile import reconciled

    return {job.output.path: (asyncio.run(reconciled(job, os.environ)), job.host) for job in jobs}
