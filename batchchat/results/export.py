"""The results so far of any run, running, stopped or killed, written to a file in another format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from batchchat.core.conversation import Status
from batchchat.core.record import RowRecord
from batchchat.core.totals import CUT_OFF
from batchchat.errors import OutputError
from batchchat.results.export_formats import EXPORT_FORMATS, TRAINING_FORMATS, ExportFormat, Skipped
from batchchat.results.reader import Results, open_results
from batchchat.results.row_filter import Part, RowFilter
from batchchat.results.write_target import check_target, is_stream, writing
from batchchat.store.parquet import write_parquet
from batchchat.version import __version__

__all__ = ["EXPORTS", "ExportCounts", "Selection", "export_run"]

PARQUET = "parquet"
EXPORTS = (PARQUET, *EXPORT_FORMATS)
_ROWS_AT_ONCE = 500
_CUT_OFF = "whose answer is cut off at its token limit; --with-cut-off writes them too"
_NOT_WANTED = "for which --where does not hold"


@dataclass(slots=True)
class ExportCounts:
    """How many rows were written, and how many were left out by reason."""

    rows: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Selection:
    """The rows to be written: those for which the condition `where` holds, None: all.

    Training formats have answers that ended at their token limit only `with_cut_off`.
    """

    where: str | None = None
    with_cut_off: bool = False


def export_run(
    output: Path,
    targets: Sequence[tuple[Path, Part | None]],
    form: str,
    job: Path | None = None,
    selection: Selection = Selection(),
) -> list[ExportCounts]:
    """Write the finished rows of the run behind `output`, named by its `job` or by its own path, to `targets`.

    Each target is a file, with the part of the rows that it gets (None: all). Raises `OutputError`, `MachineError`, and
    `UsageError` for a condition that is none.
    """
    with open_results(output, job) as results:
        for target, _ in targets:
            check_target([results.output], target, jobs=[job] if job else [], inputs=results.inputs)
        row_filter = None if selection.where is None else RowFilter(selection.where, results.passthrough)
        leaves_out_cut_off = form in TRAINING_FORMATS and not selection.with_cut_off
        all_counts = []
        for target, part in targets:
            exported = ExportCounts()
            rows = _selected(results, exported, row_filter, part, leaves_out_cut_off=leaves_out_cut_off)
            if form == PARQUET:
                _write_parquet(target, results, rows, is_whole=part is None and row_filter is None)
            else:
                _write_lines(target, EXPORT_FORMATS[form](results.passthrough), rows, exported)
            all_counts.append(exported)
        return all_counts


def _selected(
    results: Results,
    exported: ExportCounts,
    row_filter: RowFilter | None,
    part: Part | None,
    *,
    leaves_out_cut_off: bool,
) -> Iterator[tuple[RowRecord, int]]:
    """The rows of `part` that are written, counted; those that are not, too."""
    rows: Iterable[tuple[RowRecord, int] | None] = results.rows()
    if part is not None:
        rows = (sized for sized in results.rows() if part.has(sized[0]))
    if row_filter is not None:
        rows = row_filter.take(sized for sized in rows if sized is not None)
    for sized in rows:
        if sized is None:
            exported.left_out[_NOT_WANTED] += 1
        elif leaves_out_cut_off and _is_cut_off(sized[0]):
            exported.left_out[_CUT_OFF] += 1
        else:
            exported.rows += 1
            yield sized


def _is_cut_off(row: RowRecord) -> bool:
    return row["status"] == Status.ANSWERED and row.get("reply", {}).get("finish_reason") == CUT_OFF


def _write_parquet(target: Path, results: Results, rows: Iterator[tuple[RowRecord, int]], *, is_whole: bool) -> None:
    """Write `rows`; only where they are all rows of the run, its costs in no row stand beside them."""
    if is_stream(target):
        raise OutputError(f"{target} is no regular file, and Parquet can't be written to a stream.")
    metadata = {
        "version": __version__,
        "export_of": results.output.name,
        "name": results.name,
        "model": results.model,
        "endpoint": results.endpoint,
        "endpoints": results.has_endpoints,
        "mock": results.of_mock,
        "ended": {"state": results.run.state, "stopped_by": results.run.stopped_by},
        "sessions": [list(session) for session in results.run.sessions],
    }
    if is_whole:
        metadata["beside"] = replace(results.off_row_costs, left=results.run.left).fields()
    write_parquet(target.resolve(), rows, results.passthrough, metadata)


def _write_lines(
    target: Path, export_format: ExportFormat, rows: Iterator[tuple[RowRecord, int]], exported: ExportCounts
) -> None:
    with writing(target) as file:
        file.write(export_format.head)
        while chunk := [row for row, _ in islice(rows, _ROWS_AT_ONCE)]:
            for line in export_format.lines(chunk):
                if isinstance(line, Skipped):
                    exported.left_out[line.reason] += 1
                    exported.rows -= 1
                else:
                    file.write(line)
