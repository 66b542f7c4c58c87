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
from typing import IO

from batchchat.core.events import OnFinishFailed, Subscriber
from batchchat.core.totals import Totals
from batchchat.errors import EXIT_DEFECT, BatchchatError, UsageError, error_of_machine
from batchchat.job import JobSpec
from batchchat.run.context import RunContext, RunOptions
from batchchat.run.ending import RunResult
from batchchat.run.on_finish import run_command, summary_of
from batchchat.run.session import run_session
from batchchat.run.signals import Signals
from batchchat.run.state_file import StateFile, environment_of
from batchchat.run.subscribers import Subscribers
from batchchat.run.wiring import redactor_for
from batchchat.text.progress import log_file

__all__ = ["run_job"]


async def run_job(
    job: JobSpec,
    options: RunOptions,
    subscribers: Iterable[Subscriber] = (),
    *,
    signals: Signals | None = None,
    environ: Mapping[str, str] = os.environ,
    opened: Callable[[Path], None] = lambda _folder: None,
    ended: Callable[[RunResult], int] = lambda result: result.exit_code,
) -> RunResult:
    """Run or resume `job`; every event goes to `subscribers`, and to run.log and run.json in the run folder.

    `opened` is called with the run folder once its lock is held, and `ended` when the output is published and the
    lock released, before the job's own `on_finish`: it gives the exit code, where telling the end has changed it.
    Without `signals` those of the process are handled in the main thread, and none elsewhere. Returns how the run
    ended, whatever stopped it. Raises `BatchchatError` for what is refused or breaks; finished rows are then in the
    journal.
    """
    context = RunContext(
        job=job,
        options=options,
        environ=environ,
        signals=Signals.here() if signals is None else signals,
        redactor=redactor_for(job, environ),
        tell=Subscribers(subscribers),
    )
    with ExitStack() as stack:
        state: StateFile | None = None

        def open_logs(folder: Path) -> None:
            nonlocal state
            state = StateFile(folder, job, _redacted(context))
            context.tell.add(state)
            _add_log(folder, context, stack)
            opened(folder)

        try:
            result = await run_session(context, open_logs)
        except Exception as error:
            code, reason = EXIT_DEFECT, "a defect of batchchat; see run.log"
            ending = error if isinstance(error, BatchchatError) else error_of_machine(error, sent=state is not None)
            if ending is not None:
                code, reason = ending.exit_code, str(ending)
            if state is not None:
                await _call_on_finish(context, state, code, None, reason)
            raise
        result = replace(result, exit_code=ended(result))
        assert state is not None
        await _call_on_finish(context, state, result.exit_code, result.ledger.totals, None)
    return result


def _redacted(context: RunContext) -> RunOptions:
    """The options with commands that repeat no secret."""
    options, text = context.options, context.redactor.redact
    return replace(options, again=lambda step: text(options.again(step)), plain=text(options.plain))


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


async def _call_on_finish(
    context: RunContext, state: StateFile, exit_code: int, totals: Totals | None, reason: str | None
) -> None:
    """Run the job's own command at the very end; its failure is reported, and does not change how the run ended.

    Where the run broke before it could be summed up there are no `totals`, and `reason` says why. In the main thread,
    where a signal must be able to end the command, the event loop waits for it.
    """
    job = context.job
    if job.on_finish is None or exit_code == UsageError.exit_code or context.signals.impatient:
        return
    summary = summary_of(job, {**state.state, "reason": reason or state.state["reason"]}, exit_code, totals)
    command = partial(run_command, job.on_finish, summary, job.path.resolve().parent, context.redactor.redact_bytes)
    in_main_thread = threading.current_thread() is threading.main_thread()
    failure = command() if in_main_thread else await asyncio.to_thread(command)
    if failure is not None:
        context.tell(OnFinishFailed(failure, exit_code))
