"""A pilot as a run: the rows of its plan are rows of the job, and their answers are kept."""

from __future__ import annotations

from dataclasses import replace

from batchchat.execution.context import RunOptions
from batchchat.execution.disposition import OnChanged
from batchchat.job import JobSpec
from batchchat.job.cluster import ClusterSpec
from batchchat.preflight.estimate import PilotPlan

__all__ = ["pilot_run"]


def pilot_run(job: JobSpec, plan: PilotPlan, command: str | None) -> tuple[JobSpec, RunOptions]:
    """The job and the options to run for `plan`; `command` is what runs the whole job, None where none does.

    A pilot is no end of the job: its `on_finish` is not called. It is too small for several processes.
    """
    options = RunOptions(lambda _step: command, command, changed=OnChanged.KEEP, only=plan.has)
    return replace(job, on_finish=None, workers=1, cluster=ClusterSpec()), options
