"""The state of a run, seen from outside: what its run.json says, and whether a process holds its lock.

The run is not disturbed: its lock is tested and never taken, and the journal of a running run is not read. run.json is
not trusted: of a foreign or damaged one only values of the right form are passed on.
"""

from __future__ import annotations

import shlex
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from batchchat.core.row_counts import RowCounts
from batchchat.errors import OutputError
from batchchat.store.folder import folder_of, is_there
from batchchat.store.lock import holder
from batchchat.store.output_files import files_of
from batchchat.store.run_json import located_state, read_state
from batchchat.store.segments import segments
from batchchat.store.shard_outputs import shards_beside
from batchchat.text import numbers
from batchchat.text.times import iso_utc, parse_iso

__all__ = ["KEYS", "RunPhase", "RunStatus", "status_of"]


class RunPhase(Enum):
    """What is known of a run, in more detail than running, stopped, killed or finished."""

    RUNNING = "its lock is held, and run.json says how far it is"
    STARTING = "its lock is held, and it has not written run.json yet"
    ENDED = "run.json says how it ended"
    KILLED = "its lock is free, and run.json says that it is running"
    ENDING = "it was killed, and its workers hold its lock until what they have in flight has ended"
    ON_ANOTHER_HOST = "run.json says that it is running on another host, whose locks can't be tested from here"
    WITHOUT_STATE = "its lock is free, and it has a journal but no run.json that can be read"


@dataclass(frozen=True, slots=True)
class RunStatus:
    """The state of a run: `state` has the form of `status --json`.

    `ran_s` is the time since it began, `silent_s` since run.json was last written; None where unknown.
    """

    state: Mapping[str, Any]
    phase: RunPhase
    ran_s: float | None
    silent_s: float | None

    @property
    def is_over(self) -> bool:
        """Whether the state changes no more unless a new run is started."""
        return bool(self.state["state"] != "running")

    @property
    def figures(self) -> tuple[Any, ...]:
        """All that is printed; two statuses with equal figures need not both be shown."""
        return (self.phase, *(value for name, value in self.state.items() if name != "updated_at"))


_TEXT, _WHOLE, _NUMBER = (str,), (int,), (int, float)
_KEYS: dict[str, tuple[type, ...]] = {
    "job": _TEXT,
    "output": _TEXT,
    "state": _TEXT,
    "reason": _TEXT,
    "waiting_for": _TEXT,
    "down_since": _TEXT,
    "pid": _WHOLE,
    "host": _TEXT,
    "started_at": _TEXT,
    "updated_at": _TEXT,
    "rows": (dict,),
    "in_flight": _WHOLE,
    "ceiling": _WHOLE,
    "rows_per_s": _NUMBER,
    "cost_usd": _NUMBER,
    "max_cost": _NUMBER,
    "eta_s": _NUMBER,
    "exit_code": _WHOLE,
    "next_command": _TEXT,
    "estimated_total": _WHOLE,
    "cost_per_hour": _NUMBER,
    "stopped_by": _TEXT,
    "outdated": _WHOLE,
    "mock": (bool,),
}
_ENDPOINT_KEYS: dict[str, tuple[type, ...]] = {
    "name": _TEXT,
    "state": _TEXT,
    "in_flight": _WHOLE,
    "ceiling": _WHOLE,
    "rows": _WHOLE,
    "rows_per_s": _NUMBER,
    "cost_usd": _NUMBER,
    "waiting_for": _TEXT,
    "down_since": _TEXT,
}
KEYS = tuple(_KEYS)
_ROWS = tuple(RowCounts().json())
_STATES = {"running", "stopped", "finished"}
_LARGEST = 1 << 63
_FRESH_S = 10.0  # on another host a run whose run.json is younger is taken to be running
_TICK_S = 0.002  # started_at is cut to milliseconds
_OVER: dict[str, Any] = {
    **dict.fromkeys(("reason", "waiting_for", "down_since", "cost_per_hour", "eta_s", "exit_code", "stopped_by")),
    "state": "stopped",
    "in_flight": 0,
    "rows_per_s": 0.0,
}
_KILLED = {**_OVER, "state": "killed"}


def status_of(output: Path, as_given: str, job: Path | None = None) -> RunStatus:
    """The status of the run that writes `output`.

    `as_given` is the path as the user gave it, for messages; `job` is its job file if known. Raises `OutputError` where
    it never ran.
    """
    folder = folder_of(output)
    while True:
        owner, reported = _owner(folder, as_given), _reported(output, job)
        says_running = reported is not None and reported["state"] == "running"
        if owner is None and says_running and _owner(folder, as_given) is not None:
            continue  # it started between the two tests
        break
    now = time.time()
    if owner is not None:
        return _status_while_locked(owner, reported, _unknown_state(as_given, job), now)
    if reported is None:
        if not segments(folder):
            raise OutputError(_never_ran(output, as_given, folder, job))
        return RunStatus({**_unknown_state(as_given, job), **_OVER}, RunPhase.WITHOUT_STATE, None, None)
    ran_s, silent_s = _span(reported["started_at"], now), _span(reported["updated_at"], now)
    if reported["state"] != "running":
        return RunStatus(reported, RunPhase.ENDED, ran_s, silent_s)
    if reported["host"] not in {None, socket.gethostname()}:
        young = silent_s is not None and silent_s < _FRESH_S
        return RunStatus(reported if young else {**reported, **_KILLED}, RunPhase.ON_ANOTHER_HOST, ran_s, silent_s)
    return RunStatus({**reported, **_KILLED}, RunPhase.KILLED, ran_s, silent_s)


def _owner(folder: Path, as_given: str) -> dict[str, Any] | None:
    try:
        return holder(folder)
    except OSError as error:
        raise OutputError(
            f"{as_given}: its lock can't be asked: {error.strerror} ({error.filename or folder})."
        ) from error


def _reported(output: Path, job: Path | None) -> dict[str, Any] | None:
    """run.json in the form of `status --json`; None where it is not one of ours. `job` is the one asked about."""
    raw = read_state(folder_of(output))
    if raw is None or not isinstance(raw.get("state"), str) or raw["state"] not in _STATES:
        return None
    raw = located_state(raw, output, numbers.shown_path)
    reported = {name: _valid(raw.get(name), kinds) for name, kinds in _KEYS.items()}
    rows = reported["rows"] or {}
    reported["rows"] = {name: _valid(rows.get(name), _WHOLE) for name in _ROWS}
    if job is not None:
        reported["job"] = numbers.shown_path(job)
    if isinstance(raw.get("endpoints"), list):
        reported["endpoints"] = [_endpoint(entry) for entry in raw["endpoints"] if isinstance(entry, dict)]
    return reported


def _endpoint(entry: Mapping[str, Any]) -> dict[str, Any]:
    """One of several endpoints in the form of `status --json`."""
    return {name: _valid(entry.get(name), kinds) for name, kinds in _ENDPOINT_KEYS.items()}


def _valid(value: Any, types: tuple[type, ...]) -> Any:
    """`value` if its type is one of `types`, and a number is in range; else None, for unknown."""
    if type(value) not in types or (type(value) in _NUMBER and not 0 <= value < _LARGEST):
        return None
    return value


def _status_while_locked(
    owner: Mapping[str, Any], reported: dict[str, Any] | None, unknown: dict[str, Any], now: float
) -> RunStatus:
    """The status while the lock is held by `owner`; run.json is this run's only if it was written since then."""
    if "left" in owner and reported is not None and reported["state"] == "running":
        state = {**reported, **_KILLED, "next_command": None}  # another run would be refused as yet
        return RunStatus(state, RunPhase.ENDING, _span(state["started_at"], now), _span(state["updated_at"], now))
    since = _valid(owner.get("since"), _NUMBER)
    started = None if reported is None or reported["started_at"] is None else parse_iso(reported["started_at"])
    if reported is not None and started is not None and since is not None and started + _TICK_S >= since:
        phase = RunPhase.RUNNING if reported["state"] == "running" else RunPhase.ENDED
        if phase is RunPhase.RUNNING:
            reported["next_command"] = None  # it is still running, and a second run would be refused
        return RunStatus(reported, phase, _span(reported["started_at"], now), _span(reported["updated_at"], now))
    before = reported or unknown
    state = {
        **before,
        **_OVER,
        "state": "running",
        "pid": _valid(owner.get("pid"), _WHOLE),
        "host": _valid(owner.get("host"), _TEXT),
        "started_at": None if since is None else _iso(since),
        "updated_at": _iso(now),
        "rows": {**before["rows"], "total": None, "left": None},
        "estimated_total": None,
        "ceiling": None,
        "next_command": None,
    }
    return RunStatus(state, RunPhase.STARTING, None if since is None else max(0.0, now - since), 0.0)


def _unknown_state(as_given: str, job: Path | None) -> dict[str, Any]:
    """A state of which only the names are known."""
    return {
        **dict.fromkeys(_KEYS),
        "job": None if job is None else str(job),
        "output": as_given,
        "rows": dict.fromkeys(_ROWS),
    }


def _never_ran(output: Path, as_given: str, folder: Path, job: Path | None) -> str:
    if is_there(output) and files_of(output):
        return (
            f"{as_given} is there, but its run folder {folder.name} is not: its state is lost with it."
            f" See the result with: batchchat report {shlex.quote(as_given)}"
        )
    if runs := shards_beside(output):
        shards = shlex.join(map(numbers.shown_path, runs.values()))
        return f"{as_given} has no run, and {numbers.quantity(len(runs), 'shard')} of it: {shards}. Give one of these."
    way_out = (
        "Give the job file or its output." if job is None else f"Run it with: batchchat run {shlex.quote(str(job))}"
    )
    return f"{as_given} has no run: there is no journal in {folder.name}. {way_out}"


def _span(text: str | None, now: float) -> float | None:
    moment = None if text is None else parse_iso(text)
    return None if moment is None else max(0.0, now - moment)


def _iso(epoch_s: float) -> str | None:
    try:
        return iso_utc(epoch_s)
    except (ValueError, OverflowError, OSError):
        return None
