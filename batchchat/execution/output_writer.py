"""Writes rows of the journal to the output under way, and knows which."""

from __future__ import annotations

from array import array
from hashlib import blake2b
from pathlib import Path

from batchchat.job import OutputSpec
from batchchat.store.amendments import read_row
from batchchat.store.line_columns import AS_CARRIED
from batchchat.store.line_reader import LineReader
from batchchat.store.output_builder import OutputBuilder
from batchchat.store.parquet_file import PassthroughColumn
from batchchat.store.parsed_columns import ParsedColumns
from batchchat.store.records import ROW_START
from batchchat.store.retyped_columns import RetypedColumns

__all__ = ["OutputWriter"]


class OutputWriter:
    """Writes rows of the journal in `folder` to `output`, with `columns` behind our own, some of them `retyped`.

    It is open until `commit` or `abandon`. Raises `OSError` where the output can't be built.
    """

    def __init__(self, output: OutputSpec, folder: Path, columns: ParsedColumns, retyped: RetypedColumns) -> None:
        self._columns = columns
        self._retyped = retyped
        line_form = columns.line_form
        self._takes_lines = line_form is not None and not retyped.names
        self._lines = LineReader(folder)
        part_rows = output.part_rows if output.is_folder else None
        self._builder = OutputBuilder(output.path, columns.columns, part_rows, line_form=line_form or AS_CARRIED)
        self._digest = blake2b(digest_size=16)
        self.count = 0
        """How many rows were written."""

    @property
    def open_files(self) -> int:
        """How many files are open for writing."""
        return self._builder.open_files

    @property
    def columns(self) -> list[tuple[str, PassthroughColumn]]:
        """The columns behind our own, each with its type."""
        return list(self._columns.columns.items())

    def begins(self, journal_offsets: array[int]) -> bool:
        """Whether the rows written are the first of those at `journal_offsets`."""
        first = memoryview(journal_offsets)[: self.count]
        return blake2b(first, digest_size=16).digest() == self._digest.digest()

    def write(self, journal_offsets: array[int]) -> None:
        """Write the rows whose records are at `journal_offsets`.

        Raises `MachineError` where one can't be read, and `OSError` where one can't be written.
        """
        self._digest.update(memoryview(journal_offsets))
        for at in journal_offsets:
            # A row whose line in the journal has it as it is published is written by that line.
            line = self._lines.line(at) if self._takes_lines else None
            if line is not None and line.startswith(ROW_START):
                self._builder.add(line, len(line))
            else:
                row, length = read_row(self._lines, at)
                self._builder.add(self._columns.of(self._retyped.of(at, row)), length)
        self.count += len(journal_offsets)

    def use_threads(self, in_threads: bool) -> None:
        """Whether rows are converted and written in threads, or by `write`, in less memory and more time."""
        self._builder.use_threads(in_threads)

    def describe(self, metadata: bytes) -> None:
        """Let the files have `metadata`, a JSON object. Raises `OSError`."""
        self._builder.describe(metadata)

    def commit(self) -> None:
        """Swap in what was written and described. Raises `OSError`."""
        self._builder.commit()
        self._lines.close()

    def abandon(self) -> None:
        """Remove what was written."""
        self._lines.close()
        self._builder.abandon()
