"""A journal that is a list: each record counts as synced a while after it was appended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from batchchat.errors import BatchchatError

__all__ = ["ListJournal"]


class ListJournal:
    """`records` are all there are, of which the first `on_disk` are synced, one each `sync_s` seconds.

    `on_change` is called after each append and each sync.
    """

    def __init__(
        self,
        committed: Callable[[Sequence[tuple[int, Any]]], None],
        failed: Callable[[], None],
        *,
        sync_s: float = 0.001,
        on_change: Callable[[ListJournal], None] = lambda _journal: None,
    ) -> None:
        self._committed = committed
        self._sync_s = sync_s
        self._on_change = on_change
        self._syncing = False
        self._synced = asyncio.Event()
        self.fail = failed
        self.failed: BaseException | None = None
        self.intrusion: BatchchatError | None = None
        self.records: list[dict[str, Any]] = []
        self.on_disk = 0
        self.unsynced_bytes = self.end = 0

    @property
    def unsynced(self) -> int:
        return len(self.records) - self.on_disk

    def append(self, record: Any) -> None:
        self.records.append(record)
        self._on_change(self)
        if not self._syncing:
            self._syncing = True
            asyncio.get_running_loop().call_later(self._sync_s, self._sync)

    def _sync(self) -> None:
        location, self.on_disk = self.on_disk, self.on_disk + 1
        self._committed([(location, self.records[location])])
        self._on_change(self)
        self._synced.set()
        self._syncing = self.unsynced > 0
        if self._syncing:
            asyncio.get_running_loop().call_later(self._sync_s, self._sync)

    async def room(self, most: int) -> None:
        while self.unsynced > most:
            self._synced.clear()
            await self._synced.wait()

    async def settled(self) -> None:
        await self.room(0)

    def close(self) -> None:
        while self.unsynced:
            self._sync()
