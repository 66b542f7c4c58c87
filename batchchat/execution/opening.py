"""What a run needs before it opens its journal: when it is to end, its folder's lock, an old output set aside."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

from batchchat.errors import OutputError, UsageError
from batchchat.execution.context import RunContext
from batchchat.execution.messages import stop_at_passed
from batchchat.sources import Source
from batchchat.store.folder import check_output, check_writable, make_folder, set_aside
from batchchat.store.ledger import Ledger
from batchchat.store.lock import Lock
from batchchat.store.segments import segments
from batchchat.text.numbers import shown_path

__all__ = ["OpenRun", "locked_folder", "stop_time"]


class OpenRun(NamedTuple):
    """A run whose `folder` is locked. `source` has the input's rows, `ledger` the state of the journal in the folder.

    The run is to end at `stop_at`, in seconds since the epoch.
    """

    folder: Path
    lock: Lock
    source: Source
    ledger: Ledger
    stop_at: float | None


@contextmanager
def locked_folder(context: RunContext, inputs: Iterable[Path]) -> Iterator[tuple[Path, Lock, list[str]]]:
    """The run folder, its lock, and where the output of before is kept, if the run is to begin anew.

    `inputs` are the files of the input. What can be refused about the output is refused here, with an `OutputError`.
    """
    output, fresh = context.job.output, context.options.fresh
    check_output(output.path, output.as_given, inputs, fresh=fresh)
    folder = make_folder(output.path, output.as_given)
    lock = _take_lock(context, folder)
    aside: list[str] = []
    try:
        check_writable(output.path, output.as_given)
        with _shipping(context, folder) as start_shipping:
            _check_remote(context)
            if fresh:
                if segments(folder) or output.path.exists():
                    aside = _set_aside(context)
                    folder = make_folder(output.path, output.as_given)
                    lock.release()
                    lock = _take_lock(context, folder)
                aside += _keep_remote(context)
            start_shipping()
            yield folder, lock, aside
    finally:
        lock.release()


def _shipping(context: RunContext, folder: Path) -> AbstractContextManager[Callable[[], None]]:
    """Ships the journal in `folder` to a store from when what it gives is called, where the job wants that."""
    if (target := context.job.store.ship_journal) is None:
        return nullcontext(lambda: None)
    from batchchat.execution.shipping import shipping

    return shipping(context, folder, target)


def _check_remote(context: RunContext) -> None:
    """Refuse an output in an object store that can't be written, or is another run's. Raises `OutputError`."""
    if context.remote is not None:
        from batchchat.execution.remote import check_remote

        check_remote(context.remote, context.options)


def _keep_remote(context: RunContext) -> list[str]:
    """Begin anew where the old run was set aside; the URLs where a store keeps its result."""
    if context.remote is None:
        return []
    from batchchat.execution.remote import keep_remote

    return keep_remote(context.remote)


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


def _take_lock(context: RunContext, folder: Path) -> Lock:
    """The lock of the run `folder`. Raises `OutputError` where another process has it."""
    output = context.job.output
    path = os.path.relpath(output.path.resolve())  # to be pasted: as typed it is relative to the job file
    return Lock.take(folder, output.as_given, f"batchchat status {shlex.quote(path)}")


def _set_aside(context: RunContext) -> list[str]:
    """Rename the output and its run folder; their new paths. Raises `OutputError`."""
    output = context.job.output
    try:
        return [shown_path(path) for path in set_aside(output.path)]
    except OSError as error:
        raise OutputError(f"{output.as_given} can't be set aside: {error.strerror}.") from error
