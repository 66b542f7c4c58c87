"""Leased limits at work: who sends by them asks for what is needed, and its gate goes by what was granted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from batchchat.cluster.assignment import Assignment
from batchchat.cluster.lease import Lease
from batchchat.cluster.leased_policies import LeasedBudget
from batchchat.cluster.messages import Ask, Grant
from batchchat.cluster.spent import Spent
from batchchat.dispatch.pause import pause
from batchchat.execution import wiring
from batchchat.execution.run_loop import RunLoop
from batchchat.policy.budget import Budget
from batchchat.policy.decision import Halt

__all__ = ["Leased", "leased_by_worker"]


class Leased:
    """The limits of a process that has `lease`, and its `budget`; `send` sends an ask to the lessor."""

    def __init__(self, lease: Lease, budget: Budget | None, send: Callable[[Ask], None]) -> None:
        self._lease = lease
        self._send = send
        self._halt: Halt | None = None
        self._loop: RunLoop | None = None
        self._asking: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        lease.wake = self._wake.set
        self.has_ended = False
        """Whether the last ask was made: nothing is sent any more."""
        self.limits = wiring.JobLimits(budget, lease.policies)

    def begin(self, loop: RunLoop) -> None:
        """`loop` is about to send by these limits."""
        self._loop = loop
        if self._halt is not None:
            loop.stop(self._halt)
        self._asking = asyncio.create_task(self._ask(loop))

    def end(self) -> None:
        """Ask for nothing more, and give back what is not spent: others may need it."""
        if self._asking is not None:
            self._asking.cancel()
        self.has_ended = True
        self._send(self._lease.last_ask(time.monotonic()))

    def stop(self, halt: Halt) -> None:
        """Send nothing more, for a reason that another worker has met."""
        self._halt = halt
        if self._loop is not None:
            self._loop.stop(halt)

    def hear(self, grant: Grant) -> None:
        """Go by what is granted."""
        if self._lease.hear(time.monotonic(), grant) and self._loop is not None:
            self._loop.gate.recheck()

    async def _ask(self, loop: RunLoop) -> None:
        while True:
            wait_s = self._lease.ask_in_s(time.monotonic())
            if wait_s > 0:
                self._wake.clear()
                await pause(wait_s, self._wake)
                continue
            self._send(self._lease.ask(time.monotonic(), loop.gate.waiting, loop.ceiling))


def leased_by_worker(assignment: Assignment, spent: Spent, send: Callable[[Ask], None]) -> Leased:
    """The limits of the worker of `assignment`, which replaces some that had `spent` so much; `send` sends its asks."""
    job, mark = assignment.job, assignment.mark
    budget = _budget(assignment, spent)
    lease = Lease(
        mark.name,
        mark.incarnation,
        requests_per_minute=job.limits.requests_per_minute,
        tokens_per_minute=job.limits.tokens_per_minute,
        budget=budget,
    )
    return Leased(lease, budget, send)


def _budget(assignment: Assignment, spent: Spent) -> LeasedBudget | None:
    """The worker's part of the cap, where the job has one; it begins with what is `spent` already."""
    job, rates = assignment.job, assignment.rates
    if job.budget.max_cost is None or wiring.price_label(job, rates) is None:
        return None
    total = assignment.spent_before.plus(spent)
    return LeasedBudget(
        wiring.computed_cost_of(rates),
        paid_usd=total.paid_usd,
        uncertain=total.uncertain,
        learned=assignment.learned,
    )
