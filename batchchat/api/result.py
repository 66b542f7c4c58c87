"""`Result`: how a run ended, and its rows."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchchat.api.next_call import next_call
from batchchat.api.summary_table import summary_table
from batchchat.core.next_step import AS_BEFORE
from batchchat.errors import (
    EXIT_OK,
    EXIT_ROWS_FAILED,
    BatchchatError,
    BudgetError,
    EndpointError,
    MachineError,
    UsageError,
)
from batchchat.text.nearest import did_you_mean
from batchchat.text.numbers import shown_path

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from batchchat.execution.ending import RunResult

__all__ = ["Result"]

_STOPS = {error.exit_code: error for error in (BudgetError, EndpointError, MachineError)}
_OF_FAILURES = ["id", "variant", "sample", "status", "error_kind", "error", "attempts", "cost_usd"]


class Result:
    """How a run ended, and the rows of its output, which are read when they are asked for."""

    def __init__(self, path: Path, ended: RunResult) -> None:
        self.path = path
        """The Parquet file, or the folder of part files."""
        self.summary: dict[str, Any] = {**ended.summary, "exit_code": ended.exit_code}
        """What `batchchat run --json` prints: counts of rows, tokens, cost in USD, durations in seconds."""
        self.exit_code: int = ended.exit_code
        """That of the command: 0 all answered, 3 some rows failed, 4 and 5 stopped by budget or endpoint, 6 by this
        machine, 128 + n by signal n."""
        self._stopped = f"{ended.stopped} {next_call(ended.next_step)}" if ended.stopped else None

    def check(self) -> Result:
        """This result, where the run went through its input: exit code 0, or 3 for some rows that failed.

        Raises `BudgetError`, `EndpointError` or `MachineError` where that stopped the run, `BatchchatError` where a
        signal did.
        """
        if self.exit_code in {EXIT_OK, EXIT_ROWS_FAILED}:
            return self
        error = _STOPS.get(self.exit_code, BatchchatError)
        raise error(f"{self.summary['text']}. {self._stopped or next_call(AS_BEFORE)}")

    def to_arrow(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of the output as an Arrow table, or some `columns` of them; docs/output.md says what they are.

        After a signal they are read from the journal: the rows that are finished. Raises `OutputError` where there is
        neither, and `UsageError` for a column that is not there.
        """
        return self._table(columns, only_without_answer=False)

    def _table(self, columns: Sequence[str] | None, *, only_without_answer: bool) -> pa.Table:
        from batchchat.results.export import export_run
        from batchchat.results.reader import open_results
        from batchchat.store.output_files import files_of

        names = [columns] if isinstance(columns, str) else columns
        with open_results(self.path) as results:
            is_published = results.published
        if is_published:
            return _read(files_of(self.path), names, only_without_answer=only_without_answer)
        with tempfile.TemporaryDirectory(prefix="batchchat-") as folder:
            target = Path(folder) / "rows.parquet"
            export_run(self.path, [(target, None)], "parquet")
            return _read([target], names, only_without_answer=only_without_answer)

    def to_pandas(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """The rows of the output as a DataFrame, or some `columns` of them, as `pandas.read_parquet` gives them.

        Errors are those of `to_arrow`.
        """
        return self.to_arrow(columns).to_pandas()

    def to_polars(self, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """The rows of the output as a Polars DataFrame.

        Raises `ImportError` where Polars is not installed; other errors are those of `to_arrow`.
        """
        try:
            import polars as pl
        except ImportError:
            raise ImportError("Polars is not installed: pip install polars, or use to_pandas().") from None
        frame = pl.from_arrow(self.to_arrow(columns))
        assert isinstance(frame, pl.DataFrame), "a table is a frame, and no series"
        return frame

    @property
    def failed(self) -> pd.DataFrame:
        """The rows that failed or are invalid, with the reason: `error_kind`, `error`, and what they cost in USD."""
        return self._table(_OF_FAILURES, only_without_answer=True).to_pandas()

    def __repr__(self) -> str:
        return f"<Result {self.summary['text']}; exit code {self.exit_code}; {shown_path(self.path)!r}>"

    def _repr_html_(self) -> str:
        return summary_table(self.summary, self.path, self._stopped)


def _read(files: Sequence[Path], columns: Sequence[str] | None, *, only_without_answer: bool) -> pa.Table:
    """The rows of Parquet `files`, read in pieces. Raises `UsageError` for a column that is not there."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    opened = [pq.ParquetFile(file) for file in files]
    schema = opened[0].schema_arrow
    names = schema.names if columns is None else list(columns)
    for name in names:
        if name not in schema.names:
            raise UsageError(f"the output has no column `{name}`.{did_you_mean(name, schema.names)}")
    batches = (batch for file in opened for batch in file.iter_batches(columns=names))
    if only_without_answer:
        batches = (batch.filter(pc.not_equal(batch.column("status"), pa.scalar("answered"))) for batch in batches)
    return pa.Table.from_batches(batches, pa.schema([schema.field(name) for name in names])).select(names)
