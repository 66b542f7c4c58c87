"""Which shard of a run a worker takes next, of those that no worker has. Pure."""

from __future__ import annotations

from collections import deque

from batchchat.cluster.assignment import WorkerEnd
from batchchat.cluster.row_quota import RowQuota

__all__ = ["ShardQueue"]


class ShardQueue:
    """The shards from 0 to `shards`, each once, and again those that ended at the limit on rows of `quota`.

    Of a limit the shards at work have it all; another one begins where some of it comes back, since a worker that is
    started for nothing reads the whole input.
    """

    def __init__(self, shards: int, quota: RowQuota | None) -> None:
        self._waiting = deque(range(shards))
        self._quota = quota

    @property
    def has_next(self) -> bool:
        """Whether `take` gives a shard."""
        return bool(self._waiting) and (self._quota is None or self._quota.left > 0)

    def take(self) -> int | None:
        """The shard to begin or to go on with; None where there is none, or no row may be sent."""
        return self._waiting.popleft() if self.has_next else None

    def add_end(self, number: int, end: WorkerEnd) -> None:
        """The shard `number` has come to its `end`: it waits again if that was the limit's.

        What stopped its worker, as a cap that is used up, would stop the worker of a further shard as well.
        """
        if end.halt is not None or end.error is not None:
            self._waiting.clear()
        elif end.limit_left == 0 and not end.is_exhausted:
            self._waiting.append(number)
