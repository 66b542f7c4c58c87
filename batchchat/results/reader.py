"""The finished rows of a job or an output, whatever the state of its run; nothing is changed.

The published output is read where it has all that the journal has; otherwise the journal is read. An output without its
run folder is read on its own.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batchchat.core.record import RowRecord
from batchchat.core.totals import OffRowCosts
from batchchat.errors import OutputError
from batchchat.job import load_output
from batchchat.job.paths import absolute_inputs
from batchchat.results.journaled import JournaledRows
from batchchat.results.run_info import RunInfo, info_of_output, info_of_run, sessions_of
from batchchat.store.folder import folder_of, is_there
from batchchat.store.parquet import PassthroughColumn
from batchchat.store.published import Published
from batchchat.store.remote_note import published_in
from batchchat.store.run_json import read_state
from batchchat.store.segments import end_of
from batchchat.store.shard_outputs import shards_beside
from batchchat.text import numbers

__all__ = ["Results", "open_results", "output_of"]

_STORE_URL = re.compile("(s3|gs|az):/")  # a path has lost the second slash


@dataclass(frozen=True, slots=True)
class Results:
    """The rows of an output, which can be read repeatedly, each with its approximate size in bytes; and their origin.

    `name`, `model` and `endpoint`
    are the job's, None where unknown; `inputs` its `input.path`, absolute; `of_mock` where the embedded mock answered;
    `run` says how the run stands. Where the job `has_endpoints`, their names are in the column `endpoint`. `columns`
    reads some of the output's columns as Arrow batches, `rows_at` the rows at ascending positions; both are
    quick, but for texts and passthrough columns of a journal, for which its rows are read one by one.
    """

    output: Path
    name: str | None
    model: str | None
    endpoint: str | None
    inputs: tuple[str, ...]
    passthrough_columns: Callable[[], Mapping[str, PassthroughColumn]]
    off_row_costs: OffRowCosts
    rows: Callable[[], Iterator[tuple[RowRecord, int]]]
    columns: Callable[[Collection[str]], Iterator[Any]]
    rows_at: Callable[[Sequence[int]], Iterator[tuple[int, RowRecord]]]
    published: bool
    run: RunInfo
    of_mock: bool
    has_endpoints: bool = False

    @property
    def passthrough(self) -> Mapping[str, PassthroughColumn]:
        """The types of the passthrough columns by their names in a record; of a journal all rows are read for them."""
        return self.passthrough_columns()


def output_of(source: Path, environ: Mapping[str, str]) -> Path:
    """The path of the output of `source`: a job file, the output itself, or the run folder that has it.

    Raises `OutputError` for the URL of an object store, where only what was published is.
    """
    if source.suffix in {".yaml", ".yml"}:
        return load_output(source, environ=environ)
    if _STORE_URL.match(str(source)):
        raise OutputError(
            f"{source.parts[0]}//... is in an object store. Give the job file, or the run folder beside it, which has"
            " everything about the run."
        )
    return published_in(source) or source


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
    with closing(JournaledRows(folder)) as rows:
        yield _journaled(output, rows)


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
    if runs := shards_beside(output):
        shards = shlex.join(map(numbers.shown_path, runs.values()))
        return f"{path} has no run, and {numbers.quantity(len(runs), 'shard')} of it. Give these: {shards}"
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
        passthrough_columns=lambda: published.passthrough,
        off_row_costs=OffRowCosts.of_fields(metadata.get("beside", {})),
        rows=lambda: ((row, size) for row in published.rows()),
        columns=published.batches,
        rows_at=published.rows_at,
        published=True,
        run=run,
        of_mock=bool(metadata.get("mock")),
        has_endpoints=bool(metadata.get("endpoints")),
    )


def _journaled(output: Path, rows: JournaledRows) -> Results:
    ledger = rows.ledger
    run = ledger.last_run
    return Results(
        output=output,
        name=run.get("name"),
        model=run.get("model"),
        endpoint=run.get("endpoint"),
        inputs=absolute_inputs(run.get("inputs", ()), output.parent),
        passthrough_columns=lambda: rows.passthrough,
        off_row_costs=ledger.off_row_costs,
        rows=rows.rows,
        columns=rows.columns,
        rows_at=rows.rows_at,
        published=False,
        run=info_of_run(output, ledger.sessions),
        of_mock=bool(ledger.totals.mock_answers),
        has_endpoints=ledger.has_endpoints,
    )
