"""What a run says of itself at its beginning."""

from __future__ import annotations

from batchchat.core.events import Started
from batchchat.job import JobSpec
from batchchat.sources import Source

__all__ = ["started"]


def started(job: JobSpec, source: Source, *, sends: bool) -> Started:
    """The event with which a run of `job` on `source` begins; it may be one that `sends` nothing."""
    return Started(
        job.name,
        ", ".join(job.models),
        job.host,
        0 if not sends else None if job.ask_concurrency else job.concurrency,
        source.description,
        source.recognised,
        job.output.as_given,
        job.variants,
        job.samples,
    )
