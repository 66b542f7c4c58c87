"""The requests that wait for a permit, and which of them may go next, to which endpoint. Nothing here waits.

Requests are served in order, retries before new rows; after a failure seven new rows go first, since it may be the
others that fail. A request may go to any endpoint in use, and goes to the one with room that has the fewest requests in
flight by its weight: where all are full, whichever ends a request first takes the next, so the fastest serves most.

A request that some endpoints have refused waits in a line with those that the same ones have refused, so that it holds
up nobody while the others are full.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from batchchat.core.attempt import Action, Attempt, MaxUsage, Request
from batchchat.dispatch.lane import Lane

__all__ = ["NEW_ROWS_PER_RETRY", "NO_LANES", "RequestLine", "Waiter"]

NEW_ROWS_PER_RETRY = 7
NO_LANES: frozenset[Lane] = frozenset()

_RETRY = Action.RETRY  # a member of an enum takes 0.1 µs to look up in Python 3.11

_Line = deque["Waiter"]


@dataclass(slots=True, eq=False)
class Waiter:
    """A request that wants a permit; `again` after a failure, `excluded` are lanes it must not go to.

    While it waits, `admitted` is a future whose result is the lane that admits it, or None where none ever will.
    `request` is None where only what it may use is known.
    """

    max_usage: MaxUsage
    again: bool = False
    excluded: frozenset[Lane] = NO_LANES
    request: Request | None = None
    admitted: asyncio.Future[Lane | None] | None = None


class RequestLine:
    """The waiting requests of a run that goes to `lanes`, of which some may come and go."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self._lanes = lanes
        self._again: _Line = deque()
        self._fresh: _Line = deque()
        self._limited: dict[frozenset[Lane], _Line] = {}
        self._failures = 0  # consecutive

    def __len__(self) -> int:
        return len(self._again) + len(self._fresh) + sum(map(len, self._limited.values()))

    def add(self, waiter: Waiter) -> None:
        """`waiter` waits from now on."""
        self._line_of(waiter).append(waiter)

    def remove(self, waiter: Waiter) -> None:
        """`waiter` waits no more. Raises `ValueError` if it does not wait."""
        self._line_of(waiter).remove(waiter)

    def clear(self) -> list[Waiter]:
        """All that wait; none does any more."""
        lines = (self._again, self._fresh, *self._limited.values())
        waiters = [waiter for line in lines for waiter in line]
        for line in lines:
            line.clear()
        return waiters

    @property
    def is_full(self) -> bool:
        """Whether no more rows should be taken to wait here."""
        return False

    def forget(self, lane: Lane) -> None:
        """`lane` has gone."""

    def admitted(self, waiter: Waiter, lane: Lane) -> None:
        """`waiter`, which waits no more if it did, goes to `lane`."""

    def count_end(self, lane: Lane, attempt: Attempt | None) -> None:  # noqa: ARG002 (others look at the lane)
        """A request to `lane` ended; `attempt` is None where we cancelled it."""
        if attempt is not None:
            self._failures = self._failures + 1 if attempt.verdict.action is _RETRY else 0

    def lanes_at_once(self, waiter: Waiter) -> Sequence[Lane]:
        """The lanes that a request may try without waiting, the preferred first; none where others go before it."""
        if waiter.excluded:
            is_first = not self._limited.get(waiter.excluded)
        else:
            is_first = not self._again and (waiter.again or not self._fresh)
        return self.lanes_for(waiter) if is_first else ()

    def candidates(self) -> Iterable[tuple[Waiter, Sequence[Lane]]]:
        """The requests of which one may go next, in order, each with the lanes it may go to, the preferred first."""
        heads = self._limited_heads()
        if line := self._next_line():
            heads.append(line[0])
        return [(waiter, self.lanes_for(waiter)) for waiter in heads]

    def lanes_for(self, waiter: Waiter) -> Sequence[Lane]:
        """The lanes in use that may serve a request, the one with the least load first."""
        return self.lanes_in_use(waiter.excluded)

    def lanes_in_use(self, excluded: frozenset[Lane] = NO_LANES) -> Sequence[Lane]:
        """The lanes in use but those `excluded`, the one with the least load first."""
        if len(self._lanes) == 1:
            return self._lanes
        lanes = [lane for lane in self._lanes if lane.halt is None and lane not in excluded]
        return sorted(lanes, key=_load) if len(lanes) > 1 else lanes

    @property
    def is_turn_of_fresh(self) -> bool:
        """Whether a new row goes before those that are sent again."""
        return bool(self._failures % (1 + NEW_ROWS_PER_RETRY))

    def unservable(self) -> list[Waiter]:
        """Those that wait and that no lane in use may serve; they wait no more."""
        waiters: list[Waiter] = []
        for line in self._limited.values():
            if line and not self.lanes_for(line[0]):
                waiters += line
                line.clear()
        return waiters

    def _limited_heads(self) -> list[Waiter]:
        return [line[0] for line in self._limited.values() if line]

    def _line_of(self, waiter: Waiter) -> _Line:
        if not waiter.excluded:
            return self._again if waiter.again else self._fresh
        return self._limited.setdefault(waiter.excluded, deque())

    def _next_line(self) -> _Line:
        """Retries go before new rows; after a failure, seven new rows go before the next of them."""
        if self._again and self._fresh and self.is_turn_of_fresh:
            return self._fresh
        return self._again or self._fresh


def _load(lane: Lane) -> float:
    return lane.load
