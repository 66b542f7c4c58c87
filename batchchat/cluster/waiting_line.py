"""Workers that lack something for their next request, in the order in which they began to wait. Pure."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["WaitingLine"]

_PRESENT_S = 2.0
"""A worker that lacks something asks many times a second; who has not for so long is not waited for."""


class WaitingLine:
    """Who waits longest is served first, however much it needs, or small requests would keep a large one waiting."""

    def __init__(self) -> None:
        self._asked_at: dict[str, float] = {}  # the last ask of each, in the order of their first

    def state(self) -> dict[str, float]:
        """Who waits, and when each asked last, as JSON."""
        return self._asked_at

    def resume(self, state: Mapping[str, float]) -> None:
        """Go on from what `state` said before. Raises `TypeError` or `ValueError` where it did not."""
        self._asked_at = {worker: float(asked_at) for worker, asked_at in state.items()}

    def is_turn_of(self, now: float, worker: str) -> bool:
        """Whether nobody waits ahead of `worker`."""
        for ahead, asked_at in list(self._asked_at.items()):
            if ahead == worker:
                return True
            if now - asked_at <= _PRESENT_S:
                return False
            del self._asked_at[ahead]
        return True

    def wait(self, now: float, worker: str) -> None:
        """`worker` could not be given what it needs."""
        self._asked_at[worker] = now

    def leave(self, worker: str) -> None:
        """`worker` waits no longer."""
        self._asked_at.pop(worker, None)
