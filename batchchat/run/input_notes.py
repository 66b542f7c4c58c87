"""What a job's parameters and rows have that is probably not meant so: said before the first request; pure."""

from __future__ import annotations

from collections.abc import Sequence

from batchchat.job import JobSpec
from batchchat.job.request_fields import misspelt_parameter
from batchchat.sources import Source

__all__ = ["input_notes"]


def input_notes(job: JobSpec, source: Source) -> Sequence[str]:
    """A sentence for each parameter of `job` that is likely misspelt, and for what the rows read so far show."""
    misspelt = [(name, meant) for name in job.params if (meant := misspelt_parameter(name)) is not None]
    of_job = [f"`params.{name}` is sent as it stands. Did you mean `{meant}`?" for name, meant in misspelt]
    return [*of_job, *source.notes]
