"""The workers of a run: each sends a partition, is replaced where it is killed, told what concerns all, awaited.

There may be more partitions than workers at a time: whoever has finished one makes room for the next one's.
A worker that ends for a reason which the others show to be none (the endpoint answers them) begins again. One that is
killed is replaced after a pause; three in succession that have not finished a row end the run.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from batchchat.cluster.assignment import (
    Assignment,
    EndReceived,
    RowsHanded,
    RowsWanted,
    Signalled,
    Stopped,
    Synced,
    WorkerDefect,
    WorkerEnd,
    WorkerMark,
)
from batchchat.cluster.channel import Channel
from batchchat.cluster.deaths import Deaths
from batchchat.cluster.follower import JournalFollower
from batchchat.cluster.handout import Handout
from batchchat.cluster.lessor import Lessor
from batchchat.cluster.local import WorkerHandle
from batchchat.cluster.messages import Ask
from batchchat.cluster.news import WorkerNews
from batchchat.dispatch.pause import pause
from batchchat.errors import BatchchatError, InputError, MachineError
from batchchat.execution.messages import OWN_BOUNDS
from batchchat.execution.signals import Signals
from batchchat.policy.deadline import TIME_UP
from batchchat.policy.decision import Halt

__all__ = ["Crew", "CrewPlan"]

_FIRST_PAUSE_S, _MAX_PAUSE_S = 0.25, 10.0
_LINGER_S = 3.0
"""How long the endpoint may take to see that the connections of a killed process are closed."""
_END_S = 5.0
"""What a worker gets to end once nothing of it is in flight any more."""
_TERMINATE = 15  # SIGTERM, as a worker is told it


class WorkerDefectError(Exception):
    """A defect of ours, met by a worker; its traceback is in the text."""


@dataclass(frozen=True, slots=True)
class CrewPlan:
    """How workers are made for so many `partitions`, `workers` at a time: by `start`, and each does what `assign` says.

    `assign` is called with the worker's mark and the segments of those it replaces. `goes_on` says whether a partition
    is begun again after a halt that is not the run's. `drain_s` is what requests in flight get after a signal, and
    `stop_at` when the run is to end, in seconds since the epoch.
    """

    partitions: int
    workers: int
    start: Callable[[WorkerMark], Coroutine[None, None, WorkerHandle]]
    assign: Callable[[WorkerMark, Sequence[int]], Assignment]
    goes_on: Callable[[Halt], bool]
    drain_s: float
    stop_at: float | None

    def name_of(self, number: int) -> str:
        """The worker of the partition `number`, as a person counts them."""
        if self.partitions == self.workers:
            return f"worker {number + 1} of {self.workers}"
        return f"the worker of partition {number + 1} of {self.partitions}"


@dataclass(slots=True)
class _Partition:
    """Where a partition stands: its workers so far, their segments, and how many in succession died without a row."""

    incarnation: int = 0
    writer: int | None = None
    segments: tuple[int, ...] = ()
    deaths: Deaths = field(default_factory=Deaths)


class Crew:
    """Has workers send the rows of `handout`; `run` is called once. `ended` is told how each partition ended."""

    def __init__(
        self,
        plan: CrewPlan,
        lessor: Lessor,
        follower: JournalFollower,
        *,
        news: WorkerNews,
        handout: Handout,
        signals: Signals,
        ended: Callable[[WorkerEnd], None],
    ) -> None:
        self._plan = plan
        self._lessor = lessor
        self._follower = follower
        self._news = news
        self._handout = handout
        self._signals = signals
        self._ended = ended
        self._partitions: defaultdict[int, _Partition] = defaultdict(_Partition)
        self._group = asyncio.TaskGroup()
        self._live: dict[int, WorkerHandle] = {}
        self._writers = 0
        self._stopping = asyncio.Event()
        self._halt: Halt | None = None

    @property
    def stopping(self) -> bool:
        """Whether nothing more is sent."""
        return self._stopping.is_set()

    async def run(self) -> None:
        """Returns once all workers have ended. Raises what is a defect of ours."""
        with self._signals.listening(self._signalled):
            try:
                async with self._group as group:
                    for _ in range(self._plan.workers):
                        group.create_task(self._run_partitions())
            except BaseExceptionGroup as errors:
                raise errors.exceptions[0] from None
            finally:
                await self._end_all()

    def halt(self, halt: Halt) -> None:
        """Stop the run for `halt`: nothing more is sent, and what is in flight has all its time."""
        if self._halt is None and not self.stopping:
            self._halt = halt
            self._stopping.set()
            self._tell_all(Stopped(halt))

    def drain(self) -> None:
        """Stop the run as a signal does, for an error of this machine."""
        if not self.stopping:
            self._stopping.set()
            self._tell_all(Signalled(_TERMINATE))

    @property
    def halted(self) -> Halt | None:
        """What stopped the run, where that is a reason for all workers."""
        return self._halt

    def _tell_all(self, message: object) -> None:
        for handle in self._live.values():
            handle.channel.send(message)

    def _signalled(self) -> None:
        assert self._signals.received is not None
        self._stopping.set()
        self._tell_all(Signalled(self._signals.received))
        patience_s = _END_S + (0.0 if self._signals.impatient else self._plan.drain_s)
        asyncio.get_running_loop().call_later(patience_s, self._kill_all)

    def _kill_all(self) -> None:
        for handle in self._live.values():
            handle.kill()

    async def _end_all(self) -> None:
        """Where the run itself breaks off: what is in flight is cancelled and recorded, or the workers are killed."""
        self._stopping.set()
        for _ in range(2):
            self._tell_all(Signalled(_TERMINATE))
        if self._live:
            killing = asyncio.get_running_loop().call_later(_END_S, self._kill_all)
            while self._live:
                number, handle = next(iter(self._live.items()))
                while (message := await handle.channel.receive()) is not None:
                    if isinstance(message, WorkerEnd | WorkerDefect):
                        handle.channel.send(EndReceived())
                await handle.end()
                self._live.pop(number, None)
                writer = self._partitions[number].writer
                assert writer is not None, "the partition has a worker"
                await self._follower.end(writer)
            killing.cancel()

    async def _run_partitions(self) -> None:
        """Run one partition after the other, as long as there is a row that nobody has."""
        try:
            while not self.stopping and (number := await self._handout.begin(self._is_over)) is not None:
                end = await self._run_partition(number)
                if end is not None:
                    self._close(end)
            if not self.stopping and self._is_time_up() and not self._handout.is_at_end:
                self._ended(WorkerEnd(Halt(TIME_UP)))
        except BatchchatError as error:
            self._break_off(error)

    async def _run_partition(self, number: int) -> WorkerEnd | None:
        """Run the workers of a partition, one after the other, until its rows are done or the run stops.

        Returns the end of the last one; None where the run stops before that one was started.
        """
        partition, pause_s = self._partitions[number], 0.0
        while True:
            if pause_s:
                await pause(pause_s, self._stopping)
            if self.stopping:
                return None
            end, how = await self._run_worker(number)
            if isinstance(end, WorkerDefect):
                raise WorkerDefectError(f"{self._plan.name_of(number)}:\n{end.text}")
            if end is None:
                if partition.deaths.are_too_many:
                    return WorkerEnd(error=self._given_up(number, how))
                pause_s = min(_MAX_PAUSE_S, _FIRST_PAUSE_S * 2**partition.deaths.without_a_row)
            elif end.halt is not None and not self.stopping and self._plan.goes_on(end.halt):
                pause_s = _FIRST_PAUSE_S
            else:
                return end

    def _is_time_up(self) -> bool:
        return self._plan.stop_at is not None and time.time() >= self._plan.stop_at

    def _is_over(self) -> bool:
        """Whether no row is handed over any more."""
        return self.stopping or self._is_time_up()

    def _break_off(self, error: BatchchatError) -> None:
        """No further row can be read: those that workers have are sent. None can be kept where the journal fails."""
        if not isinstance(error, InputError):
            self.drain()
        self._handout.close()
        self._ended(WorkerEnd(error=error))

    def _close(self, end: WorkerEnd) -> None:
        """A partition has come to its `end`."""
        if end.error is not None:
            self.drain()
        elif end.halt is not None and end.halt.reason not in OWN_BOUNDS:
            self.halt(end.halt)
        if end.error is not None or end.halt is not None:
            self._handout.close()
        self._ended(end)

    async def _run_worker(self, number: int) -> tuple[WorkerEnd | WorkerDefect | None, str]:
        """Run one worker to its end. What it says of that, None where it was killed; and how its process ended."""
        partition = self._partitions[number]
        self._writers += 1
        partition.incarnation += 1
        mark = WorkerMark(number, partition.incarnation, self._writers, partition.writer)
        partition.writer = mark.writer
        try:
            handle = await self._start(mark)
        except OSError as error:
            return WorkerEnd(error=_not_started(error)), ""
        except BatchchatError as error:
            return WorkerEnd(error=error), ""
        if handle is None:
            return WorkerEnd(), ""
        handle.channel.send(self._plan.assign(mark, partition.segments))
        if self._halt is not None and self._signals.received is None:
            handle.channel.send(Stopped(self._halt))
        elif self.stopping:
            handle.channel.send(Signalled(self._signals.received or _TERMINATE))
        self._live[number], has_settled = handle, False
        try:
            end = await self._attend(mark, handle)
            how = await handle.end()
            has_settled = isinstance(end, WorkerEnd)
        except BatchchatError as error:
            end, how = WorkerEnd(error=error), ""
        finally:
            self._news.ended(number)
        self._live.pop(number, None)
        await self._follower.end(mark.writer)
        self._handout.ended(number, mark.writer)
        partition.segments += tuple(self._follower.segments_of(mark.writer))
        if end is None:
            partition.deaths.count(self._follower.row_counts[mark.writer])
        will_be_replaced = end is None and not self.stopping and not partition.deaths.are_too_many
        linger_s = _LINGER_S if end is None else 0.0
        now, name = time.monotonic(), mark.name
        self._lessor.end(now, name, linger_s, is_replaced=will_be_replaced, has_settled=has_settled)
        self._lessor.forget(name)  # its channel is closed, and it is nobody to share with any more
        return end, how

    async def _start(self, mark: WorkerMark) -> WorkerHandle | None:
        """The worker of `mark`, once it was started; None where the run stops before."""
        starting = asyncio.create_task(self._plan.start(mark))
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            if not starting.done():
                starting.cancel()
                with suppress(asyncio.CancelledError):
                    await starting
        return None if starting.cancelled() else starting.result()

    async def _attend(self, mark: WorkerMark, handle: WorkerHandle) -> WorkerEnd | WorkerDefect | None:
        """Do what the worker asks for, until it is gone; what it said of its end."""
        channel, end, handing = handle.channel, None, None
        try:
            while (message := await channel.receive()) is not None:
                if isinstance(message, Ask):
                    if (grant := self._lessor.answer(time.monotonic(), message)) is not None:
                        channel.send(grant)
                elif isinstance(message, Synced):
                    await self._follower.follow(mark.writer, message.location)
                elif isinstance(message, RowsWanted):
                    handing = self._group.create_task(self._hand(mark.number, message, channel))
                elif isinstance(message, WorkerEnd | WorkerDefect):
                    end = message
                    channel.send(EndReceived())
                else:
                    self._news.hear(mark.number, message)
        finally:
            if handing is not None:  # a row that it would take now would be nobody's
                handing.cancel()
                await asyncio.wait((handing,))
        return end

    async def _hand(self, number: int, wanted: RowsWanted, channel: Channel) -> None:
        """Hand the rows that are `wanted` to the worker of the partition `number`."""
        try:
            handed = await self._handout.hand(number, wanted, self._is_over)
        except BatchchatError as error:
            self._break_off(error)
            handed = RowsHanded((), is_last=True)
        channel.send(handed)

    def _given_up(self, number: int, how: str) -> BatchchatError:
        """The error of a run whose workers die one after the other."""
        return MachineError(
            f"{self._plan.name_of(number)} died {self._partitions[number].deaths.words}: it {how}."
            " Every row reported as done is kept. Set fewer `workers`, or free memory, then run the same command again."
        )


def _not_started(error: OSError) -> MachineError:
    return MachineError(
        f"a worker can't be started: {error.strerror}. Every row reported as done is kept."
        " Set `workers: 1`, or free memory and processes, then run the same command again."
    )
