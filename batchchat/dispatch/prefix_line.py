"""The line of a run with `affinity: prefix`: each endpoint is sent what its prefix cache may have the beginning of.

More rows wait here than may be sent, so that there is a choice (`policy.prefix_queue` chooses). A request that failed
before, or that some endpoints have refused, keeps its place in the order, and goes to the endpoint that was sent the
longest beginning of it, as long as that has not much more to do than others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from batchchat.core.attempt import Action, Attempt
from batchchat.core.conversation import Key
from batchchat.dispatch.lane import Lane
from batchchat.dispatch.request_line import RequestLine, Waiter
from batchchat.policy.prefix_queue import PrefixQueue
from batchchat.policy.prefixes import prefix_hashes

__all__ = ["PrefixLine", "look_ahead"]

_MAX_BYTES = 64 << 20
_MIN_LOOK_AHEAD, _MAX_LOOK_AHEAD, _LOOK_AHEAD = 500, 10_000, 4
_MAX_WAIT = 4
"""A row is passed over by so many others for each that may wait, no more."""
_LOAD_RATIO, _LOAD_MARGIN = 1.5, 2
"""How much more than the least loaded endpoint another may have to do, to be sent what it has the beginning of."""
_ACCEPT = Action.ACCEPT


def look_ahead(concurrency: int) -> int:
    """How many rows should wait beside those in flight."""
    return min(max(_LOOK_AHEAD * concurrency, _MIN_LOOK_AHEAD), _MAX_LOOK_AHEAD)


class PrefixLine(RequestLine):
    """The waiting requests of a run, the fresh ones by the beginnings of their conversations."""

    def __init__(self, lanes: Sequence[Lane], max_rows: int = _MAX_LOOK_AHEAD) -> None:
        super().__init__(lanes)
        self._queue: PrefixQueue[Waiter] = PrefixQueue(_MAX_WAIT * max_rows)
        self._prefixes: dict[tuple[Key, int], tuple[int, ...]] = {}
        """Of the requests that wait or are in flight."""
        self._latest: dict[Lane, tuple[Waiter, int]] = {}
        """What was best for each lane, and with how many in flight: nothing was better before that number changes."""

    def __len__(self) -> int:
        return super().__len__() + len(self._queue)

    @property
    def is_full(self) -> bool:
        """Whether what waits takes as much memory as it may."""
        return self._queue.size >= _MAX_BYTES

    def add(self, waiter: Waiter) -> None:
        """`waiter` waits from now on."""
        if waiter.again or waiter.excluded:
            super().add(waiter)
        else:
            size = 0 if waiter.request is None else len(waiter.request.body)
            self._queue.add(waiter, self._prefixes_of(waiter), size)

    def remove(self, waiter: Waiter) -> None:
        """`waiter` waits no more. Raises `ValueError` if it does not wait."""
        if waiter in self._queue:
            self._queue.remove(waiter)
        else:
            super().remove(waiter)

    def admitted(self, waiter: Waiter, lane: Lane) -> None:
        """`waiter`, which waits no more if it did, goes to `lane`."""
        self._queue.sent(lane.name, self._prefixes_of(waiter))

    def count_end(self, lane: Lane, attempt: Attempt | None) -> None:
        """A request to `lane` ended."""
        super().count_end(lane, attempt)
        if attempt is not None:
            request = attempt.request
            prefixes = self._prefixes.pop((request.key, request.step), ())
            if attempt.verdict.action is _ACCEPT:
                self._queue.answered(lane.name, prefixes)

    def clear(self) -> list[Waiter]:
        """All that wait; none does any more."""
        waiters = [*super().clear(), *self._queue]
        for waiter in waiters:
            if waiter in self._queue:
                self._queue.remove(waiter)
        return waiters

    def lanes_at_once(self, waiter: Waiter) -> Sequence[Lane]:
        """The lanes that a request may try without waiting, the preferred first; none where others go before it."""
        if not (waiter.again or waiter.excluded) and len(self._queue):
            return ()
        return super().lanes_at_once(waiter)

    def candidates(self) -> Iterator[tuple[Waiter, Sequence[Lane]]]:
        """The requests of which one may go next, in order, each with the lanes it may go to, the preferred first."""
        yield from [(waiter, self.lanes_for(waiter)) for waiter in self._limited_heads()]
        if self._again and not (len(self._queue) and self.is_turn_of_fresh):
            yield self._again[0], self.lanes_for(self._again[0])
            return
        for lane in self.lanes_in_use():
            if (waiter := self._best(lane)) is not None:
                yield waiter, (lane,)

    def lanes_for(self, waiter: Waiter) -> Sequence[Lane]:
        """The lanes in use that may serve a request, the preferred one first."""
        lanes = super().lanes_for(waiter)
        if len(lanes) <= 1:
            return lanes
        max_load = lanes[0].load * _LOAD_RATIO
        by_name = {lane.name: lane for lane in lanes if lane.load <= max_load + _LOAD_MARGIN / lane.weight}
        holder = self._queue.holder(by_name, self._prefixes_of(waiter))
        if holder is None:
            return lanes
        return [by_name[holder], *(lane for lane in lanes if lane.name != holder)]

    def unservable(self) -> list[Waiter]:
        """Those that wait and that no lane in use may serve; they wait no more."""
        for lane in self._lanes:
            if lane.halt is not None:
                self.forget(lane)
        return super().unservable()

    def forget(self, lane: Lane) -> None:
        """`lane` has gone, and what its cache had."""
        self._queue.forget(lane.name)
        self._latest.pop(lane, None)

    def _best(self, lane: Lane) -> Waiter | None:
        waiter, in_flight = self._latest.get(lane, (None, -1))
        if waiter is None or in_flight != lane.in_flight or waiter not in self._queue:
            waiter = self._queue.best(lane.name)
            if waiter is None:
                self._latest.pop(lane, None)
            else:
                self._latest[lane] = waiter, lane.in_flight
        return waiter

    def _prefixes_of(self, waiter: Waiter) -> tuple[int, ...]:
        if (request := waiter.request) is None:
            return ()
        prefixes = self._prefixes.get((request.key, request.step))
        if prefixes is None:
            prefixes = prefix_hashes(request.model, request.messages)
            self._prefixes[request.key, request.step] = prefixes
        return prefixes
