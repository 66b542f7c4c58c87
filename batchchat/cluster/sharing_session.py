"""A session that shares its limits with other jobs of this machine: `limits.share` in the job."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from batchchat.cluster.lease import Lease
from batchchat.cluster.lease_file import LeaseFile, leases_folder, remove_unused
from batchchat.cluster.leased import Leased
from batchchat.cluster.lessor import LeaseTerms
from batchchat.cluster.messages import Ask, Grant
from batchchat.core.notices import LeasesHeld, LimitsShared
from batchchat.errors import MachineError
from batchchat.execution import wiring
from batchchat.execution.session import Session
from batchchat.job import JobSpec
from batchchat.policy.decision import Halt
from batchchat.pricing.rates import Rates
from batchchat.text.numbers import shown_path

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
        folder = leases_folder(share, self._context.environ)
        file = LeaseFile(folder, share, terms, job.label)
        others = file.join()
        remove_unused(folder)
        self._tell(LimitsShared(share, job.concurrency, [sharer.job for sharer in others]))
        lease = Lease(
            file.worker,
            1,
            requests_per_minute=limits.requests_per_minute,
            tokens_per_minute=limits.tokens_per_minute,
        )
        unheard = _Unheard(terms.lease_s)

        def ask_file(ask: Ask) -> None:
            try:
                grant = file.answer(ask)
            except MachineError as error:
                if leased.has_ended:
                    return  # nothing is sent any more; what is not given back ends with the lease
                result.error = result.error or error
                leased.stop(Halt(_UNUSABLE))
                return
            if unheard.lasts(time.monotonic(), grant):
                self._tell(LeasesHeld(share, shown_path(file.lock), terms.lease_s))
            if grant is not None:
                leased.hear(grant)

        leased = Leased(lease, wiring.budget_for(job, rates, self._ledger), ask_file)
        try:
            yield leased
        finally:
            leased.end()
            file.leave()


class _Unheard:
    """Since when no ask was granted: another process has the leases."""

    def __init__(self, max_s: float) -> None:
        self._max_s = max_s
        self._since: float | None = None

    def lasts(self, now: float, grant: Grant | None) -> bool:
        """Whether it has lasted for `max_s`, by an ask that got `grant`; true once until there is a grant again."""
        if grant is not None:
            self._since = None
            return False
        self._since = now if self._since is None else self._since
        if now - self._since < self._max_s:
            return False
        self._since = float("inf")
        return True
