"""The results so far of any run, running, stopped or killed, written to a file in another format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from batchchat import __version__
from batchchat.core.conversation import Status
from batchchat.core.record import RowRecord
from batchchat.core.totals import CUT_OFF
from batchchat.errors import OutputError
from batchchat.results.export_formats import EXPORT_FORMATS, TRAINING_FORMATS, ExportFormat, Skipped
from batchchat.results.reader import Results, open_results
from batchchat.results.write_target import check_target, is_stream, writing
from batchchat.store.parquet import write_parquet

__all__ = ["EXPORTS", "ExportCounts", "export_run"]

PARQUET = "parquet"
EXPORTS = (PARQUET, *EXPORT_FORMATS)
_ROWS_AT_ONCE = 500


@dataclass(slots=True)
class ExportCounts:
    """How many rows were written, and how many were left out by reason."""

    rows: int = 0
    left_out: Counter[str] = field(default_factory=Counter)

    def leave_out_cut_off(self, row: RowRecord) -> bool:
        """Whether `row` is answered and its answer cut off; it is then counted as left out."""
        is_cut_off = row.get("reply", {}).get("finish_reason") == CUT_OFF and row["status"] == Status.ANSWERED
        if is_cut_off:
            self.left_out["whose answer is cut off at its token limit; --with-cut-off writes them too"] += 1
        return is_cut_off


def export_run(
    output: Path, target: Path, form: str, job: Path | None = None, *, with_cut_off: bool = False
) -> ExportCounts:
    """Write the finished rows of the run behind `output`, named by its `job` or by its own path, to the file `target`.

    Training formats have answers that ended at their token limit only `with_cut_off`.

    Raises `OutputError`, `MachineError`.
    """
    with open_results(output, job) as results:
        check_target([results.output], target, jobs=[job] if job else [], inputs=results.inputs)
        if form == PARQUET:
            if is_stream(target):
                raise OutputError(f"{target} is no regular file, and Parquet can't be written to a stream.")
            exported = ExportCounts()
            metadata = {
                "version": __version__,
                "export_of": output.name,
                "name": results.name,
                "model": results.model,
                "endpoint": results.endpoint,
                "mock": results.of_mock,
                "ended": {"state": results.run.state, "stopped_by": results.run.stopped_by},
                "sessions": [list(session) for session in results.run.sessions],
                "beside": replace(results.off_row_costs, left=results.run.left).fields(),
            }
            write_parquet(target.resolve(), _counted(results, exported), results.passthrough, metadata)
            return exported
        leaves_out = form in TRAINING_FORMATS and not with_cut_off
        return _write_lines(target, results, EXPORT_FORMATS[form](results.passthrough), leaves_out=leaves_out)


def _counted(results: Results, exported: ExportCounts) -> Iterator[tuple[RowRecord, int]]:
    for placed in results.rows():
        exported.rows += 1
        yield placed


def _write_lines(target: Path, results: Results, export_format: ExportFormat, *, leaves_out: bool) -> ExportCounts:
    exported = ExportCounts()
    rows = (row for row, _ in results.rows() if not (leaves_out and exported.leave_out_cut_off(row)))
    with writing(target) as file:
        file.write(export_format.head)
        while chunk := list(islice(rows, _ROWS_AT_ONCE)):
            for line in export_format.lines(chunk):
                if isinstance(line, Skipped):
                    exported.left_out[line.reason] += 1
                else:
                    file.write(line)
                    exported.rows += 1
    return exported
