"""A session whose rows are sent by several processes, on this machine or where Ray places them.

This process has the lock, plans, tells, publishes and ends as any session does. It reads the input, and hands each row
to a worker. What the workers write of the journal, each in segments of its own, is read here as it grows: so all
figures are those that a replay would give.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from batchchat.cluster.cluster_run import ClusterRun
from batchchat.cluster.local import start_local_worker
from batchchat.execution import wiring
from batchchat.execution.early_import import end_imported_early
from batchchat.execution.exit_reason import RunLoopResult
from batchchat.execution.feed import Feed
from batchchat.execution.plan import PlanCounts
from batchchat.execution.recorder import Recorder
from batchchat.execution.session import Session
from batchchat.job.cluster import LOCAL
from batchchat.pricing.rates import Rates

__all__ = ["ClusterSession"]

_MAX_UNSYNCED = 1000


class ClusterSession(Session):
    """A session with as many workers as its job says."""

    is_only_writer = False

    async def _send(self, rates: Rates, counts: PlanCounts | None) -> RunLoopResult:
        """Have the rows sent; returns the result of all workers."""
        self._tell_budget(rates, counts)
        job, context = self._job, self._context
        if job.ask_concurrency:
            async with wiring.sender_for(job, rates, context.environ, context.redactor) as sender:
                job = await self._with_endpoint_limits(sender)
        assert self._result is not None
        result = self._result
        run = ClusterRun(replace(context, job=job), self._folder, self._rows(rates, counts), result)
        recorder = self._open_recorder(run.apply_own, _MAX_UNSYNCED)
        try:
            await recorder.settled()
            with end_imported_early():
                async with self._early.written():
                    feed = await self._send_by_workers(run, recorder)
        finally:
            self._close_recorder()
            self._end_checkpoints()
        self._tell_notes()
        self._check_input(feed, result)
        return result

    async def _send_by_workers(self, run: ClusterRun, recorder: Recorder) -> Feed:
        """Have `run` send its rows, by workers that the job's engine starts."""
        if self._job.cluster.engine == LOCAL:
            return await run.send(partial(start_local_worker, (self._lock.descriptor,)), recorder)
        from batchchat.cluster.ray_cluster import RayCluster

        cluster = RayCluster(self._job, self._folder, self._lock.descriptor, self._tell)
        try:
            return await run.send(cluster.start_worker, recorder)
        finally:
            await cluster.close()
