"""The finished rows of a run whose output is not published, or older than its journal: read from the journal."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from batchchat.core.record import RowRecord
from batchchat.results.columnar import TALLIED_OF_RECORDS, tally_batches
from batchchat.results.journal_columns import TYPES
from batchchat.results.journal_rows import read_journal_rows
from batchchat.store.amendments import read_row
from batchchat.store.columns import COLUMNS, passthrough_names
from batchchat.store.ledger import Ledger
from batchchat.store.line_reader import LineReader
from batchchat.store.lock import holder
from batchchat.store.parquet import PassthroughColumn, batches_of
from batchchat.store.parsed_columns import ParsedColumns, fields_of_text
from batchchat.store.retyped_columns import RetypedColumns

__all__ = ["JournaledRows"]

_OURS = {column.name for column in COLUMNS}
_ROWS_AT_ONCE = 5_000
_NONE: dict[str, Any] = {}


class JournaledRows:
    """The rows in the journal in `folder`, in the order of the input when they were sent.

    `ledger` has what is known of the whole run: its sums, its sessions, what was paid that is in none of the rows. The
    journal is read when this is made, once; texts and passthrough columns are read when they are asked for.
    Raises `OutputError` for a journal of another format, `MachineError` for a failing disk.
    """

    def __init__(self, folder: Path) -> None:
        self.ledger = Ledger(folder)
        self._lines = LineReader(folder)
        self._rows = read_journal_rows(folder, self.ledger, self._lines)
        if holder(folder) is None:  # else what is in flight is no loss yet
            self.ledger.end_session()
        whole, _ = tally_batches(self._rows.columns(TALLIED_OF_RECORDS), ())
        self.ledger.totals = whole.totals

    def close(self) -> None:
        """Close the segments that were read."""
        self._lines.close()
        self.ledger.close()

    @property
    def passthrough(self) -> Mapping[str, PassthroughColumn]:
        """The types of the columns that come after our own in an output of these rows."""
        return self._published[0].columns

    @cached_property
    def _published(self) -> tuple[ParsedColumns, RetypedColumns]:
        """What makes a record one as it is published: the columns behind our own, and how their cells are written."""
        ledger, rows = self.ledger, self._rows
        # Where rows were amended, what they held before no longer counts.
        offsets = sorted(rows.offsets.tolist()) if rows.is_amended else rows.all_offsets.tolist()
        records = ((at, read_row(self._lines, at)[0]) for at in offsets)
        ledger.passthrough = ledger.passthrough.recounted(
            (at, row.get("carried", _NONE), row["ordinal"]) for at, row in records
        )
        fields = fields_of_text(ledger.last_run.get("parsed_columns"))
        columns = ParsedColumns(fields, ledger.passthrough.columns(), has_endpoints=ledger.has_endpoints)
        return columns, ledger.passthrough.retyped()

    def rows(self) -> Iterator[tuple[RowRecord, int]]:
        """Every row as it is published, with its length in bytes in the journal."""
        return self._read(0, len(self._rows.offsets))

    def rows_at(self, positions: Sequence[int]) -> Iterator[tuple[int, RowRecord]]:
        """The rows at ascending positions."""
        for position in positions:
            yield from ((position, row) for row, _ in self._read(position, position + 1))

    def columns(self, names: Collection[str]) -> Iterator[pa.RecordBatch]:
        """The columns `names` of an output of these rows, or of `TALLIED_OF_RECORDS`, in batches."""
        others = {name for name in names if name not in TYPES}
        passthrough = {} if others <= _OURS else self.passthrough
        others &= {*_OURS, *passthrough_names(passthrough).values()}
        if not others:
            yield from self._rows.columns(names)
            return
        start = 0
        for figures in self._rows.columns(names, _ROWS_AT_ONCE):
            end = start + figures.num_rows
            rows = (row for row, _ in self._read(start, end))
            table = pa.Table.from_batches(list(batches_of(rows, passthrough, others))).combine_chunks()
            (more,) = table.to_batches()
            arrays: list[Any] = [*figures.columns, *more.columns]
            yield pa.RecordBatch.from_arrays(arrays, names=[*figures.schema.names, *more.schema.names])
            start = end

    def _read(self, start: int, end: int) -> Iterator[tuple[RowRecord, int]]:
        """The rows from one position to another."""
        for at in self._rows.offsets[start:end].tolist():
            row, length = read_row(self._lines, at)
            yield (self._as_published(at, row) if self._is_typed else row), length

    def _as_published(self, at: int, row: RowRecord) -> RowRecord:
        columns, spelling = self._published
        return columns.of(spelling.of(at, row))

    @cached_property
    def _is_typed(self) -> bool:
        """Whether a row may be published otherwise than its record has it."""
        runs = [record for _, record in self.ledger.runs]
        return self.ledger.has_endpoints or any(run.get("columns") or run.get("parsed_columns") for run in runs)
