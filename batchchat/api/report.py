"""`report`: what runs cost, how long they took and what failed, from Python."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchchat.api.job import Job
from batchchat.api.result import Result
from batchchat.api.summary_table import html_text
from batchchat.errors import UsageError
from batchchat.reporting.figures_report import FiguresReport
from batchchat.results.figures import figures_of
from batchchat.results.reader import output_of
from batchchat.results.since import Since
from batchchat.text.numbers import shown_path

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Report", "report"]

Reported = Job | Result | str | os.PathLike[str]
"""A job or its result, or the path of a job file or of an output."""


class Report:
    """The figures of one or several outputs, as they were when they were read.

    `print` shows the text of `batchchat report`, and a notebook shows it, too.
    """

    def __init__(self, figures: FiguresReport, jobs: Sequence[Path], page: Callable[[], bytes]) -> None:
        self._figures = figures
        self._jobs = jobs
        self._page = page
        self.summary: dict[str, Any] = figures.json()
        """What `batchchat report --json` prints: counts of rows and tokens, cost in USD, latencies in seconds."""

    def to_pandas(self) -> pd.DataFrame:
        """The figures, a row for each group of `by`, or for each output: the columns of `batchchat report --csv`."""
        import pandas as pd

        return pd.read_csv(io.BytesIO(self._figures.csv()))

    def to_html(self, path: str | os.PathLike[str] | None = None) -> str:
        """The page with charts and rows, which needs no network; written to `path` too, where that is given.

        It is made of the outputs as they are now. Raises `OutputError` where `path` can't be written.
        """
        from batchchat.results.write_target import check_target, refuse_named_pipe, write_target

        content = self._page()
        if path is not None:
            target = Path(path)
            refuse_named_pipe(target)
            check_target([figures.output for figures in self._figures.outputs], target, jobs=self._jobs)
            write_target(target, content)
        return content.decode()

    def __str__(self) -> str:
        return self._figures.text()

    def __repr__(self) -> str:
        return f"<Report of {', '.join(shown_path(figures.output) for figures in self._figures.outputs)}>"

    def _repr_html_(self) -> str:
        return html_text(self._figures.text())


def report(*sources: Reported, by: str | Iterable[str] = (), since: str | None = None) -> Report:
    """The figures of runs, finished, stopped or going on: rows, tokens, cost in USD, latency in seconds, failures.

    `sources` are jobs, results, or paths of job files and outputs; several stand side by side. `by` names a column, or
    a list of them: the same figures for each value, or for each combination. `since` leaves rows out that ended before
    then: `last-run`, a date and time, a time of day (`18:00`), or how long ago (`2h`).

    Nothing is sent and nothing is changed. Raises `UsageError` for a column or a time that is none, `OutputError` where
    there is no run.
    """
    if not sources:
        raise UsageError("report() takes at least one job, result, or path of an output.")
    columns = list(dict.fromkeys((by,) if isinstance(by, str) else by))
    after = None if since is None else Since(since, time.time())
    outputs = [_output(source) for source in sources]
    figures = [figures_of(output, columns, job, after) for output, job in outputs]

    def page() -> bytes:
        from batchchat.reporting.page import page_of_outputs

        jobs: Sequence[Path | None] = [job for _, job in outputs]
        return page_of_outputs([output for output, _ in outputs], columns, shown_path, jobs, since=after).content

    return Report(FiguresReport(figures, columns), [job for _, job in outputs if job is not None], page)


def _output(source: Reported) -> tuple[Path, Path | None]:
    """The path of an output, and the job file where that was named."""
    if isinstance(source, Job):
        return source.output, source.path
    if isinstance(source, Result):
        return source.path, None
    if not isinstance(source, str | os.PathLike):
        raise UsageError(f"report() takes jobs, results and paths, and no {type(source).__name__}.")
    path = Path(source)
    output = output_of(path, os.environ)
    return output, None if output == path else path
