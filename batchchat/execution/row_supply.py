"""Where the rows come from that a process sends: its own feed, or the run whose worker it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from batchchat.dispatch.work import Work

__all__ = ["RowSupply"]


class RowSupply(Protocol):
    """What is sent, one row after the other.

    `taken` counts the rows that it gave, and those that it ended as failed without sending them; `kept` those that were
    finished without being sent.
    """

    @property
    def taken(self) -> int: ...

    @property
    def kept(self) -> int: ...

    async def take(self, stopped: Callable[[], bool], /) -> Work | None:
        """The next row to send, or None where there is none, or the search for one is `stopped`."""

    def wake(self) -> None:
        """Nothing is sent any more: whoever waits for a row sees that it is stopped."""

    async def at_end(self) -> bool:
        """True if no row is left to take. It takes the next row to find out, so nothing may be taken afterwards."""

    def total(self) -> tuple[int | None, bool]:
        """Rows of the input, None where that is not known, and whether it is an estimate."""
