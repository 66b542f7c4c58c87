"""`run` and `run_async`: the run of the command line, from Python."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchchat.api.background import BackgroundRun, machine_errors, wait, wait_async
from batchchat.api.job import Job, job_from
from batchchat.api.next_call import next_call
from batchchat.api.result import Result
from batchchat.api.run_options import Resending, RunCallOptions
from batchchat.cluster.session_type import session_for
from batchchat.errors import UsageError
from batchchat.execution.context import RunOptions
from batchchat.execution.disposition import OnChanged
from batchchat.execution.resend_words import resend_of
from batchchat.execution.run_command import (
    CHANGED,
    FAILED,
    KEEP_CHANGED,
    LIMIT,
    RETRY_FAILED,
    RunCommand,
    resend_options,
)
from batchchat.execution.runner import refuse, run_job
from batchchat.execution.wiring import redactor_for
from batchchat.text.display import display_for, write_line

if TYPE_CHECKING:
    from batchchat.core.next_step import NextStep
    from batchchat.execution.ending import RunResult
    from batchchat.execution.signals import Signals
    from batchchat.job import JobSpec

__all__ = ["JobLike", "RunCall", "run", "run_async"]

JobLike = Job | str | os.PathLike[str] | Mapping[str, Any]
"""A job, the path of a job file, or a mapping with the keys of one."""


def run(
    job: JobLike,
    /,
    *,
    limit: int | None = None,
    resend: Resending = (),
    keep_changed: bool = False,
    fresh: bool = False,
    strict: bool = False,
    yes: bool = False,
    progress: str = "auto",
    **keys: Any,
) -> Result:
    """Run or resume `job`, and return how the run ended when it has.

    The options are those of `batchchat run`: `limit` sends at most so many rows, `resend` says which finished rows are
    sent again, `keep_changed` keeps the answers of rows whose request changed, `fresh` renames the old run and starts
    over, `strict` sends nothing if a row is invalid, `yes` runs above `confirm_above` and on another job's output.
    `progress` is `auto`, `bar`, `log` or `none`: what is shown on stderr. `keys` are those of `Job.override`.

    It runs in a thread of its own, whether the caller's has a running event loop or not; journal, run.log, lock and
    guarantees are those of the command, and the process stays as it was: signal handlers, event loop policy, garbage
    collector. In the main thread Ctrl-C (or interrupting the cell) lets the requests in flight finish, as SIGTERM does,
    a second one stops at once; then `KeyboardInterrupt` is raised. The same call picks up where it stopped.

    Returns a `Result` however the run ended in order: `result.exit_code` is that of the command, and `result.check()`
    raises where the run stopped early. Raises `UsageError` for what is refused before anything is sent (`JobError`,
    `InputError`, `OutputError`), `MachineError` where the disk or the journal breaks.
    """
    options = RunCallOptions(limit, resend, keep_changed, fresh, strict, yes, progress)
    return RunCall(job_from(job, keys), options).wait()


async def run_async(
    job: JobLike,
    /,
    *,
    limit: int | None = None,
    resend: Resending = (),
    keep_changed: bool = False,
    fresh: bool = False,
    strict: bool = False,
    yes: bool = False,
    progress: str = "auto",
    **keys: Any,
) -> Result:
    """`run`, to be awaited: the event loop goes on meanwhile. Arguments, result and errors are those of `run`.

    Cancelled, it lets the requests in flight finish, for `drain` seconds at most, and raises `CancelledError` then; a
    second cancellation stops at once. Signals are left to the event loop and to whoever handles them; SIGTERM and
    SIGHUP, which would end the process, stop the run first.
    """
    options = RunCallOptions(limit, resend, keep_changed, fresh, strict, yes, progress)
    return await RunCall(job_from(job, keys), options).wait_async()


class RunCall:
    """One call of `run`: what it runs, and what it shows.

    It `owns_output` where the caller chose it for this very job: rows that are all new are no sign of another job then.
    """

    def __init__(self, job: Job, options: RunCallOptions, *, owns_output: bool = False) -> None:
        self._words = options.words()
        self._given = options
        self._owns_output = owns_output
        self._spec = job.spec()
        self._options = self._run_options(_command(job, options, self._words))
        self._folder: Path | None = None

    def _run_options(self, command: RunCommand | None) -> RunOptions:
        options, words = self._given, self._words

        def again(step: NextStep) -> str | None:
            return None if command is None else command.text(step)

        return RunOptions(
            again=again,
            plain=None if command is None else command.plain().text(),
            limit=options.limit,
            resend=resend_of(words, "resend"),
            changed=OnChanged.RESEND if CHANGED in words else OnChanged.KEEP if options.keep_changed else None,
            fresh=options.fresh,
            strict=options.strict,
            yes=options.yes or self._owns_output,
        )

    def wait(self) -> Result:
        """Run it, and wait for its end."""
        return self._result(wait(BackgroundRun(self._run)))

    async def wait_async(self) -> Result:
        """Run it, and wait for its end in a running event loop."""
        return self._result(await wait_async(BackgroundRun(self._run)))

    async def _run(self, signals: Signals) -> RunResult:
        """The run itself. Raises `BatchchatError`."""
        spec, options = self._spec, self._options
        if spec.confirm_above is not None and not self._given.yes:
            await _confirm(spec, options)
        display = display_for(self._given.progress, sys.stderr)
        with machine_errors(redactor_for(spec, os.environ).redact, lambda: self._folder is not None):
            return await run_job(
                spec,
                options,
                [display],
                session_type=session_for(spec),
                signals=signals,
                opened=self._opened,
                ended=self._ended,
            )

    def _opened(self, folder: Path) -> None:
        self._folder = folder

    def _ended(self, result: RunResult) -> int:
        """Show how the run ended, before its caller sees whether it was interrupted."""
        if self._given.progress != "none":
            lines = [str(result.summary["text"])]
            if result.stopped:
                lines.append(f"stopped: {result.stopped}\n{next_call(result.next_step)}")
            write_line(sys.stderr, "\n".join(lines))
        return result.exit_code

    def _result(self, ended: RunResult) -> Result:
        """What the caller gets."""
        return Result(self._spec.output.path, ended)


def _command(job: Job, options: RunCallOptions, words: Iterable[str]) -> RunCommand | None:
    """The command that does the same, for `status` and run.json; None where there is no job file."""
    if job.path is None:
        return None
    flags = {RETRY_FAILED: FAILED in words, KEEP_CHANGED: options.keep_changed, "--yes": options.yes}
    limit = None if options.limit is None else str(options.limit)
    return RunCommand(
        job.path,
        {LIMIT: limit},
        tuple(job.changes),
        (*(flag for flag, is_set in flags.items() if is_set), *resend_options(words)),
    )


async def _confirm(spec: JobSpec, options: RunOptions) -> None:
    """Refuse a run that costs more than the job's `confirm_above`: a program can't be asked."""
    from batchchat.preflight.assumptions import model_list
    from batchchat.preflight.confirm_above import confirmation_for

    if (question := confirmation_for(spec, options, await model_list(spec, os.environ))) is not None:
        error = UsageError(f"{question} Pass yes=True to run it.")
        await refuse(spec, options, error, os.environ)
        raise error
