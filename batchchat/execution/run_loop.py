"""The loop of one run: rows from the feed through the engine into the recorder, until all are sent or it is stopped.

An answer counts when it is synced: totals, progress and events come from the journal's commits, never from replies.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from batchchat.core.events import Draining
from batchchat.dispatch.dispatcher import Dispatcher
from batchchat.dispatch.gate import Gate
from batchchat.dispatch.lane import Lane
from batchchat.dispatch.work import Work
from batchchat.execution.engine import Engine
from batchchat.execution.messages import OWN_BOUNDS
from batchchat.execution.progress import ProgressReporter
from batchchat.execution.recorder import Recorder
from batchchat.execution.signals import Signals
from batchchat.policy.deadline import TIME_UP, is_due
from batchchat.policy.decision import Halt

if TYPE_CHECKING:
    from batchchat.execution.row_supply import RowSupply

__all__ = ["RunLoop"]

_TICK_S = 0.2


class RunLoop:
    """Sends the rows of one run; `run` is called once."""

    def __init__(
        self, engine: Engine, recorder: Recorder, supply: RowSupply, progress: ProgressReporter, signals: Signals
    ) -> None:
        self._engine = engine
        self._recorder = recorder
        self._supply = supply
        self._progress = progress
        self._signals = signals
        self._dispatcher = Dispatcher(engine.sending, self._take, recorder, engine.observer)
        self._running = False
        self._draining_told = False
        self._drain: asyncio.TimerHandle | None = None

    @property
    def gate(self) -> Gate:
        """What requests wait at."""
        return self._dispatcher.gate

    @property
    def ceiling(self) -> int:
        """How many requests may be in flight, as far as the endpoint is concerned; 0 where nothing more is sent."""
        return 0 if self._dispatcher.stopping else self._engine.limits.ceiling

    def stop(self, halt: Halt) -> None:
        """Send nothing more, for a reason that another process has met."""
        self._dispatcher.stop(halt)

    def endpoints_changed(self, left: Sequence[Lane]) -> None:
        """The run has other endpoints than before; `left` are the lanes of those that it has no more."""
        dispatcher = self._dispatcher
        for lane in left:
            dispatcher.gate.lane_left(lane)
        halts = [lane.halt for lane in dispatcher.lanes if lane.halt is not None]
        if halts and len(halts) == len(dispatcher.lanes):
            dispatcher.stop(halts[-1]._replace(others=tuple(halts[:-1])))
        else:
            dispatcher.gate.recheck()

    async def run(self) -> Halt | None:
        """Send all there is to send; the reason where something but a signal stopped it.

        Raises `MachineError` where the journal can't be written, and what the input raises. Whatever ends it, the last
        hold says that nothing is in flight any more.
        """
        self._recorder.subscribe(self._synced, self._dispatcher.abandon)
        try:
            self._engine.spending.open()
            await self._recorder.settled()  # before the first request: a kill on a slow disk must not lose the hold
            with self._signals.listening(self._signalled):
                stop = await self._dispatch()
        finally:
            if self._drain is not None:
                self._drain.cancel()
            self._engine.spending.close()
        self._progress.report(self._dispatcher)
        self._engine.spending.tell_ratio(at_last=True)
        return stop

    def _take(self) -> Awaitable[Work | None]:
        return self._supply.take(lambda: self._dispatcher.stopping)

    async def _dispatch(self) -> Halt | None:
        ticker = asyncio.create_task(self._tick())
        self._running = True
        try:
            await self._dispatcher.run()
            await self._recorder.settled()
            stop = self._dispatcher.stopped
            if stop is not None and stop.reason in OWN_BOUNDS and await self._nothing_was_kept_back():
                stop = None
            return stop
        finally:
            self._running = False
            ticker.cancel()
            with suppress(asyncio.CancelledError):
                await ticker

    async def _nothing_was_kept_back(self) -> bool:
        """True if all rows were already sent when the run was stopped. Takes from the feed to find out."""
        if self._progress.finished.count != self._supply.taken or not await self._supply.at_end():
            return False
        await self._recorder.settled()
        return True

    def _synced(self, record: int) -> None:
        if self._running:
            self._engine.spending.synced(record)
            self._dispatcher.gate.recheck()

    def _signalled(self) -> None:
        if self._signals.impatient:
            self._dispatcher.abandon()
            return
        self._dispatcher.stop()
        drain_s = self._engine.drain_s
        self._drain = asyncio.get_running_loop().call_later(drain_s, self._dispatcher.abandon)
        self._progress.tell(Draining(self._signals.name, self._dispatcher.gate.in_flight, drain_s))

    async def _tick(self) -> None:
        while True:
            self._progress.report(self._dispatcher)
            if self._dispatcher.stopping:
                self._supply.wake()
            self._check_deadline()
            self._check_endpoint()
            self._check_journal()
            self._tell_draining()
            await asyncio.sleep(_TICK_S)

    def _check_endpoint(self) -> None:
        """Stops using an endpoint that has been down for too long, though all rows wait and nothing is sent."""
        for number, halt in self._engine.limits.halts(time.monotonic()):
            self._dispatcher.retire(self._dispatcher.lanes[number], halt)

    def _check_deadline(self) -> None:
        """Checks the wall clock at each tick: it may be set, and continues while the machine sleeps."""
        now, stop_at, attempt_s = time.time(), self._engine.stop_at, self._engine.attempt_s
        if stop_at is None or now < stop_at - attempt_s or self._dispatcher.stopping:
            return
        if is_due(now, stop_at, self._progress.finished.typical_latency_s, attempt_s):
            self._dispatcher.stop(Halt(TIME_UP))

    def _check_journal(self) -> None:
        """Another process that goes on with the run ends it here: no new requests, those in flight are kept."""
        intrusion = self._recorder.intrusion
        if intrusion is None or self._draining_told:
            return
        self._draining_told = True
        self._dispatcher.stop()
        drain_s = self._engine.drain_s
        self._drain = asyncio.get_running_loop().call_later(drain_s, self._dispatcher.abandon)
        self._progress.tell(Draining(str(intrusion), self._dispatcher.gate.in_flight, drain_s, by_signal=False))

    def _tell_draining(self) -> None:
        """Once, where a stop of any kind but a signal leaves requests in flight: they get all their time."""
        stop, in_flight = self._dispatcher.stopped, self._dispatcher.gate.in_flight
        if stop is not None and in_flight and not self._draining_told:
            self._draining_told = True
            reason = "`budget.stop_at`" if stop.reason == TIME_UP else stop.reason
            self._progress.tell(Draining(reason, in_flight, self._engine.attempt_s, by_signal=False))
