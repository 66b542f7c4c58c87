"""Where a row waits until it may be sent: at the gate, for any endpoint but those that it rests from.

With one endpoint a row that failed waits its backoff and then for a permit. Of several, one that refused the row for a
reason of its own (a rate limit, overload, an outage) is the only one that the row's backoff is for: another that has
room may take it at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from batchchat.core.attempt import Attempt, Request, Scope
from batchchat.dispatch.gate import Gate, NoLaneError
from batchchat.dispatch.lane import EndpointLane, Lane
from batchchat.dispatch.work import Work

__all__ = ["Admission"]


class Admission:
    """Permits of `gate`, which leads to `lanes`. `pause` waits so many seconds; it raises `Closed` where that ends."""

    def __init__(
        self,
        gate: Gate,
        lanes: Sequence[EndpointLane],
        clock: Callable[[], float],
        pause: Callable[[float], Awaitable[None]],
    ) -> None:
        self._gate = gate
        self._lanes = lanes
        self._clock = clock
        self._pause = pause

    async def acquire(self, work: Work, request: Request, *, again: bool) -> EndpointLane:
        """A permit for `request` of the row of `work`; the lane it is for. Raises `Closed` and `NoLaneError`."""
        while work.resting:
            now = self._clock()
            work.resting = {lane: until for lane, until in work.resting.items() if until > now and lane.halt is None}
            if not work.resting:
                break
            wait_s, excluded = min(work.resting.values()) - now, work.excluded.union(work.resting)
            if all(lane.halt is not None or lane in excluded for lane in self._lanes):
                await self._pause(wait_s)
                continue
            with suppress(TimeoutError, NoLaneError):
                async with asyncio.timeout(wait_s):
                    return await self._permit(request, excluded, again=again)
        return await self._permit(request, work.excluded, again=again)

    async def rest(self, work: Work, failed: Attempt, seconds: float) -> None:
        """The row of `work`, of which `failed` is the latest attempt, waits `seconds` before it is sent again there."""
        verdict, lane = failed.verdict, work.lane
        if verdict.elsewhere:
            return
        is_of_lane = verdict.scope is Scope.ENDPOINT and not failed.may_be_billed
        if is_of_lane and lane is not None and len(self._lanes) > 1:
            work.resting = {**work.resting, lane: self._clock() + seconds}
        else:
            await self._pause(seconds)

    async def _permit(self, request: Request, excluded: frozenset[Lane], *, again: bool) -> EndpointLane:
        lane = await self._gate.acquire(request.max_usage, again=again, excluded=excluded, request=request)
        assert isinstance(lane, EndpointLane)
        return lane
