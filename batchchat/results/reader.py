"""The finished rows of a job or an output, whatever the state of its run; nothing is changed.

The published output is read where it has all that the journal has; otherwise the journal is read. An output without its
run folder is read on its own.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from batchchat.core.record import RowRecord, key_of
from batchchat.core.totals import OffRowCosts
from batchchat.errors import OutputError
from batchchat.execution.publish import rows_in_order
from batchchat.job import load_output
from batchchat.job.paths import absolute_inputs
from batchchat.results.run_info import RunInfo, info_of_output, info_of_run, sessions_of
from batchchat.store.folder import folder_of, is_there
from batchchat.store.ledger import Ledger
from batchchat.store.lock import holder
from batchchat.store.parquet import PassthroughColumn, batches_of
from batchchat.store.parsed_columns import ParsedColumns, fields_of_text
from batchchat.store.published import Published
from batchchat.store.run_json import read_state
from batchchat.store.segments import LineReader, end_of, scan
from batchchat.text import numbers

__all__ = ["Results", "open_results", "output_of"]


@dataclass(frozen=True, slots=True)
class Results:
    """The rows of an output, which can be read repeatedly, each with its approximate size in bytes; and their origin.

    `passthrough` has the types of the passthrough columns by their names in a record. `name`, `model` and `endpoint`
    are the job's, None where unknown; `inputs` its `input.path`, absolute; `of_mock` where the embedded mock answered;
    `run` says how the run stands. `columns` reads some of the output's
    columns as Arrow batches, `rows_at` the rows at ascending positions; both are quick where the output is `published`,
    and read all rows of a journal.
    """

    output: Path
    name: str | None
    model: str | None
    endpoint: str | None
    inputs: tuple[str, ...]
    passthrough: Mapping[str, PassthroughColumn]
    off_row_costs: OffRowCosts
    rows: Callable[[], Iterator[tuple[RowRecord, int]]]
    columns: Callable[[Collection[str]], Iterator[Any]]
    rows_at: Callable[[Sequence[int]], Iterator[tuple[int, RowRecord]]]
    published: bool
    run: RunInfo
    of_mock: bool


def output_of(source: Path, environ: Mapping[str, str]) -> Path:
    """The path of the output of `source`, which is a job file or the output itself."""
    if source.suffix in {".yaml", ".yml"}:
        return load_output(source, environ=environ)
    return source


@contextmanager
def open_results(output: Path, job: Path | None = None) -> Iterator[Results]:
    """The results of `output`; `job` is its job file where that was named.

    Raises `OutputError` where there are none, `MachineError` for a failing disk.
    """
    folder = folder_of(output)
    end = end_of(folder)
    published = _published_at(output, needed=end is None)
    if end is None and published is None:
        raise OutputError(_no_results(output, folder, job))
    if published is not None:
        with closing(published):
            if end is None or end <= published.metadata.get("journal_end", -1):
                has_run = end is not None or read_state(folder) is not None
                yield _published(output, published, folder if has_run else None)
                return
    ledger, lines = Ledger(folder), LineReader(folder)
    try:
        yield _journaled(output, folder, ledger, lines)
    finally:
        lines.close()
        ledger.close()


def _published_at(output: Path, *, needed: bool) -> Published | None:
    """The published output; None where there is none. Where it is `needed`, what is there and is none is an error."""
    if not is_there(output):
        return None
    try:
        return Published(output)
    except OutputError:
        if needed:
            raise
        return None


def _no_results(output: Path, folder: Path, job: Path | None) -> str:
    way_out = (
        "Give the job file or its output." if job is None else f"Run it with: batchchat run {shlex.quote(str(job))}"
    )
    path = numbers.shown_path(output)
    return f"{path} has no run: there is neither an output nor a journal in {folder.name}. {way_out}"


def _published(output: Path, published: Published, folder: Path | None) -> Results:
    metadata = published.metadata
    run = info_of_output(metadata) if folder is None else info_of_run(output, sessions_of(metadata))
    size = 2_000  # about what a row takes in a journal; only the size of row groups depends on it
    return Results(
        output=output,
        name=metadata.get("name"),
        model=metadata.get("model"),
        endpoint=metadata.get("endpoint"),
        inputs=absolute_inputs(metadata.get("inputs", ()), output.parent),
        passthrough=published.passthrough,
        off_row_costs=OffRowCosts.of_fields(metadata.get("beside", {})),
        rows=lambda: ((row, size) for row in published.rows()),
        columns=published.batches,
        rows_at=published.rows_at,
        published=True,
        run=run,
        of_mock=bool(metadata.get("mock")),
    )


def _journaled(output: Path, folder: Path, ledger: Ledger, lines: LineReader) -> Results:
    """The results in the journal, in the order of the input when the rows were sent."""
    for at, record in scan(folder):
        ledger.apply(at, record)
        if record["kind"] in {"row", "amend"}:
            row = cast("RowRecord", record)
            ledger.index.set_ordinal(ledger.index.add(key_of(row)), row["ordinal"])
    if holder(folder) is None:  # else what is in flight is no loss yet
        ledger.end_session()
    run = ledger.last_run
    ledger.recount_passthrough()
    columns = ParsedColumns(fields_of_text(run.get("parsed_columns")), ledger.passthrough.columns())

    def rows_at(places: Sequence[int]) -> Iterator[tuple[int, RowRecord]]:
        wanted = set(places)
        return ((at, row) for at, (row, _) in enumerate(rows_in_order(ledger, lines, columns)) if at in wanted)

    return Results(
        output=output,
        name=run.get("name"),
        model=run.get("model"),
        endpoint=run.get("endpoint"),
        inputs=absolute_inputs(run.get("inputs", ()), output.parent),
        passthrough=columns.columns,
        off_row_costs=ledger.off_row_costs,
        rows=lambda: rows_in_order(ledger, lines, columns),
        columns=lambda names: batches_of(
            (row for row, _ in rows_in_order(ledger, lines, columns)), columns.columns, names
        ),
        rows_at=rows_at,
        published=False,
        run=info_of_run(output, ledger.sessions),
        of_mock=bool(ledger.totals.mock_answers),
    )
