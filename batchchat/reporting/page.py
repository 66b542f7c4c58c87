"""The report's page: outputs are read once for figures and charts, and again for the rows shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from batchchat.errors import UsageError
from batchchat.reporting.html.assemble import MAX_OUTPUTS, OpenOutput, assembled
from batchchat.reporting.html.build import PageInput
from batchchat.reporting.html.row_columns import READ, read_row_columns
from batchchat.reporting.tables import endpoint_lines, report_input_of
from batchchat.results.figures import Figures, figures_in
from batchchat.results.reader import Results, open_results
from batchchat.results.since import Since
from batchchat.results.variants import variant_figures
from batchchat.store.parsed_columns import ENDPOINT
from batchchat.text.labelled import LabelledLine

__all__ = ["Page", "page_of_outputs"]


class Page(NamedTuple):
    """The page as HTML, and the figures it shows."""

    content: bytes
    figures: list[Figures]


def page_of_outputs(
    outputs: Sequence[Path],
    by: Sequence[str],
    shown: Callable[[Path], str],
    jobs: Sequence[Path | None] | None = None,
    *,
    billed: Mapping[Path, Sequence[LabelledLine]] | None = None,
    since: Since | None = None,
) -> Page:
    """The page of `outputs`, whatever the state of their runs.

    `shown` formats a path; `jobs` has the job file that was named for each output, None where the output itself was;
    `billed` has the lines of a comparison with what the endpoint billed, by output; with `since` the page shows only
    rows that ended since then.
    Raises `UsageError`, `OutputError`, `MachineError`.
    """
    if len(outputs) > MAX_OUTPUTS:
        raise UsageError(f"A page holds at most {MAX_OUTPUTS} outputs, and here are {len(outputs)}. Give fewer.")
    with ExitStack() as stack:
        outputs_with_jobs = zip(outputs, jobs or [None] * len(outputs), strict=True)
        opened = [stack.enter_context(open_results(output, job)) for output, job in outputs_with_jobs]
        if since is not None:
            opened = [since.of(results) for results in opened]
        all_by = [by or ((ENDPOINT,) if results.has_endpoints else ()) for results in opened]
        all_figures = [figures_in(results, own_by) for results, own_by in zip(opened, all_by, strict=True)]
        page_outputs = [
            _page_output(results, figures, own_by, shown, (billed or {}).get(figures.output, ()))
            for results, figures, own_by in zip(opened, all_figures, all_by, strict=True)
        ]
        return Page(assembled(page_outputs, datetime.now(UTC)), all_figures)


def _page_output(
    results: Results,
    figures: Figures,
    by: Sequence[str],
    shown: Callable[[Path], str],
    billed: Sequence[LabelledLine],
) -> OpenOutput:
    report_input = report_input_of(figures, shown(figures.output))
    columns = read_row_columns(results.columns(READ.union(by)), by)
    page_input = PageInput(
        report_input,
        columns,
        " · ".join(by) or None,
        results.published,
        results.run.sessions,
        billed,
        variant_figures(results),
        endpoint_lines(figures) if results.has_endpoints and by == (ENDPOINT,) else (),
    )
    return OpenOutput(page_input, results.rows_at, results.columns)
