"""`batchchat report`."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batchchat.cli.errors import guarded
from batchchat.cli.output import put, say
from batchchat.text import numbers
from batchchat.text.numbers import shown_path

if TYPE_CHECKING:
    from batchchat.job import JobSpec
    from batchchat.results.figures import Figures
    from batchchat.results.reconciliation import Reconciliation

__all__ = ["report"]


@click.command(
    epilog="Example:\n\n    batchchat report jobs/first.yaml --by category --html report.html",
    short_help="Say what a run cost, how long it took, what failed.",
)
@click.argument("sources", metavar="JOB|OUTPUT...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--by", metavar="COLUMN", help="The same figures for each value of a column.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option("--csv", metavar="FILE", type=click.Path(path_type=Path), help="The figures, a line for each group.")
@click.option("--html", metavar="FILE", type=click.Path(path_type=Path), help="A page with charts and rows, one file.")
@click.option("--reconcile", is_flag=True, help="Ask the job's endpoint what it billed, and compare.")
def report(
    sources: tuple[Path, ...], by: str | None, csv: Path | None, html: Path | None, *, reconcile: bool, as_json: bool
) -> None:
    """Tell rows, tokens, cost, latency and failures of finished, stopped and running jobs.

    JOB is a job file, OUTPUT the Parquet file or folder it writes. Several outputs are put side by side. The figures
    come from the output, or from the journal where that knows more; nothing is sent and nothing changed. Only
    --reconcile asks somebody: DeepInfra, or who answers as it does, with the job's key, what each response was billed.
    """
    with guarded():
        from batchchat import lossless_json
        from batchchat.results.figures import figures_of
        from batchchat.results.reader import output_of
        from batchchat.results.write_target import check_target

        jobs = _jobs(sources) if reconcile else []
        outputs = [output_of(source, os.environ) for source in sources]
        named = [source if source != output else None for source, output in zip(sources, outputs, strict=True)]
        for target in (csv, html):
            if target is not None:
                check_target(outputs, target, jobs=sources)
        if html is not None:
            from batchchat.report.page import page_of_outputs

            content, found = page_of_outputs(outputs, by, shown_path, named)
            _write(html, content)
        else:
            found = [figures_of(output, by, job) for output, job in zip(outputs, named, strict=True)]
        if csv is not None:
            from batchchat.report.flat import figures_csv

            _write(csv, figures_csv(_lines(found, by)))
        compared = _compared(jobs)
        if as_json:
            told = {"outputs": [_json(each, by, compared.get(each.output)) for each in found]}
            put(lossless_json.dumps(told).decode())
        else:
            put(_text(found, by, compared))


def _write(target: Path, content: bytes) -> None:
    from batchchat.results.write_target import write_target

    write_target(target, content)
    say(f"{shown_path(target)}: {numbers.size(len(content))}")


def _lines(found: list[Figures], by: str | None) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """A line for each group, its value first, or for each output."""
    if by is None:
        return [({"path": shown_path(each.output)}, each.whole.json(each.off_row_costs)) for each in found]
    return [
        ({by: value} | ({"path": shown_path(each.output)} if len(found) > 1 else {}), tally.json())
        for each in found
        for value, tally in each.groups
    ]


def _jobs(sources: tuple[Path, ...]) -> list[JobSpec]:
    from batchchat.results.reconcile import job_to_reconcile

    return [job_to_reconcile(source, os.environ) for source in sources]


def _compared(jobs: list[JobSpec]) -> dict[Path, tuple[Reconciliation, str]]:
    """What each job's endpoint billed, by the job's output, with the endpoint's name."""
    if not jobs:
        return {}
    from batchchat.results.reconcile import reconciled

    return {job.output.path: (asyncio.run(reconciled(job, os.environ)), job.host) for job in jobs}


def _json(found: Figures, by: str | None, compared: tuple[Reconciliation, str] | None) -> dict[str, Any]:
    told = {"path": shown_path(found.output), **found.whole.json(found.off_row_costs)}
    if compared is not None:
        told["reconcile"] = compared[0].json()
    groups = [] if by is None else [{by: value, **tally.json()} for value, tally in found.groups]
    return {**told, "by": groups, "left": found.off_row_costs.left}


def _text(found: list[Figures], by: str | None, compared: dict[Path, tuple[Reconciliation, str]]) -> str:
    from batchchat.report.reconcile import reconcile_lines
    from batchchat.report.tables import ReportInput, group_table, report_text
    from batchchat.text.labelled import labelled_list

    blocks = []
    for each in found:
        path = shown_path(each.output)
        told = ReportInput(path, each.name, each.model, each.endpoint, each.whole, each.off_row_costs)
        blocks.append(report_text(told))
        if each.output in compared:
            blocks.append(labelled_list(reconcile_lines(*compared[each.output])))
        if by is not None:
            blocks.append(group_table(f"by {by}", each.groups))
    if len(found) > 1:
        blocks.append(group_table("side by side", [(shown_path(each.output), each.whole) for each in found]))
    return "\n\n".join(blocks)
