"""A session that shares its limits with other jobs of this machine: `limits.share` in the job."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from batchchat.cluster.lease import Lease
from batchchat.cluster.lease_file import LeaseFile, leases_folder
from batchchat.cluster.leased import Leased
from batchchat.cluster.lessor import LeaseTerms
from batchchat.cluster.messages import Ask
from batchchat.core.notices import LimitsShared
from batchchat.errors import MachineError
from batchchat.execution import wiring
from batchchat.execution.session import Session
from batchchat.job import JobSpec
from batchchat.policy.decision import Halt
from batchchat.pricing.rates import Rates

__all__ = ["SharingSession"]

_UNUSABLE = "the leases of `limits.share` can't be used"


class SharingSession(Session):
    """A session whose slots and rates are leased from a file; its budget is its own."""

    @contextmanager
    def _limits(self, job: JobSpec, rates: Rates) -> Iterator[Leased]:
        """The job's part of the shared limits, as long as its rows are sent."""
        share, limits, result = job.limits.share, job.limits, self._result
        assert share is not None
        assert result is not None
        terms = LeaseTerms(job.concurrency, job.timeout.total, limits.requests_per_minute, limits.tokens_per_minute)
        file = LeaseFile(leases_folder(share, self._context.environ), share, terms, job.label)
        others = file.join()
        self._tell(LimitsShared(share, job.concurrency, [sharer.job for sharer in others]))
        lease = Lease(
            file.worker,
            1,
            requests_per_minute=limits.requests_per_minute,
            tokens_per_minute=limits.tokens_per_minute,
        )

        def ask_file(ask: Ask) -> None:
            try:
                grant = file.answer(ask)
            except MachineError as error:
                result.error = result.error or error
                leased.stop(Halt(_UNUSABLE))
            else:
                if grant is not None:
                    leased.hear(grant)

        leased = Leased(lease, wiring.budget_for(job, rates, self._ledger), ask_file)
        try:
            yield leased
        finally:
            leased.end()
            file.leave()
