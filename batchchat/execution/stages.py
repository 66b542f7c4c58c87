"""Several jobs that run in order, each on what those before it wrote: what can be refused before the first begins.

A fault that would stop a later job only after hours is found here. An input that an earlier job writes is not there
yet, or not as it will be, so it is not looked at.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from batchchat.errors import InputError, OutputError, UsageError
from batchchat.job import JobSpec
from batchchat.pricing.for_job import rates_for
from batchchat.sources import open_source
from batchchat.sources.output_overlap import entries_reading
from batchchat.sources.rendering import Rendering
from batchchat.store.folder import check_output, folder_of
from batchchat.tokens.reply_limit import max_reply_tokens

__all__ = ["faults_of_stages", "reads_earlier"]


def faults_of_stages(jobs: Sequence[JobSpec], *, fresh: bool) -> list[tuple[JobSpec, UsageError]]:
    """What is wrong with `jobs`, which are to run in this order, each fault with its job; nothing is written.

    The first job's own input and output are left to its run.
    """
    faults: list[tuple[JobSpec, UsageError]] = []
    for number, job in enumerate(jobs):
        if (error := _fault(job, jobs[:number], jobs[number + 1 :], fresh=fresh)) is not None:
            faults.append((job, error))
    return faults


def reads_earlier(job: JobSpec, earlier: Sequence[JobSpec]) -> bool:
    """Whether `job` has the output of one of `earlier` for an input."""
    return any(entries_reading(job.input, other_job.output.path, other_job.output.url) for other_job in earlier)


def _fault(job: JobSpec, earlier: Sequence[JobSpec], later: Sequence[JobSpec], *, fresh: bool) -> UsageError | None:
    for other_job in earlier:
        if _real(folder_of(job.output.path)) == _real(folder_of(other_job.output.path)):
            return OutputError(f"`output.path` is that of {other_job.label}, too. Give each job an output of its own.")
    for other_job in later:
        if entries := entries_reading(job.input, other_job.output.path, other_job.output.url):
            return InputError(f"{entries[0]} is what {other_job.label} writes, which runs later. Name that job first.")
    if not earlier:
        return None
    try:
        _check_input(job, earlier)
        check_output(job.output.path, job.output.as_given, (), fresh=fresh)
        rates_for(job)  # its own table of prices
    except UsageError as error:
        return error
    return _unwritable(job) or _unbounded(job)


def _check_input(job: JobSpec, earlier: Sequence[JobSpec]) -> None:
    """Raise `InputError` for what of the input is there and can't be read, and for templates that are none."""
    spec = job.input
    Rendering(job.template, job.systems, spec.where)
    written = {entry for job in earlier for entry in entries_reading(spec, job.output.path, job.output.url)}
    if not written:
        open_source(replace(spec, random=None), job.template, job.systems)  # a random sample reads all rows
        return
    for path, entry in zip(spec.paths, spec.as_given, strict=True):
        if entry not in written:
            open_source(replace(spec, paths=(path,), as_given=(entry,), random=None), job.template, job.systems)


def _unwritable(job: JobSpec) -> OutputError | None:
    """The error of an output whose folder can't be written, or can't be made."""
    folder = job.output.path.absolute().parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
        return None
    reason = "permission denied" if folder.is_dir() else "it is no folder"
    return OutputError(f"{job.output.as_given} can't be written: {folder}: {reason}. Name another `output.path`.")


def _unbounded(job: JobSpec) -> UsageError | None:
    """The error of a cap that can't hold, whatever the rows are: a reply could cost anything."""
    formats = {"request", "openai-batch", "auto"} if job.template is None else frozenset[str]()
    has_own = job.input.params is not None or job.input.format in formats or job.matrix is not None
    if job.budget.max_cost is None or has_own or max_reply_tokens(job.params) is not None:
        return None
    return UsageError(
        "`budget.max_cost` can't hold: a reply has no upper bound of cost. Set `params.max_tokens`, or leave"
        " `budget.max_cost` out."
    )


def _real(path: Path) -> str:
    with suppress(OSError):
        return os.path.realpath(path)
    return str(path)
