"""The summary of a run as one JSON object: what `run --json` prints and `on_finish` reads. Pure."""

from __future__ import annotations

import time
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchchat.core.row_counts import RowCounts
from batchchat.core.run_figures import RunFigures
from batchchat.errors import EXIT_DEFECT, EndpointError, MachineError, UsageError
from batchchat.job import JobSpec
from batchchat.text import numbers
from batchchat.text.run_sentence import Standing, run_sentence
from batchchat.text.times import iso_utc

if TYPE_CHECKING:
    from batchchat.store.remote_output import RemoteResult

__all__ = ["summary_of"]

_TOLD_WHY = {EXIT_DEFECT, UsageError.exit_code, EndpointError.exit_code, MachineError.exit_code}
_OF_ENDPOINT = ("name", "state", "rows", "cost_usd", "down_since")
_FROM_STATE = ("rows", "next_command", "stopped_by", "started_at", "pid", "host", "version")


def summary_of(
    job: JobSpec, state: Mapping[str, Any], figures: RunFigures | None, remote: RemoteResult | None = None
) -> dict[str, Any]:
    """The summary of the run of `job` whose final run.json is `state`; no text of the endpoint is in it.

    `remote` is the output in its object store, once it is there. `figures` is None where the run was refused before
    they were known: then the rows and the cost are those that an earlier run told, and this run has none.
    """
    known_usd = _known_usd(state, figures)
    return {
        "text": _text(job, state, figures),
        "job": None if job.path is None else str(job.path),
        "output": job.output.as_given,
        "exit_code": state["exit_code"],
        "reason": state["reason"],
        "state": state["state"],
        "this_run": _this_run(figures),
        "cost_usd": {
            "known": known_usd,
            "superseded": None if figures is None else float(figures.superseded_usd),
            "possibly_billed_at_most": None if figures is None else _number(figures.possibly_billed_usd),
            "unknown_rows": None if figures is None else figures.unknown_cost_rows,
            "saved_by_cache": None if figures is None else _number(figures.cache_saved_usd),
        },
        "possibly_billed_attempts": None if figures is None else figures.possibly_billed,
        "tokens": None if figures is None else dict(figures.tokens),
        "failures": None if figures is None else dict(figures.failures),
        "replies": None if figures is None else dict(figures.replies),
        "name": job.name,
        "model": job.model,
        "endpoint": job.host,
        "mock": job.is_mock,
        "output_path": str(job.output.path),
        "output_store": _remote(remote),
        "working_directory": str(Path.cwd()),
        **_endpoints(state),
        **{name: state.get(name) for name in _FROM_STATE},
        "finished_at": iso_utc(time.time()),
    }


def _endpoints(state: Mapping[str, Any]) -> dict[str, Any]:
    """What each of several endpoints answered in this run and how it stood at the end, without its words."""
    if not (endpoints := state.get("endpoints")):
        return {}
    return {"endpoints": [{name: endpoint[name] for name in _OF_ENDPOINT} for endpoint in endpoints]}


def _remote(remote: RemoteResult | None) -> dict[str, Any] | None:
    if remote is None:
        return None
    return {"files": remote.pattern, "manifest": remote.manifest, "count": remote.files, "bytes": remote.size}


def _known_usd(state: Mapping[str, Any], figures: RunFigures | None) -> float | None:
    usd = state["cost_usd"] if figures is None else figures.paid_usd
    return float(usd) if isinstance(usd, int | float | Decimal) else None


def _this_run(figures: RunFigures | None) -> dict[str, Any]:
    if figures is None:
        return {"rows": 0, "cost_usd": None, "elapsed_s": 0.0}
    this_run = figures.this_run
    return {
        "rows": this_run.rows,
        "cost_usd": _number(this_run.cost_usd),
        "elapsed_s": round(this_run.elapsed_s, 3),
    }


def _text(job: JobSpec, state: Mapping[str, Any], figures: RunFigures | None) -> str:
    """One line for a chat message."""
    if figures is None:
        return " ".join(f"{job.name} stopped {state['stopped_by']}: {state['reason']}".split())
    rows = figures.rows
    standing = Standing(
        state["state"], state["stopped_by"], rows, figures.outdated, estimated_total=figures.estimated_total
    )
    usd, span_s = figures.paid_usd, figures.running_s
    line = run_sentence(job.name, standing, usd=usd, of_mock=figures.of_mock, span_s=span_s)
    why = f" ({' '.join(state['reason'].split())})" if state["exit_code"] in _TOLD_WHY else ""
    return line + _trouble(rows) + why + _part(figures)


def _part(figures: RunFigures) -> str:
    """What this run did of it, where others did the rest: of a nightly job, the night."""
    this_run = figures.this_run
    if not this_run.is_a_part_of(figures.rows):
        return ""
    usd = "" if this_run.cost_usd is None else f" for {numbers.money(this_run.cost_usd)}"
    return f"; this run: {numbers.rows(this_run.rows)} in {numbers.duration(this_run.elapsed_s)}{usd}"


def _trouble(rows: RowCounts) -> str:
    parts = ((rows.failed, "failed"), (rows.invalid, "invalid"), (rows.cut_off, "cut off"))
    return "".join(f", {numbers.count(count)} {words}" for count, words in parts if count)


def _number(usd: Decimal | None) -> float | None:
    return None if usd is None else float(usd)
