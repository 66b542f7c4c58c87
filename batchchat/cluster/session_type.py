"""Which session sends the rows of a job: the plain one, or one that is imported only for the jobs that need it."""

from __future__ import annotations

from batchchat.execution.session import Session
from batchchat.job import JobSpec

__all__ = ["session_for"]


def session_for(job: JobSpec) -> type[Session]:
    """The type of the session that sends the rows of `job`."""
    if job.limits.share is not None:
        from batchchat.cluster.sharing_session import SharingSession

        return SharingSession
    if min(job.workers, job.concurrency) <= 1:
        return Session
    from batchchat.cluster.session import ClusterSession

    return ClusterSession
