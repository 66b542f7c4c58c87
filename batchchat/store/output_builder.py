"""The output under way: a Parquet file, or a folder of part files, built beside its place and swapped in whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from batchchat.core.record import RowRecord
from batchchat.store.atomic import Replacement
from batchchat.store.line_columns import AS_CARRIED, LineForm
from batchchat.store.parquet_file import GROUP_LIMITS, GroupLimits, ParquetBuilder, PassthroughColumn

__all__ = ["OutputBuilder"]


class OutputBuilder:
    """Builds the output at `path`: a file, or with `part_rows` a folder of part files of so many rows each.

    It is open until `commit` or `abandon`. What the files say of the run (`describe`) may come after any number of
    rows: until then each part that is full stays open. Without rows a folder has one empty part. `line_form` says how
    rows that are given as lines have the passthrough columns. Raises `OSError`.
    """

    def __init__(
        self,
        path: Path,
        passthrough: Mapping[str, PassthroughColumn],
        part_rows: int | None,
        limits: GroupLimits = GROUP_LIMITS,
        line_form: LineForm = AS_CARRIED,
    ) -> None:
        self._replacement = Replacement(path, is_folder=part_rows is not None)
        self._passthrough = passthrough
        self._part_rows = part_rows
        self._limits = limits
        self._line_form = line_form
        self._metadata: bytes | None = None
        self._open: list[ParquetBuilder] = []
        self._in_threads = True
        self.count = 0
        """How many rows were added."""
        try:
            self._begin_file()
        except BaseException:
            self.abandon()
            raise

    @property
    def open_files(self) -> int:
        """How many files are open."""
        return len(self._open)

    def use_threads(self, in_threads: bool) -> None:
        """Whether rows are converted and written in threads, or by `add`, in less memory and more time.

        Each thread has memory of its own: what was needed for earlier rows goes back to the system.
        """
        pa.default_memory_pool().release_unused()
        self._in_threads = self._open[-1].in_threads = in_threads

    def describe(self, metadata: bytes) -> None:
        """Let all files have `metadata`, a JSON object; those that are full are closed. Raises `OSError`."""
        self._metadata = metadata
        while len(self._open) > 1:
            self._open.pop(0).close(metadata)

    def add(self, row: RowRecord | bytes, length: int) -> None:
        """Add a row behind those before it: its record or its line, and its length in bytes in the journal.

        Raises what converting or writing one of the rows so far raised, `OSError` too.
        """
        if self._part_rows is not None and self.count and self.count % self._part_rows == 0:
            self._open[-1].end_rows()
            self._begin_file()
        self._open[-1].add(row, length)
        self.count += 1

    def commit(self) -> None:
        """Close the files, which are described, and swap them in. Raises `OSError`; the former output then stays."""
        assert self._metadata is not None
        while self._open:
            self._open[0].close(self._metadata)
            del self._open[0]
        self._replacement.commit()

    def abandon(self) -> None:
        """Close and remove the files."""
        while self._open:
            self._open.pop().abandon()
        self._replacement.abandon()

    def _begin_file(self) -> None:
        building = self._replacement.building
        if self._part_rows is not None:
            building /= f"part-{self.count // self._part_rows:05}.parquet"
        file = ParquetBuilder(building, self._passthrough, self._limits, self._line_form)
        file.in_threads = self._in_threads
        self._open.append(file)
        if self._metadata is not None:
            self.describe(self._metadata)
