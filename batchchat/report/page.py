"""The report's page: outputs are opened, read once for figures and pictures, and once more for the rows shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from batchchat.errors import UsageError
from batchchat.report.html.assemble import MOST_OUTPUTS, OpenOutput, assembled
from batchchat.report.html.build import PageInput
from batchchat.report.html.facts import READ, facts_of
from batchchat.report.tables import ReportInput
from batchchat.results.figures import Figures, figures_in
from batchchat.results.reader import Results, open_results

__all__ = ["Page", "page_of_outputs"]


class Page(NamedTuple):
    """The page, and the figures that it tells."""

    content: bytes
    figures: list[Figures]


def page_of_outputs(
    outputs: Sequence[Path], by: str | None, shown: Callable[[Path], str], jobs: Sequence[Path | None] | None = None
) -> Page:
    """Read `outputs`, whatever the state of their runs, and draw them; `shown` is how a path is written.

    `jobs` are the job files that were named in their place, None where the output itself was.

    Raises `UsageError`, `OutputError`, `MachineError`.
    """
    if len(outputs) > MOST_OUTPUTS:
        raise UsageError(f"A page holds at most {MOST_OUTPUTS} outputs, and here are {len(outputs)}. Give fewer.")
    with ExitStack() as stack:
        named = zip(outputs, jobs or [None] * len(outputs), strict=True)
        opened = [stack.enter_context(open_results(output, job)) for output, job in named]
        found = [figures_in(results, by) for results in opened]
        seen = [_seen(results, each, by, shown) for results, each in zip(opened, found, strict=True)]
        return Page(assembled(seen, datetime.now(UTC)), found)


def _seen(results: Results, found: Figures, by: str | None, shown: Callable[[Path], str]) -> OpenOutput:
    told = ReportInput(shown(found.output), found.name, found.model, found.endpoint, found.whole, found.off_row_costs)
    needed = READ if by is None else READ | {by}
    facts = facts_of(results.columns(needed), by)
    return OpenOutput(PageInput(told, facts, by, results.published), results.rows_at, results.columns)
