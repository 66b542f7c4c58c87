"""What a run needs before it opens its journal: when it is to end, its folder's lock, an old output set aside."""

from __future__ import annotations

import os
import shlex
import time
from dataclasses import dataclass
from pathlib import Path

from batchchat.errors import OutputError, UsageError
from batchchat.execution.context import RunContext
from batchchat.execution.messages import stop_at_passed
from batchchat.sources import Source
from batchchat.store.folder import set_aside
from batchchat.store.ledger import Ledger
from batchchat.store.lock import Lock

__all__ = ["OpenRun", "set_output_aside", "stop_time", "take_lock"]


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run whose `folder` is locked. `source` has the input's rows, `ledger` the state of the journal in the folder.

    The run is to end at `stop_at`, in seconds since the epoch.
    """

    folder: Path
    lock: Lock
    source: Source
    ledger: Ledger
    stop_at: float | None


def stop_time(context: RunContext) -> float | None:
    """When the run is to end, in seconds since the epoch."""
    stop_at = context.job.budget.stop_at
    if stop_at is None:
        return None
    now, began = time.time(), context.options.began
    moment = stop_at.on(now if began is None or stop_at.after_s is not None else began)
    if moment <= now:
        raise UsageError(stop_at_passed(stop_at.written))
    return moment


def take_lock(context: RunContext, folder: Path) -> Lock:
    """The lock of the run `folder`. Raises `OutputError` where another process has it."""
    output = context.job.output
    path = os.path.relpath(output.path.resolve())  # to be pasted: as typed it is relative to the job file
    return Lock.take(folder, output.as_given, f"batchchat status {shlex.quote(path)}")


def set_output_aside(context: RunContext) -> list[Path]:
    """Rename the output and its run folder; their new paths. Raises `OutputError`."""
    output = context.job.output
    try:
        return set_aside(output.path)
    except OSError as error:
        raise OutputError(f"{output.as_given} can't be set aside: {error.strerror}.") from error
