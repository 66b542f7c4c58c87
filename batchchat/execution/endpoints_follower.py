"""Follows the file of a job's endpoints: while it runs new ones are sent to, and those that are gone no more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from batchchat.core.events import EndpointsChanged, Subscriber
from batchchat.dispatch.lane import EndpointLane, Send
from batchchat.execution.endpoints_of_run import Membership
from batchchat.execution.run_loop import RunLoop
from batchchat.job import JobSpec
from batchchat.job.endpoint_spec import EndpointEntry
from batchchat.job.endpoints_file import EndpointLines, EndpointsFile

__all__ = ["following_endpoints"]

_EACH_S = 2.0


class _Follower:
    """Makes the endpoints of a run those of its file. `open_send` opens what sends to one that joins."""

    def __init__(
        self,
        job: JobSpec,
        membership: Membership,
        loop: RunLoop,
        open_send: Callable[[JobSpec], Awaitable[Send]],
        tell: Subscriber,
    ) -> None:
        assert job.endpoints_file is not None
        path, self._as_given = job.endpoints_file
        self._job = job
        self._membership = membership
        self._loop = loop
        self._open_send = open_send
        self._tell = tell
        self._file = EndpointsFile(path, self._as_given, EndpointLines(job.endpoints or (), ()))
        self._endpoints: dict[str, EndpointEntry] = {entry.name: entry for entry in job.endpoints or ()}

    async def follow(self) -> None:
        """Look at the file every two seconds."""
        while True:
            if (lines := await asyncio.to_thread(self._file.changed)) is not None:
                await self._apply(lines)
            await asyncio.sleep(_EACH_S)

    async def _apply(self, lines: EndpointLines) -> None:
        before, now = self._endpoints, {entry.name: entry for entry in lines.endpoints}
        gone = [name for name, entry in before.items() if now.get(name) != entry]
        new = {name: entry for name, entry in now.items() if before.get(name) != entry}
        sends = dict[str, tuple[JobSpec, Send]]()
        for name, entry in new.items():
            (view,) = replace(self._job, endpoints=(entry,)).per_endpoint
            sends[name] = view, await self._open_send(view)
        left: list[EndpointLane] = [self._membership.leave(name) for name in gone]
        for view, send in sends.values():
            self._membership.join(view, send)
        self._endpoints = now
        self._loop.endpoints_changed(left)
        if gone or new or lines.problems:
            self._tell(EndpointsChanged(self._as_given, tuple(new), tuple(gone), lines.problems, len(now)))


@asynccontextmanager
async def following_endpoints(
    job: JobSpec,
    membership: Membership,
    loop: RunLoop,
    open_send: Callable[[JobSpec], Awaitable[Send]],
    tell: Subscriber,
) -> AsyncIterator[None]:
    """Meanwhile the endpoints of the run of `job` are those of its file; `open_send` opens one that joins."""
    task = asyncio.create_task(_Follower(job, membership, loop, open_send, tell).follow())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
