"""Which session sends the rows of a job: one of this process, or one with workers, which alone is imported for them."""

from __future__ import annotations

from batchchat.execution.session import Session
from batchchat.job import JobSpec

__all__ = ["session_for"]


def session_for(job: JobSpec) -> type[Session]:
    """The type of the session that sends the rows of `job`."""
    if min(job.workers, job.concurrency) <= 1:
        return Session
    from batchchat.cluster.session import ClusterSession

    return ClusterSession
