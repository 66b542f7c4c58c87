"""Keeps `run.json` up to date during a run, for `batchchat status`, scripts and monitors."""

from __future__ import annotations

import os
import platform
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from batchchat.core.events import EndpointDown, EndpointProgress, Environment, Event, Finished, Progress, Refused
from batchchat.core.next_step import AS_BEFORE
from batchchat.core.row_counts import RowCounts
from batchchat.core.run_figures import RunFigures
from batchchat.errors import EXIT_OK, EXIT_ROWS_FAILED
from batchchat.execution.context import RunOptions
from batchchat.job import JobSpec
from batchchat.store.run_json import portable_state, read_state, write_state
from batchchat.text import numbers
from batchchat.text.times import iso_utc
from batchchat.version import __version__

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
        place=f"Python {platform.python_version()} · {_system()}",
        pid=os.getpid(),
        host=socket.gethostname(),
        job=job.name if job.path is None else os.path.relpath(job.path, job.output.path.parent),
        output=job.output.as_given,
        rules=rules,
    )


def _system() -> str:
    """The system, its release, its architecture and its C library, as `platform.platform()` says it of Linux.

    That starts a process, which is asked for the processor's name: 6 ms of CPU that the first request waits for.
    """
    system, library = os.uname(), "".join(platform.libc_ver())
    return "-".join((system.sysname, system.release, system.machine, *(("with", library) if library else ())))


class StateFile:
    """A subscriber that replaces `run.json` each second and at the end, a refusal included.

    `options` have the commands that it suggests. Until a run knows its rows it shows those that an earlier run told. A
    failed write does not end the run: if the disk is full, writing the journal fails too. Unless it `writes`, the state
    is kept in memory alone: the file is another run's.
    """

    def __init__(
        self,
        folder: Path,
        job: JobSpec,
        options: RunOptions,
        clock: Callable[[], float] = time.monotonic,
        *,
        writes: bool = True,
    ) -> None:
        self._writes = writes
        self._options = options
        self._is_mock = job.is_mock
        max_cost = job.budget.max_cost
        self._folder = folder
        self._output = job.output.path
        self._clock = clock
        self._written = float("-inf")
        before = read_state(folder) or {}
        self.figures: RunFigures | None = None
        self._down_because = ""
        rows_before = before.get("rows")
        total = rows_before.get("total") if isinstance(rows_before, dict) else None
        self._total_before = total if isinstance(total, int) else None
        self._state: dict[str, Any] = {
            "job": None if job.path is None else str(job.path.absolute()),
            "output": str(job.output.path),
            "url": None if job.output.url is None else job.output.url.shown,
            "state": "running",
            "reason": None,
            "stopped_by": None,
            "waiting_for": None,
            "down_since": None,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "started_at": iso_utc(time.time()),
            "updated_at": iso_utc(time.time()),
            "rows": _rows_before(before),
            "in_flight": 0,
            "ceiling": None,
            "rows_per_s": 0.0,
            "cost_usd": before.get("cost_usd"),
            "mock": job.is_mock if before.get("cost_usd") is None else before.get("mock"),
            "max_cost": None if max_cost is None else float(max_cost),
            "eta_s": None,
            "exit_code": None,
            "next_command": options.again(AS_BEFORE),
            "cost_per_hour": None,
            "working_directory": str(Path.cwd()),
            "estimated_total": None,
            "outdated": 0,
            "this_run": None,
            "running_s": None,
            "possibly_billed": before.get("possibly_billed"),
            "version": __version__,
            "environment": {"python": platform.python_version(), "system": _system()},
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
        elif isinstance(event, EndpointDown):
            self._down_because = event.why
        elif isinstance(event, Finished):
            self._finish(event)
        elif isinstance(event, Refused):
            self._end(event.exit_code, event.reason, event.stopped_by, self._options.again(AS_BEFORE))

    def _finish(self, event: Finished) -> None:
        self.figures = figures = self._with_total(event.figures)
        self._state |= {
            "rows": figures.rows.json(),
            "outdated": figures.outdated,
            "estimated_total": figures.estimated_total,
            "cost_usd": _number(figures.paid_usd),
            "mock": figures.of_mock,
            "running_s": round(figures.running_s, 3),
            "this_run": {
                "rows": figures.this_run.rows,
                "cost_usd": _number(figures.this_run.cost_usd),
                "elapsed_s": round(figures.this_run.elapsed_s, 3),
            },
            "possibly_billed": {
                "attempts": figures.broke_off,
                "at_most_usd": _number(figures.broke_off_usd),
            },
        }
        self._end(event.exit_code, event.reason, event.stopped_by, self._next(event))

    def _with_total(self, figures: RunFigures) -> RunFigures:
        """`figures`, with the rows left where this run was refused before it read its input, and an earlier one had."""
        rows, total = figures.rows, self._total_before
        if rows.left is not None or figures.this_run.rows or total is None or total < rows.finished:
            return figures
        return replace(figures, rows=rows._replace(left=total - rows.finished))

    def _end(self, exit_code: int, reason: str, stopped_by: str, next_command: str | None) -> None:
        self._state |= {
            "state": "finished" if exit_code in {EXIT_OK, EXIT_ROWS_FAILED} else "stopped",
            "reason": reason or None,
            "stopped_by": stopped_by or None,
            "exit_code": exit_code,
            "waiting_for": None,
            "down_since": None,
            "in_flight": 0,
            "rows_per_s": 0.0,
            "cost_per_hour": None,
            "eta_s": None,
            "next_command": next_command,
        }
        for endpoint in self._state.get("endpoints", ()):
            endpoint |= {"in_flight": 0, "rows_per_s": 0.0}
            if endpoint["state"] not in {"retired", "down"}:
                endpoint["waiting_for"] = None
        self._write()

    def _next(self, event: Finished) -> str | None:
        """The command that continues the run: the same one, the one without a limit, or None where all is done."""
        if event.exit_code not in {EXIT_OK, EXIT_ROWS_FAILED}:
            return self._options.again(event.next_step)
        return None if event.figures.rows.left == 0 else self._options.plain

    def _note(self, event: Progress) -> None:
        down = event.down_since is not None
        limit = self._options.limit
        self._state |= {
            "rows": event.rows.json(),
            "outdated": event.outdated,
            "estimated_total": event.estimated_total,
            "waiting_for": self._waiting_for(event),
            "down_since": None if event.down_since is None else iso_utc(event.down_since),
            "next_command": self._options.again(
                AS_BEFORE if limit is None else AS_BEFORE.with_limit(limit - event.finished_count)
            ),
            "in_flight": event.in_flight,
            "ceiling": event.ceiling,
            "rows_per_s": round(event.rows_per_s, 3),
            "cost_usd": _number(event.cost_usd),
            "mock": self._is_mock,
            "cost_per_hour": None if event.cost_per_hour_usd is None else round(event.cost_per_hour_usd, 6),
            "eta_s": None if event.eta_s is None or down else round(event.eta_s, 1),
        }

        if event.endpoints:
            self._state["endpoints"] = [_endpoint(endpoint) for endpoint in event.endpoints]

    def _waiting_for(self, event: Progress) -> str | None:
        """What all requests wait for."""
        if event.down_since is not None:
            return f"the endpoint to answer again ({event.down_why or self._down_because})"
        if event.held_s >= 1:
            return f"the time the endpoint asked for, until {iso_utc(time.time() + event.held_s)}"
        return None

    def _write(self) -> None:
        self._state["updated_at"] = iso_utc(time.time())
        self._written = self._clock()
        if not self._writes:
            return
        try:
            write_state(self._folder, portable_state(self._state, self._output))
        except OSError:
            return


def _rows_before(before: Mapping[str, Any]) -> dict[str, Any]:
    """The rows as the state of an earlier run has them."""
    rows = before.get("rows")
    counts = rows if isinstance(rows, dict) else {}
    return {name: counts.get(name, value) for name, value in RowCounts().json().items()}


def _endpoint(progress: EndpointProgress) -> dict[str, Any]:
    """One of several endpoints, as run.json has it; rows and cost are those of this run."""
    return {
        "name": progress.name,
        "state": progress.state,
        "in_flight": progress.in_flight,
        "ceiling": progress.ceiling,
        "rows": progress.rows,
        "rows_per_s": round(progress.rows_per_s, 3),
        "cost_usd": _number(progress.cost_usd),
        "waiting_for": progress.waiting_for,
        "down_since": None if progress.down_since is None else iso_utc(progress.down_since),
    }


def _number(usd: Decimal | None) -> float | None:
    return None if usd is None else float(usd)
