"""Writes the output's Parquet while its run goes on, so that the end of a long run is no long wait.

It is a head start and nothing else. The journal is the truth about a run; what was written is completed at the end if
it is just how the output begins, and else removed. Whatever fails here fails at the end too, or does not matter.
"""

from __future__ import annotations

import asyncio
import os
import time
from array import array
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from batchchat.dispatch.pause import pause
from batchchat.store.atomic import followed
from batchchat.store.output_order import CompletionOrder, InputOrder, OutputOrder

if TYPE_CHECKING:
    from pathlib import Path

    from batchchat.execution.output_writer import OutputWriter
    from batchchat.job import JobSpec
    from batchchat.store.ledger import Ledger
    from batchchat.store.parsed_columns import ParsedColumns
    from batchchat.store.retyped_columns import RetypedColumns

__all__ = ["EARLY_LIMITS", "EarlyLimits", "EarlyOutput"]

_WRITER = "batchchat.execution.output_writer"
_ENTRIES_A_TURN = 5_000
_WORTH_THREADS = 10_000
"""Where more rows are left at the end, time is worth more than memory."""


class EarlyLimits(NamedTuple):
    """When rows are written: once `first_rows` are settled, then `min_rows` to `max_rows` at a time.

    Every `look_every_s` seconds it is seen whether there are as many. After columns have changed as much is written
    again only when there are `times_as_many` rows. At most `max_files` are open, and `min_free` bytes are left free on
    the disk.
    """

    look_every_s: float = 1.0
    first_rows: int = 1_000
    min_rows: int = 500
    max_rows: int = 2_000
    times_as_many: int = 4
    max_files: int = 64
    min_free: int = 1 << 30


EARLY_LIMITS = EarlyLimits()


class EarlyOutput:
    """Writes rows of `ledger`, whose journal is in `folder`, to the job's output as far as they are settled."""

    def __init__(self, job: JobSpec, folder: Path, ledger: Ledger, limits: EarlyLimits = EARLY_LIMITS) -> None:
        self._output = output = job.output
        self._folder = folder
        self._ledger = ledger
        self._limits = limits
        self._start_at = limits.first_rows
        self._writer: OutputWriter | None = None
        self._thread = ThreadPoolExecutor(1, "output")
        """One for all, since each thread has memory of its own."""
        # Columns of parsed replies are made in Python, which would take the time of requests. Which row of a random
        # sample is the next is not known until it was read.
        self.is_off = job.expect.columns or (job.input.random is not None and output.order == "input")
        """Whether nothing is written before the end; set where finished rows will be replaced."""

    @property
    def count(self) -> int:
        """How many rows are written."""
        return 0 if self._writer is None else self._writer.count

    @asynccontextmanager
    async def written(self) -> AsyncIterator[None]:
        """Write rows as they are settled, from when one more is finished until the context is left."""
        ended = asyncio.Event()
        task = asyncio.create_task(self._write_on(ended, self._ledger.totals.finished))
        try:
            yield
        finally:
            ended.set()
            await task
            self._thread.shutdown()

    def adopted(self, columns: ParsedColumns, journal_offsets: array[int]) -> OutputWriter | None:
        """What was written, for the caller to complete, if the output with `columns` and these rows begins so.

        None where it does not, or where nothing was written; then nothing is left of it.
        """
        writer = self._writer
        has_columns = writer is not None and writer.columns == list(columns.columns.items())
        if writer is None or not has_columns or not writer.begins(journal_offsets):
            self.abandon()
            return None
        self._writer = None
        writer.use_threads(len(journal_offsets) - writer.count > _WORTH_THREADS)
        return writer

    def abandon(self) -> None:
        """Remove what was written."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.abandon()

    async def _write_on(self, ended: asyncio.Event, finished_before: int) -> None:
        """Write until `ended`, from when more rows than `finished_before` are finished.

        After each batch comes a rest of as long as it took, since requests come first.
        """
        order: OutputOrder | None = None
        pause_s = self._limits.look_every_s
        try:
            while not (self.is_off or self._is_full or await pause(pause_s, ended)):
                if order is None and self._ledger.totals.finished <= finished_before:
                    continue  # what is kept is passed over first, and takes the time until a row is sent
                if order is None or self._has_other_columns():
                    order = await self._begin()
                pause_s = await self._write_batch(order)
        except Exception:  # noqa: BLE001 (a head start is not worth a run)
            self.is_off = True
        finally:
            self._ledger.index.on_finished = None
        if self.is_off and self._writer is not None:
            await self._in_thread(self.abandon)

    async def _in_thread(self, work: Callable[..., object], *arguments: object) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    async def _begin(self) -> OutputOrder:
        """Begin with the first row, where rows were written with other columns only once they are few beside all."""
        if self.count:
            self._start_at = self._limits.times_as_many * self.count
            await self._in_thread(self.abandon)
        await self._in_thread(import_module, _WRITER)  # with pyarrow
        index = self._ledger.index
        if self._output.order == "completion":
            by_completion = CompletionOrder(index.offsets_in_order("completion"))
            index.on_finished = by_completion.note
            return by_completion
        by_input = InputOrder()
        index.on_finished = by_input.note
        for start in range(0, len(index), _ENTRIES_A_TURN):
            for ordinal, journal_offset in index.finished_in(range(start, min(start + _ENTRIES_A_TURN, len(index)))):
                by_input.note(ordinal, journal_offset)
            await asyncio.sleep(0)
        return by_input

    def _has_other_columns(self) -> bool:
        """Whether the rows have other columns now than those that were written."""
        writer = self._writer
        return writer is not None and writer.columns != list(self._columns().columns.items())

    def _columns(self) -> ParsedColumns:
        """The columns behind our own that the rows have now."""
        from batchchat.store.parsed_columns import ParsedColumns

        return ParsedColumns([], self._ledger.passthrough.columns(), has_endpoints=self._ledger.has_endpoints)

    @property
    def _is_full(self) -> bool:
        """Whether no more files can be open."""
        return self._room <= 0

    @property
    def _room(self) -> int:
        """How many rows may be written next."""
        if not self._output.is_folder:
            return self._limits.max_rows
        return min(self._limits.max_rows, self._limits.max_files * self._output.part_rows - self.count)

    async def _write_batch(self, order: OutputOrder) -> float:
        """Write the next settled rows if there are enough; how many seconds to wait before the next."""
        # Nothing is awaited until they are taken: columns and rows are those of one moment.
        limits, passthrough = self._limits, self._ledger.passthrough
        retyped = passthrough.retyped()
        self.is_off |= order.is_broken or self._ledger.index.is_amended or bool(retyped.names)
        if self.is_off or order.settled < (limits.min_rows if self.count else self._start_at):
            return limits.look_every_s
        journal_offsets = order.take(self._room)
        began = time.monotonic()
        await self._in_thread(self._write, self._columns(), retyped, journal_offsets)
        return time.monotonic() - began

    def _write(self, columns: ParsedColumns, retyped: RetypedColumns, journal_offsets: array[int]) -> None:
        """Write the rows at `journal_offsets`, in a thread."""
        from batchchat.execution.output_writer import OutputWriter

        disk = os.statvfs(followed(self._output.path).parent)
        if disk.f_bavail * disk.f_frsize < self._limits.min_free:
            self.is_off = True  # the journal needs it
            return
        if self._writer is None:
            self._writer = OutputWriter(self._output, self._folder, columns, retyped)
            self._writer.use_threads(False)
        self._writer.write(journal_offsets)
