"""The figures of an output: read from it, or from the journal where that has more."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from batchchat.core.totals import OffRowCosts
from batchchat.errors import UsageError
from batchchat.results.columnar import TALLIED, TALLIED_OF_RECORDS, tally_batches
from batchchat.results.group_stats import GroupStats
from batchchat.results.reader import Results, open_results
from batchchat.results.since import Since
from batchchat.sources.json_value import list_columns
from batchchat.store.columns import COLUMNS, MESSAGES, passthrough_names
from batchchat.text import numbers
from batchchat.text.nearest import did_you_mean
from batchchat.text.run_sentence import Standing

__all__ = ["Figures", "figures_in", "figures_of"]

_OURS = {column.name for column in COLUMNS}


class Figures(NamedTuple):
    """The figures of one output, whole and by group."""

    output: Path
    name: str | None
    model: str | None
    endpoint: str | None
    whole: GroupStats
    off_row_costs: OffRowCosts
    groups: list[tuple[tuple[Any, ...], GroupStats]]
    standing: Standing
    of_mock: bool


def figures_of(output: Path, by: Sequence[str], job: Path | None = None, since: Since | None = None) -> Figures:
    """The figures of `output`, whatever the state of its run; `job` is its job file where that was named.

    `by` are the columns to group by; with `since` only rows that ended since then count.
    Raises `UsageError`, `OutputError`, `MachineError`.
    """
    with open_results(output, job) as results:
        return figures_in(results if since is None else since.of(results), by)


def figures_in(results: Results, by: Sequence[str]) -> Figures:
    """The figures of results that are open. Raises `UsageError` for a column that is not there."""
    for name in by:
        _check_column(results, name)
    whole, groups = _tallied(results, by)
    return Figures(
        results.output,
        results.name,
        results.model,
        results.endpoint,
        whole,
        results.off_row_costs,
        groups,
        results.run.standing(whole.totals),
        results.of_mock,
    )


def _tallied(results: Results, by: Sequence[str]) -> tuple[GroupStats, list[tuple[tuple[Any, ...], GroupStats]]]:
    columns = TALLIED if results.published else TALLIED_OF_RECORDS
    return tally_batches(results.columns(columns.union(by)), by)


def _check_column(results: Results, by: str) -> None:
    single = [column.name for column in COLUMNS if column.type is not MESSAGES]
    if by in single:
        return
    groupable = [*passthrough_names(results.passthrough).values(), *single]
    if by in groupable:
        return
    if by in _OURS:
        raise UsageError(f"`{by}` is a column of lists. Group by one of single values.")
    hint = did_you_mean(by, groupable) or f" There is {list_columns(groupable)}."
    raise UsageError(f"{numbers.shown_path(results.output)} has no column `{by}` to group by.{hint}")
