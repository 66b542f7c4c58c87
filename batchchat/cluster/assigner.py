"""What each worker of a run is assigned, by where the run stands when it begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from batchchat.cluster.assignment import Assignment, WorkerMark
from batchchat.cluster.lessor import Lessor
from batchchat.cluster.spent import NOTHING_SPENT, Spent
from batchchat.execution import wiring
from batchchat.execution.context import RunContext
from batchchat.execution.send_plan import SendTerms
from batchchat.job import JobSpec
from batchchat.job.cluster import RAY
from batchchat.policy.budget import PriceRatio

__all__ = ["Assigner"]

_NEVER = 1 << 62


class Assigner:
    """Assigns the sending of rows to `workers` workers, by the job of `context`.

    The journal in `folder` has the segments `base` by now, and `lessor` lends what is shared.
    """

    def __init__(
        self,
        context: RunContext,
        terms: SendTerms,
        folder: Path,
        base: Sequence[int],
        *,
        workers: int,
        lessor: Lessor,
    ) -> None:
        self._context = context
        self._terms = terms
        self._folder = folder
        self._base = base
        self._workers = workers
        self._lessor = lessor
        self._spent = Spent(terms.ledger.paid_usd, terms.ledger.uncertain_cost)
        self._counting: int | None = None
        """The partition whose worker counts what earlier sessions have spent."""

    def assign(self, mark: WorkerMark, own: Sequence[int]) -> Assignment:
        """What the worker of `mark` is to do, whose partition has the segments `own` behind those of the base."""
        context, terms = self._context, self._terms
        price = wiring.price_label(context.job, terms.rates) or ""
        return Assignment(
            job=_of_one(context.job, self._workers),
            rates=terms.rates,
            folder=self._folder,
            base=self._base,
            own=own,
            mark=mark,
            environ=None if context.job.cluster.engine == RAY else dict(context.environ),
            stop_at=terms.stop_at,
            spent_before=self._spent_before(mark.number),
            answered_models=self.answered_models,
            learned=PriceRatio(price, *terms.ledger.price_ratios.get(price, ())),
            totals=terms.ledger.totals,
        )

    @property
    def answered_models(self) -> frozenset[str]:
        """The models that have answered at the endpoint by now."""
        return frozenset(self._terms.ledger.answered_models.get(self._context.job.host, ()))

    def _spent_before(self, number: int) -> Spent:
        """What the worker of the partition `number` counts of earlier sessions: that of the first to be started all."""
        if self._counting is None:
            self._counting = number
            self._lessor.expect(str(number))
        return self._spent if number == self._counting else NOTHING_SPENT


def _of_one(job: JobSpec, workers: int) -> JobSpec:
    """The job as one of its workers has it: an even share of the requests in flight, so that no more are at risk.

    What stops all of them is counted over all.
    """
    retry = replace(job.retry, stop_after_failures=_NEVER)
    return replace(job, concurrency=-(-job.concurrency // workers), retry=retry, on_finish=None)
