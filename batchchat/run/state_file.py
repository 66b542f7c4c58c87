"""Keeps `run.json` up to date during a run, for `batchchat status`, scripts and monitors."""

from __future__ import annotations

import os
import platform
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from batchchat import __version__
from batchchat.core.events import Environment, Event, Finished, Progress
from batchchat.core.next_step import AS_BEFORE
from batchchat.job import JobSpec
from batchchat.run.context import RunOptions
from batchchat.store.run_json import write_state
from batchchat.text import numbers
from batchchat.text.times import iso_utc

__all__ = ["StateFile", "environment_of"]

_EVERY_S = 1.0


def environment_of(job: JobSpec) -> Environment:
    """The first entry of run.log: the machine, and the limits and timeouts of `job`."""
    retry = job.retry
    rules = (
        f"{numbers.count(job.concurrency)} in flight at most · an attempt: {numbers.duration(job.timeout.total)},"
        f" {numbers.duration(job.timeout.connect)} to connect · a row: {retry.max_attempts} attempts,"
        f" {numbers.duration(retry.max_elapsed)}, waits up to {numbers.duration(retry.max_wait)} · an outage:"
        f" {numbers.duration(retry.max_outage)} · drain {numbers.duration(job.drain)}"
    )
    return Environment(
        version=__version__,
        place=f"Python {platform.python_version()} · {platform.platform()}",
        pid=os.getpid(),
        host=socket.gethostname(),
        job=str(job.path),
        output=job.output.as_given,
        rules=rules,
    )


class StateFile:
    """A subscriber that replaces `run.json` each second and at the end; a run that is refused leaves it unchanged.

    `options` have the commands that it suggests. A failed write does not end the run: if the disk is full, writing the
    journal fails too.
    """

    def __init__(
        self,
        folder: Path,
        job: JobSpec,
        options: RunOptions,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._options = options
        max_cost = job.budget.max_cost
        self._folder = folder
        self._clock = clock
        self._written = float("-inf")
        self._state: dict[str, Any] = {
            "job": str(job.path.absolute()),
            "output": str(job.output.path),
            "state": "running",
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "started_at": iso_utc(time.time()),
            "updated_at": iso_utc(time.time()),
            "rows": {"total": None, "answered": 0, "failed": 0, "invalid": 0, "left": None},
            "in_flight": 0,
            "ceiling": None,
            "rows_per_s": 0.0,
            "cost_usd": None,
            "max_cost": None if max_cost is None else float(max_cost),
            "eta_s": None,
            "exit_code": None,
            "next_command": options.again(AS_BEFORE),
            "cost_per_hour": None,
            "working_directory": str(Path.cwd()),
            "estimated_total": None,
            "reason": None,
            "possibly_billed": {"attempts": 0, "at_most_usd": 0.0},
            "version": __version__,
            "environment": {"python": platform.python_version(), "system": platform.platform()},
        }

    @property
    def state(self) -> Mapping[str, Any]:
        """The content of the file, even if it could not be written."""
        return self._state

    def __call__(self, event: Event) -> None:
        """Update the state from `event`, and write the file if it is due."""
        if isinstance(event, Progress):
            self._note(event)
            if self._clock() - self._written >= _EVERY_S:
                self._write()
        elif isinstance(event, Finished):
            done = event.exit_code in {0, 3}
            self._state["state"] = "finished" if done else "stopped"
            left = event.left
            finished = event.answered + event.failed + event.invalid
            self._state |= {
                "exit_code": event.exit_code,
                "reason": event.reason or None,
                "cost_per_hour": None,
                "in_flight": 0,
                "rows": {
                    "total": None if left is None else finished + left,
                    "answered": event.answered,
                    "failed": event.failed,
                    "invalid": event.invalid,
                    "left": left,
                },
                "cost_usd": None if event.cost_usd is None else float(event.cost_usd),
                "possibly_billed": {
                    "attempts": event.possibly_billed,
                    "at_most_usd": None if event.possibly_billed_usd is None else float(event.possibly_billed_usd),
                },
                "eta_s": None,
                "estimated_total": None,
                "next_command": self._next(event),
            }
            self._write()

    def _next(self, event: Finished) -> str | None:
        """The command that continues the run: the same one, the one without a limit, or None where all is done."""
        if event.exit_code not in {0, 3}:
            return self._options.again(event.next_step)
        return None if event.left == 0 else self._options.plain

    def _note(self, event: Progress) -> None:
        total = None if event.estimated else event.total
        self._state |= {
            "rows": {
                "total": total,
                "answered": event.answered,
                "failed": event.failed,
                "invalid": event.invalid,
                "left": None if total is None else total - event.done,
            },
            "estimated_total": event.total if event.estimated else None,
            "in_flight": event.in_flight,
            "ceiling": event.ceiling,
            "rows_per_s": round(event.rows_per_s, 3),
            "cost_usd": None if event.cost_usd is None else float(event.cost_usd),
            "cost_per_hour": None if event.cost_per_hour_usd is None else round(event.cost_per_hour_usd, 6),
            "eta_s": None if event.eta_s is None else round(event.eta_s, 1),
        }

    def _write(self) -> None:
        self._state["updated_at"] = iso_utc(time.time())
        self._written = self._clock()
        try:
            write_state(self._folder, self._state)
        except OSError:
            return
