"""The report's page: outputs are read once for figures and charts, and again for the rows shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from batchchat.errors import UsageError
from batchchat.report.html.assemble import MAX_OUTPUTS, OpenOutput, assembled
from batchchat.report.html.build import PageInput
from batchchat.report.html.row_columns import READ, read_row_columns
from batchchat.report.tables import report_input_of
from batchchat.results.figures import Figures, figures_in
from batchchat.results.reader import Results, open_results
from batchchat.text.labelled import LabelledLine

__all__ = ["Page", "page_of_outputs"]


class Page(NamedTuple):
    """The page as HTML, and the figures it shows."""

    content: bytes
    figures: list[Figures]


def page_of_outputs(
    outputs: Sequence[Path],
    by: str | None,
    shown: Callable[[Path], str],
    jobs: Sequence[Path | None] | None = None,
    billed: Mapping[Path, Sequence[LabelledLine]] | None = None,
) -> Page:
    """The page of `outputs`, whatever the state of their runs.

    `shown` formats a path; `jobs` has the job file that was named for each output, None where the output itself was;
    `billed` has the lines of a comparison with what the endpoint billed, by output.
    Raises `UsageError`, `OutputError`, `MachineError`.
    """
    if len(outputs) > MAX_OUTPUTS:
        raise UsageError(f"A page holds at most {MAX_OUTPUTS} outputs, and here are {len(outputs)}. Give fewer.")
    with ExitStack() as stack:
        outputs_with_jobs = zip(outputs, jobs or [None] * len(outputs), strict=True)
        opened = [stack.enter_context(open_results(output, job)) for output, job in outputs_with_jobs]
        all_figures = [figures_in(results, by) for results in opened]
        page_outputs = [
            _page_output(results, figures, by, shown, (billed or {}).get(figures.output, ()))
            for results, figures in zip(opened, all_figures, strict=True)
        ]
        return Page(assembled(page_outputs, datetime.now(UTC)), all_figures)


def _page_output(
    results: Results,
    figures: Figures,
    by: str | None,
    shown: Callable[[Path], str],
    billed: Sequence[LabelledLine],
) -> OpenOutput:
    report_input = report_input_of(figures, shown(figures.output))
    needed = READ if by is None else READ | {by}
    columns = read_row_columns(results.columns(needed), by)
    page_input = PageInput(report_input, columns, by, results.published, results.run.sessions, billed)
    return OpenOutput(page_input, results.rows_at, results.columns)
