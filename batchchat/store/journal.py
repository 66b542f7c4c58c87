"""The append-only journal, the only source of truth about a run. A row counts as done when its line is synced.

Group commit without a timer: while one group of lines is written and synced in a thread, the next gathers. `unsynced`
is bounded by the caller, who awaits `room()` before starting more rows. After a failed write or sync nothing more is
written: the file is truncated to its last synced group and the run stops, since the state of the kernel's pages after
a failed sync is unknown.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from batchchat.errors import MachineError
from batchchat.store import records
from batchchat.store.durable import sync_data
from batchchat.store.segment_file import WAY_OUT, ResumePoint, SegmentFile
from batchchat.store.segments import journal_offset

__all__ = ["Committed", "Journal"]

SEGMENT_BYTES = 256 << 20
"""A segment of this size or more is followed by the next."""

_WRITTEN_ALONE = 1 << 16
"""Lines that are as long as this on average are each written by themselves: to join them would be to copy all."""

Committed = Callable[[Sequence[tuple[int, Any]]], None]
"""Called in the event loop with the (journal offset, record) pairs of each synced group, in order."""


class _Group(NamedTuple):
    """Lines written and synced together, their records, and the journal offset of the first one once they are."""

    lines: list[bytes]
    records: list[Any]
    journal_offset: Future[int]


class Journal:
    """Open for appending from `point` on. Use inside a running event loop.

    `committed` is called with each synced group. `on_failure` is called once, when a write or sync has failed.
    Raises `OutputError` where another process writes to it.
    """

    def __init__(
        self,
        folder: Path,
        point: ResumePoint,
        committed: Committed,
        on_failure: Callable[[], None] = lambda: None,
        *,
        write: Callable[[int, Any], int] = os.write,
        sync: Callable[[int], None] = sync_data,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        self._folder = folder
        self._committed = committed
        self._on_failure = on_failure
        self._segment_bytes = segment_bytes
        self.failed: BaseException | None = None
        self.unsynced = self.unsynced_bytes = 0
        self._lines: list[bytes] = []
        self._records: list[Any] = []
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._loop: asyncio.AbstractEventLoop | None = None  # asked for once: Python 3.11 makes a system call each time
        self._group: _Group | None = None
        self._thread = ThreadPoolExecutor(1, "journal")
        with _machine_errors(folder):
            self._file = SegmentFile(folder, point, write, sync)
        self.end = journal_offset(self._file.number, self._file.size)
        """The journal offset behind the last record that `committed` was called with."""

    @property
    def intrusion(self) -> MachineError | None:
        """The error that another process changes the journal; None while none was noticed. Appending goes on."""
        if self._file.intrusion is None:
            return None
        return MachineError(
            f"{self._file.intrusion}, while this run does. Every row reported as done is kept. {WAY_OUT}"
        )

    def append(self, record: Any) -> None:
        """Queue `record`; it is durable once `committed` was called with it. After a failure it is ignored."""
        if self.failed is not None:
            return
        line = records.encode(record)
        self._lines.append(line)
        self.unsynced_bytes += len(line)
        self._records.append(record)
        self.unsynced += 1
        if self._group is None:
            self._start_group()

    async def room(self, max_unsynced: int) -> None:
        """Wait until at most `max_unsynced` records are unsynced. Raises the `MachineError` of a failed write."""
        while self.unsynced > max_unsynced and self.failed is None:
            loop = self._loop = self._loop or asyncio.get_running_loop()
            waiter = loop.create_future()
            self._waiting.append((max_unsynced, waiter))
            await waiter
        if self.failed is not None:
            raise self.failed

    async def settled(self) -> None:
        """Wait until everything appended is synced."""
        await self.room(0)

    def close(self) -> None:
        """Finish the group under way, then write the records that are queued; `committed` is called with both.

        Raises the `MachineError` of a write that fails here, or the `intrusion`. An earlier failure was raised by
        `room`.
        """
        self._thread.shutdown(wait=True)
        try:
            if self.failed is None:
                self._finish()
        except BaseException as error:
            self.failed = error
            raise
        finally:
            self._group = None
            self._file.close()
        if self.failed is None and self.intrusion is not None:
            raise self.intrusion

    def _finish(self) -> None:
        with _machine_errors(self._folder):
            if (group := self._group) is not None:
                self._group = None
                self._commit(group)
            if self._records:
                last = _Group(self._lines, self._records, Future())
                self._lines, self._records = [], []
                last.journal_offset.set_result(self._write_group(last.lines))
                self._commit(last)

    def _start_group(self) -> None:
        group = _Group(self._lines, self._records, self._thread.submit(self._write_group, self._lines))
        self._lines, self._records, self._group = [], [], group
        asyncio.wrap_future(group.journal_offset).add_done_callback(
            lambda done: self._group_done(group, done.exception())
        )

    def _write_group(self, lines: list[bytes]) -> int:
        """Write one group in the writer's thread; return its journal offset."""
        if self._file.size >= self._segment_bytes:
            self._file.roll()
        if sum(map(len, lines)) < len(lines) * _WRITTEN_ALONE:
            lines = [b"".join(lines)]
        return journal_offset(*self._file.append(*lines))

    def _group_done(self, group: _Group, error: BaseException | None) -> None:
        if self._group is not group or self.failed is not None:
            return  # `close` has committed it, or an earlier write failed
        self._group = None
        if error is not None:
            # Anything but an OSError is a defect in batchchat; the run must end all the same.
            self._fail(_machine_error(self._folder, error) if isinstance(error, OSError) else error)
            return
        if self._lines:
            self._start_group()
        try:
            self._commit(group)
        except Exception as defect:  # noqa: BLE001 (asyncio would only log it; the run must end)
            self._fail(defect)
            return
        self._wake()

    def _commit(self, group: _Group) -> None:
        """The group is synced: call `committed` with its journal offsets. Raises what writing it raised."""
        at, pairs = group.journal_offset.result(), []
        self.unsynced -= len(group.records)
        for line, record in zip(group.lines, group.records, strict=True):
            pairs.append((at, record))
            at += len(line)
            self.unsynced_bytes -= len(line)
        self.end = at
        self._committed(pairs)

    def _fail(self, error: BaseException) -> None:
        if self.failed is not None:
            return
        self.failed = error
        self._wake()
        self._on_failure()

    def _wake(self) -> None:
        waiting = []
        for max_unsynced, waiter in self._waiting:
            if waiter.done():
                continue
            if self.failed is not None or self.unsynced <= max_unsynced:
                waiter.set_result(None)
            else:
                waiting.append((max_unsynced, waiter))
        self._waiting = waiting


@contextmanager
def _machine_errors(folder: Path) -> Iterator[None]:
    """Turn an `OSError` into a `MachineError` with a sentence for the user."""
    try:
        yield
    except OSError as error:
        raise _machine_error(folder, error) from error


def _machine_error(folder: Path, error: OSError) -> MachineError:
    return MachineError(
        f"the journal in {folder} can't be written: {error.strerror or error}."
        " Every row reported as done is kept. Free space or repair the disk, then run the same command again."
    )
