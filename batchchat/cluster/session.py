"""A session whose rows are sent by several processes, on this machine or where Ray places them.

This process has the lock, plans, tells, publishes and ends as any session does. Its journal is written by the workers,
each in segments of its own, and read here as it grows: so all figures are those that a replay would give.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from batchchat.cluster.cluster_run import ClusterRun
from batchchat.cluster.local import start_local_worker
from batchchat.errors import InputError, UsageError
from batchchat.execution import wiring
from batchchat.execution.early_import import end_imported_early
from batchchat.execution.exit_reason import RunLoopResult
from batchchat.execution.messages import nothing_good
from batchchat.execution.plan import PlanCounts
from batchchat.execution.session import Session
from batchchat.job.cluster import LOCAL, RAY
from batchchat.pricing.rates import Rates

__all__ = ["ClusterSession"]

_MAX_UNSYNCED = 1000
_ONE_PROCESS = {LOCAL: "--set workers=1", RAY: "--engine local --set workers=1"}


class ClusterSession(Session):
    """A session with as many workers as its job says."""

    passes_over = False

    async def _send(self, rates: Rates, counts: PlanCounts | None) -> RunLoopResult:
        """Have the rows sent; returns the result of all workers."""
        if self._planner.rules.resend.id_lists:
            raise UsageError(
                f"`--resend @FILE` takes one process: add `{_ONE_PROCESS[self._job.cluster.engine]}` to this command."
            )
        self._tell_budget(rates, counts)
        job, context = self._job, self._context
        if job.ask_concurrency:
            async with wiring.sender_for(job, rates, context.environ, context.redactor) as sender:
                job = await self._with_endpoint_limits(sender)
        assert self._result is not None
        result = self._result
        run = ClusterRun(replace(context, job=job), self._folder, self._rows(rates, counts), result)
        recorder = self._open_recorder(run.apply, _MAX_UNSYNCED)
        await recorder.settled()
        self._close_recorder()  # each worker writes segments of its own
        self._end_checkpoints()
        if result.error is None:
            with end_imported_early():
                async with self._early.written():
                    await self._send_by_workers(run)
        self._tell_notes(run.input.notes)
        is_whole = job.input.shard is None
        if is_whole and run.input.is_exhausted and not run.input.good_rows and result.error is None:
            raise InputError(nothing_good(self._job, run.input.first_bad, run.input.left_out))
        return result

    async def _send_by_workers(self, run: ClusterRun) -> None:
        """Have `run` send its rows, by workers that the job's engine starts."""
        if self._job.cluster.engine == LOCAL:
            await run.send(partial(start_local_worker, (self._lock.descriptor,)))
            return
        from batchchat.cluster.ray_cluster import RayCluster

        cluster = RayCluster(self._job, self._folder, self._lock.descriptor, self._tell)
        try:
            await run.send(cluster.start_worker)
        finally:
            await cluster.close()
