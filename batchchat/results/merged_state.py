"""The run.json of a run that was merged of shards."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchchat.core.run_figures import RunFigures
from batchchat.errors import EXIT_OK, EXIT_ROWS_FAILED
from batchchat.store.run_json import portable_state, read_state
from batchchat.text.times import iso_utc
from batchchat.version import __version__

if TYPE_CHECKING:
    from batchchat.results.shard_runs import ShardRun

__all__ = ["merged_state"]


def merged_state(runs: Sequence[ShardRun], output: Path, figures: RunFigures) -> dict[str, Any]:
    """The state of the run with this `output`, absolute, and `figures`, that was made of `runs`.

    It is finished where each shard is, and there. Else it is stopped, and its next command sends the rows that are left
    as one run.
    """
    states = [run.status.state for run in runs]
    is_finished = len(runs) == runs[0].shard.of and all(run.is_finished for run in runs)
    job = _job_of(runs)
    rows = figures.rows
    started = [state["started_at"] for state in states if state.get("started_at")]
    caps = [state.get("max_cost") for state in states]
    again = ["batchchat", "run", *([job] if job else []), "--output", str(output)]
    state = {
        **dict.fromkeys(("waiting_for", "down_since", "ceiling", "eta_s", "cost_per_hour", "estimated_total")),
        "job": job,
        "output": str(output),
        "state": "finished" if is_finished else "stopped",
        "reason": None if is_finished else "merged of shards that are not all finished",
        "stopped_by": None if is_finished else "before all shards were finished",
        "pid": None,
        "host": None,
        "started_at": min(started, default=None),
        "updated_at": iso_utc(time.time()),
        "rows": rows.json(),
        "in_flight": 0,
        "rows_per_s": 0.0,
        "cost_usd": None if figures.paid_usd is None else float(figures.paid_usd),
        "mock": figures.of_mock,
        "max_cost": None if None in caps else float(sum(Decimal(repr(cap)) for cap in caps)),
        "exit_code": (EXIT_ROWS_FAILED if rows.failed or rows.invalid else EXIT_OK) if is_finished else None,
        "next_command": None if is_finished or job is None else shlex.join(again),
        "working_directory": str(Path.cwd()),
        "outdated": sum(run.info.outdated for run in runs),
        "this_run": None,
        "running_s": round(figures.running_s, 3),
        "possibly_billed": _possibly_billed(figures),
        "version": __version__,
        "environment": None,
        "merged": {"of": runs[0].shard.of, "shards": [run.shard.number for run in runs]},
    }
    return portable_state(state, output)


def _possibly_billed(figures: RunFigures) -> Mapping[str, Any]:
    usd = figures.broke_off_usd
    return {"attempts": figures.broke_off, "at_most_usd": None if usd is None else float(usd)}


def _job_of(runs: Sequence[ShardRun]) -> str | None:
    """The absolute path of the job file that the shards were run with; None where none says it."""
    for run in runs:
        job = (read_state(run.folder) or {}).get("job")
        if isinstance(job, str):
            return os.path.normpath(run.output.absolute().parent / job)
    return None
