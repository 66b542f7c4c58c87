"""Which failures fell into an outage: rows do not pay for those, and an outage is often recognised only after them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TypeVar

from batchchat.core.attempt import Attempt
from batchchat.core.conversation import Key

__all__ = ["OutageHistory", "remember"]

_MAX_FAILURES = 20_000
_MAX_OUTAGES = 64

_K = TypeVar("_K")
_V = TypeVar("_V")


@dataclass(slots=True)
class _Span:
    """An outage on the policy's clock; `until` is infinite while it lasts.

    `since_epoch` is for people alone: the system's clock may be set while an outage lasts.
    """

    since: float
    since_epoch: float
    until: float = float("inf")


class OutageHistory:
    """The latest outages, and when the latest failures of rows ended."""

    def __init__(self) -> None:
        # An attempt is named by its row and its start in epoch seconds: of one row only one attempt has that start.
        self._ended: dict[tuple[Key, float], float] = {}
        self._spans: deque[_Span] = deque(maxlen=_MAX_OUTAGES)

    def add_failure(self, attempt: Attempt, ended_at: float) -> None:
        """Remember that a row's `attempt` failed at `ended_at`."""
        remember(self._ended, (attempt.request.key, attempt.started_at), ended_at, _MAX_FAILURES)

    def ended_at(self, attempt: Attempt) -> float | None:
        """When a failed `attempt` ended; None for one that was not added, or that is forgotten."""
        return self._ended.get((attempt.request.key, attempt.started_at))

    def begin(self, since: float, since_epoch: float) -> None:
        """An outage began at `since`."""
        self._spans.append(_Span(since, since_epoch))

    def end(self, until: float) -> None:
        """The latest outage ended at `until`."""
        self._spans[-1].until = until

    @property
    def latest_since_epoch(self) -> float:
        """When the latest outage began, in seconds since the epoch."""
        return self._spans[-1].since_epoch

    def contains(self, attempt: Attempt) -> bool:
        """Whether a failed `attempt` was in flight, at least for a part of its time, during an outage."""
        ended = self.ended_at(attempt)
        if ended is None:
            return False
        return any(ended >= span.since and ended - attempt.latency_s <= span.until for span in self._spans)


def remember(memory: dict[_K, _V], key: _K, value: _V, max_size: int) -> None:
    """Set `memory[key]`, and drop the oldest entry where there are more than `max_size`."""
    memory[key] = value
    if len(memory) > max_size:
        del memory[next(iter(memory))]
