"""Which session sends the rows of a job: the plain one, or one that is imported only for the jobs that need it."""

from __future__ import annotations

from importlib.util import find_spec

from batchchat.errors import UsageError
from batchchat.execution.session import Session
from batchchat.job import JobSpec
from batchchat.job.cluster import RAY, worker_count

__all__ = ["session_for"]


def session_for(job: JobSpec) -> type[Session]:
    """The type of the session that sends the rows of `job`. Raises `UsageError` where what it needs is missing."""
    if job.limits.share is not None:
        from batchchat.cluster.sharing_session import SharingSession

        return SharingSession
    if job.cluster.engine == RAY and find_spec("ray") is None:
        raise UsageError(
            "the engine `ray` needs Ray, which is not installed. Install it with: pip install 'batchchat[ray]', or use"
            " `--engine local`."
        )
    if job.cluster.engine != RAY and worker_count(job.cluster, job.workers, job.concurrency) <= 1:
        return Session
    from batchchat.cluster.session import ClusterSession

    return ClusterSession
