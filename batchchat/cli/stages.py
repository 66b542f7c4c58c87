"""The jobs of one `batchchat run`, and what is refused or said of them before the first begins."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from batchchat.cli.output import say
from batchchat.cli.runner import at_a_terminal, event_loop
from batchchat.errors import JobError
from batchchat.execution.run_command import RunCommand
from batchchat.job import JobSpec

if TYPE_CHECKING:
    from batchchat.cli.stages_ending import StagesEnding
    from batchchat.execution.context import RunOptions

__all__ = ["Stage", "check_stages"]


class Stage(NamedTuple):
    """A job that the command runs; `command` is the same command, as it is shown again for this job."""

    job: JobSpec
    options: RunOptions
    command: RunCommand

    @classmethod
    def of(cls, job: JobSpec, options: RunOptions, command: RunCommand) -> Stage:
        """The stage of `job`, which suggests `command`."""
        began = time.time() if command.jobs else None
        return cls(job, options._replace(again=command.text, began=began), command)


def check_stages(stages: Sequence[Stage], ending: StagesEnding) -> None:
    """Refuse what would stop a later job, before the first begins; each refusal is told as every end of a run is."""
    from batchchat.execution.runner import refuse
    from batchchat.execution.stages import faults_of_stages, reads_earlier

    ending.begin(stages[0].command.text())
    jobs = [stage.job for stage in stages]
    faults = faults_of_stages(jobs, fresh=stages[0].options.fresh)
    for job, error in faults:
        options = next(stage.options for stage in stages if stage.job is job)
        event_loop(refuse(job, options, error, os.environ, ending.refused))
    if faults:
        raise JobError([f"{job.label}: {error}" for job, error in faults])
    for number, stage in enumerate(stages[1:], 1):
        job = stage.job
        if job.confirm_above is not None and not stage.options.yes and reads_earlier(job, jobs[:number]):
            way = "asks" if at_a_terminal() else "is refused"
            say(
                f"note   what {job.label} costs is known only when its input is there: above `confirm_above` it {way}"
                " then. --yes runs it without asking."
            )
