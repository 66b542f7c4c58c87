"""A whole run: the session with its log, its state file and the user's command at the end.

The command line, a pilot and a Python program are three callers of `run_job`. It leaves the process as it was:
signals are handled only while it runs, and only in the main thread, as Python requires.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO, Any

from batchchat.core.events import OnFinishFailed, Refused, Subscriber
from batchchat.errors import BatchchatError, OutputError, error_of_machine
from batchchat.execution.context import RunContext, RunOptions
from batchchat.execution.ending import RunResult
from batchchat.execution.exit_reason import error_reason
from batchchat.execution.session import Session, run_session
from batchchat.execution.signals import Signals
from batchchat.execution.state_file import StateFile, environment_of
from batchchat.execution.subscribers import Subscribers
from batchchat.execution.summary_json import summary_of
from batchchat.execution.wiring import redactor_for
from batchchat.job import JobSpec
from batchchat.job.env_file import with_env_file
from batchchat.store.folder import folder_of
from batchchat.store.lock import Lock
from batchchat.store.run_json import read_state
from batchchat.store.segments import segments
from batchchat.text.progress import log_file

__all__ = ["refuse", "run_job"]


async def run_job(
    job: JobSpec,
    options: RunOptions,
    subscribers: Iterable[Subscriber] = (),
    *,
    session_type: type[Session] = Session,
    signals: Signals | None = None,
    environ: Mapping[str, str] = os.environ,
    opened: Callable[[Path], None] = lambda _folder: None,
    ended: Callable[[RunResult], int] = lambda result: result.exit_code,
    refused: Callable[[Mapping[str, Any]], None] = lambda _summary: None,
) -> RunResult:
    """Run or resume `job`; every event goes to `subscribers`, and to run.log and run.json in the run folder.

    Its rows are sent as a session of `session_type` does it, where they are sent.

    `opened` is called with the run folder once its lock is held, and `ended` when the output is published and the
    lock released, before the job's own `on_finish`: it gives the exit code, where telling the end has changed it.
    `refused` gets the summary of a run that ended with an error.
    Without `signals` those of the process are handled in the main thread, and none elsewhere. Returns how the run
    ended, whatever stopped it. Raises `BatchchatError` for what is refused or breaks; finished rows are then in the
    journal, and the refusal is in run.log, run.json and told to `on_finish`, as every end of a run is.
    """
    context = _context(job, options, subscribers, signals, environ)
    with ExitStack() as stack:
        state: StateFile | None = None

        def open_logs(folder: Path) -> None:
            nonlocal state
            state = StateFile(folder, job, _redacted(context))
            context.tell.add(state)
            _add_log(folder, context, stack)
            opened(folder)

        try:
            result = await run_session(context, open_logs, _session_type(options, session_type))
        except BaseException as error:
            await _refuse(context, stack, state, error, refused)
            raise
        assert state is not None
        result = replace(result, summary=summary_of(job, state.state, state.figures, result.remote))
        result = replace(result, exit_code=ended(result))
        if not result.is_noop:
            await _call_on_finish(context, {**result.summary, "exit_code": result.exit_code})
        return result


async def refuse(
    job: JobSpec,
    options: RunOptions,
    error: BatchchatError,
    environ: Mapping[str, str],
    refused: Callable[[Mapping[str, Any]], None] = lambda _summary: None,
) -> None:
    """Leave the trace of a run that was refused with `error` before it began: a question that nobody answered."""
    with ExitStack() as stack:
        await _refuse(_context(job, options, (), None, environ), stack, None, error, refused)


def _context(
    job: JobSpec,
    options: RunOptions,
    subscribers: Iterable[Subscriber],
    signals: Signals | None,
    environ: Mapping[str, str],
) -> RunContext:
    job_environ, remote = with_env_file(environ, job.input.folder or Path()), None
    if job.output.url is not None:
        from batchchat.execution.remote import remote_output

        remote = remote_output(job.output, job_environ)
    return RunContext(
        job=job,
        options=options,
        environ=environ,
        job_environ=job_environ,
        signals=Signals.here() if signals is None else signals,
        redactor=redactor_for(job, environ),
        tell=Subscribers(subscribers),
        remote=remote,
    )


def _session_type(options: RunOptions, sends: type[Session]) -> type[Session]:
    """`sends`, where rows are sent in this run at all."""
    if options.batch is None:
        return sends
    from batchchat.execution.import_session import ImportSession

    return ImportSession


async def _refuse(
    context: RunContext,
    stack: ExitStack,
    state: StateFile | None,
    error: BaseException,
    refused: Callable[[Mapping[str, Any]], None],
) -> None:
    """Tell that `error` ended the run: run.log, run.json, `on_finish`. `state` is None where it had no lock yet."""
    of_machine = error_of_machine(error, sent=state is not None)
    if state is None:
        state = _open_trace(context, stack)
    if state.state["exit_code"] is None:
        reason = error_reason(of_machine or error)
        context.tell(Refused(reason.exit_code, context.redactor.redact(reason.reason), reason.stopped_by))
    if isinstance(error, Exception):  # who leaves at once means that too
        summary = summary_of(context.job, state.state, state.figures)
        refused(summary)
        await _call_on_finish(context, summary)


def _open_trace(context: RunContext, stack: ExitStack) -> StateFile:
    """Where the refusal of a run that has no lock is kept: in its run folder, if there is one.

    The run.json of a run that goes on is left alone.
    """
    output = context.job.output
    folder = folder_of(output.path)
    has_run = is_ours = False
    with suppress(OSError):  # a folder that can't be looked at has its own refusal
        has_run = bool(segments(folder)) or read_state(folder) is not None
    if has_run:
        with suppress(OutputError):
            lock = Lock.take(folder, output.as_given)
            stack.callback(lock.release)
            is_ours = True
        _add_log(folder, context, stack)
    state = StateFile(folder, context.job, _redacted(context), writes=is_ours)
    context.tell.add(state)
    return state


def _redacted(context: RunContext) -> RunOptions:
    """The options with commands that repeat no secret."""
    options = context.options

    def redacted(command: str | None) -> str | None:
        return None if command is None else context.redactor.redact(command)

    return options._replace(again=lambda step: redacted(options.again(step)), plain=redacted(options.plain))


def _add_log(folder: Path, context: RunContext, stack: ExitStack) -> None:
    """Write events to run.log as well; a run continues without it."""
    with suppress(OSError):
        file: IO[str] = (folder / "run.log").open("a", encoding="utf-8", errors="backslashreplace")
        stack.callback(_close, file)
        log = log_file(file)
        log(environment_of(context.job))
        context.tell.add(log)


def _close(file: IO[str]) -> None:
    with suppress(OSError):  # what a full disk can't hold is missing from the log only
        file.close()


async def _call_on_finish(context: RunContext, summary: Mapping[str, Any]) -> None:
    """Run the job's own command at the very end; its failure is reported, and does not change how the run ended.

    In the main thread, where a signal must be able to end the command, the event loop waits for it.
    """
    job = context.job
    if job.on_finish is None or context.signals.impatient:
        return
    from batchchat.execution.on_finish import run_command

    command = partial(
        run_command,
        job.on_finish,
        summary,
        Path.cwd() if job.path is None else job.path.resolve().parent,
        context.redactor.redact_bytes,
        environ=context.job_environ,
    )
    in_main_thread = threading.current_thread() is threading.main_thread()
    failure = command() if in_main_thread else await asyncio.to_thread(command)
    if failure is not None:
        context.tell(OnFinishFailed(failure, summary["exit_code"]))
