"""When the checkpoint of a run's journal is written: at the run's end, and each time much was written since the last.

Each is written between two groups of records, when the ledger is just what the journal has. A run that is killed
between two checkpoints leaves no more to fold than a few times what reading a checkpoint costs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from batchchat.dispatch.pause import pause
from batchchat.execution.recorder import Recorder
from batchchat.store.checkpoint import Replay, publish_checkpoint, write_checkpoint
from batchchat.store.ledger import Ledger
from batchchat.store.segments import bytes_up_to

__all__ = ["Checkpoints"]

_LOOK_EVERY_S = 1.0
_MIN_BYTES = 64 << 20
_TIMES_ITS_SIZE = 4
"""A checkpoint takes some 60 bytes a row; all that a run writes together are a fraction of its journal."""


class Checkpoints:
    """The checkpoints of a run whose journal in `folder` was replayed into `ledger`.

    `reading` says what is known of the input now. `end` is the journal offset of what the ledger has, None where that
    is not known.
    """

    def __init__(
        self, folder: Path, ledger: Ledger, replayed: Replay, reading: Callable[[], Mapping[str, Any] | None]
    ) -> None:
        self._folder = folder
        self._ledger = ledger
        self.replayed = replayed
        self.end: int | None = replayed.tail.end
        self._sums = replayed.sums
        self._reading = reading
        self._written_at = replayed.start
        self._has_reading = replayed.reading is not None
        self._is_damaged = replayed.is_damaged
        self._size = 0

    @asynccontextmanager
    async def kept(self, recorder: Recorder) -> AsyncIterator[None]:
        """Write a checkpoint of what `recorder` has written whenever one is due, until the context is left."""
        ended = asyncio.Event()
        task = asyncio.create_task(self._keep(recorder, ended))
        try:
            yield
        finally:
            ended.set()
            await task

    async def _keep(self, recorder: Recorder, ended: asyncio.Event) -> None:
        while not ended.is_set():
            with suppress(OSError):  # of the journal's folder: the run's own writing says it
                await self._look(recorder)
            await pause(_LOOK_EVERY_S, ended)

    async def _look(self, recorder: Recorder) -> None:
        """Write a checkpoint if one is due."""
        if (end := recorder.end) is None or not self._is_due(end):
            return
        # What takes long, reading the journal and the input, is done before the ledger is looked at.
        await asyncio.to_thread(self._sums.up_to, end)
        reading = await asyncio.to_thread(self._reading)
        if (end := recorder.end) is not None and (building := self._write(end, reading)) is not None:
            await asyncio.to_thread(publish_checkpoint, building)

    def write(self) -> None:
        """Write the last checkpoint of the run, whose journal is closed."""
        end = self.end
        if end is None or self._is_damaged or not self._ledger.is_of_journal:
            return
        reading = self._reading()
        if end == self._written_at and self._has_reading == (reading is not None):
            return
        if (building := self._write(end, reading)) is not None:
            publish_checkpoint(building)

    def _is_due(self, end: int) -> bool:
        if self._is_damaged or not self._ledger.is_of_journal:
            return False
        since = bytes_up_to(self._folder, end) - bytes_up_to(self._folder, self._written_at)
        return since >= max(_MIN_BYTES, _TIMES_ITS_SIZE * self._size)

    def _write(self, end: int, reading: Mapping[str, Any] | None) -> Path | None:
        building = write_checkpoint(self._folder, self._ledger, end, self._sums, reading)
        self._written_at = end  # where it can't be written now, it is tried again when there is as much more
        if building is not None:
            self._size = building.stat().st_size
        return building
