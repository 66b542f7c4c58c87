"""How a run stands, seen from outside: what its run.json says, and whether anyone holds its lock.

The run is not disturbed: the lock is asked and never taken, and the journal of a living run is not read. run.json is
told, never trusted: of a foreign or broken one only what has the right form is passed on.
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

from batchchat.errors import OutputError
from batchchat.store.folder import folder_of
from batchchat.store.lock import holder
from batchchat.store.parquet import files_of
from batchchat.store.run_json import read_state
from batchchat.store.segments import segments
from batchchat.text import numbers
from batchchat.text.times import iso_utc, parse_iso

__all__ = ["KEYS", "RunPhase", "RunStatus", "status_of"]


class RunPhase(Enum):
    """What is known of a run, beyond running, stopped or finished."""

    GOING = "its lock is held, and it tells how far it is"
    STARTING = "its lock is held, and it has not told anything yet"
    ENDED = "it told how it ended"
    KILLED = "its lock is free, and it never told an end"
    UNHEARD = "it told no end on another host, whose locks can't be asked from here"
    UNTOLD = "its lock is free, it has a journal, and no state that can be read"


@dataclass(frozen=True, slots=True)
class RunStatus:
    """`state` has the contract's form. `ran_s` is since it began, `silent_s` since its last word; None: unknown."""

    state: Mapping[str, Any]
    how: RunPhase
    ran_s: float | None
    silent_s: float | None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come of this run by itself."""
        return bool(self.state["state"] != "running")

    @property
    def figures(self) -> tuple[Any, ...]:
        """What changes when there is something new to be told."""
        return (self.how, *(value for name, value in self.state.items() if name != "updated_at"))


_TEXT, _WHOLE, _NUMBER = (str,), (int,), (int, float)
_KEYS: dict[str, tuple[type, ...]] = {
    "job": _TEXT,
    "output": _TEXT,
    "state": _TEXT,
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
}
KEYS = tuple(_KEYS)
_ROWS = ("total", "answered", "failed", "invalid", "left")
_STATES = {"running", "stopped", "finished"}
_LARGEST = 1 << 63
_FRESH_S = 10.0  # on another host a run whose last word is younger is taken to be running
_TICK_S = 0.002  # started_at is cut to milliseconds
_OVER = {"state": "stopped", "in_flight": 0, "rows_per_s": 0.0, "cost_per_hour": None, "eta_s": None, "exit_code": None}


def status_of(output: Path, typed: str, job: Path | None = None) -> RunStatus:
    """How the run behind `output` stands. `typed` is a path of it that can be pasted, `job` its job file if known.

    Raises `OutputError` where it never ran.
    """
    folder = folder_of(output)
    while True:
        owner, told = _owner(folder, typed), _told(folder)
        if owner is None and told is not None and told["state"] == "running" and _owner(folder, typed) is not None:
            continue  # it began between the two looks
        break
    now = time.time()
    if owner is not None:
        return _held(owner, told, _named(typed, job), now)
    if told is None:
        if not segments(folder):
            raise OutputError(_never_ran(output, typed, folder, job))
        return RunStatus({**_named(typed, job), **_OVER}, RunPhase.UNTOLD, None, None)
    ran_s, silent_s = _span(told["started_at"], now), _span(told["updated_at"], now)
    if told["state"] != "running":
        return RunStatus(told, RunPhase.ENDED, ran_s, silent_s)
    if told["host"] not in {None, socket.gethostname()}:
        young = silent_s is not None and silent_s < _FRESH_S
        return RunStatus(told if young else {**told, **_OVER}, RunPhase.UNHEARD, ran_s, silent_s)
    return RunStatus({**told, **_OVER}, RunPhase.KILLED, ran_s, silent_s)


def _owner(folder: Path, typed: str) -> dict[str, Any] | None:
    try:
        return holder(folder)
    except OSError as error:
        raise OutputError(
            f"{typed}: its lock can't be asked: {error.strerror} ({error.filename or folder})."
        ) from error


def _told(folder: Path) -> dict[str, Any] | None:
    """What run.json says, in the contract's form; None where it is none of ours."""
    raw = read_state(folder)
    if raw is None or not isinstance(raw.get("state"), str) or raw["state"] not in _STATES:
        return None
    told = {name: _right(raw.get(name), kinds) for name, kinds in _KEYS.items()}
    rows = told["rows"] or {}
    told["rows"] = {name: _right(rows.get(name), _WHOLE) for name in _ROWS}
    for name in ("job", "output"):
        told[name] = None if told[name] is None else numbers.shown_path(Path(told[name]))
    told["next_command"] = _from_here(told["next_command"], _right(raw.get("working_directory"), _TEXT))
    return told


def _from_here(command: str | None, folder: str | None) -> str | None:
    """A command that was typed in `folder`, to be pasted here."""
    if command is None or folder is None or Path(folder) == Path.cwd():
        return command
    return f"cd {shlex.quote(folder)} && {command}"


def _right(value: Any, kinds: tuple[type, ...]) -> Any:
    """`value` if it is of one of `kinds`, and a number that can be told; else None, for unknown."""
    if type(value) not in kinds or (type(value) in _NUMBER and not 0 <= value < _LARGEST):
        return None
    return value


def _held(owner: Mapping[str, Any], told: dict[str, Any] | None, named: dict[str, Any], now: float) -> RunStatus:
    """A run whose lock is held: what run.json says is its own only if it was written since the lock was taken."""
    since = _right(owner.get("since"), _NUMBER)
    started = None if told is None or told["started_at"] is None else parse_iso(told["started_at"])
    if told is not None and started is not None and since is not None and started + _TICK_S >= since:
        how = RunPhase.GOING if told["state"] == "running" else RunPhase.ENDED
        if how is RunPhase.GOING:
            told["next_command"] = None  # it goes on by itself, and a second one would be refused
        return RunStatus(told, how, _span(told["started_at"], now), _span(told["updated_at"], now))
    before = told or named
    state = {
        **before,
        **_OVER,
        "state": "running",
        "pid": _right(owner.get("pid"), _WHOLE),
        "host": _right(owner.get("host"), _TEXT),
        "started_at": None if since is None else _iso(since),
        "updated_at": _iso(now),
        "rows": {**before["rows"], "total": None, "left": None},
        "estimated_total": None,
        "ceiling": None,
        "next_command": None,
    }
    return RunStatus(state, RunPhase.STARTING, None if since is None else max(0.0, now - since), 0.0)


def _named(typed: str, job: Path | None) -> dict[str, Any]:
    """The form with nothing known but the names."""
    return {
        **dict.fromkeys(_KEYS),
        "job": None if job is None else str(job),
        "output": typed,
        "rows": dict.fromkeys(_ROWS),
    }


def _never_ran(output: Path, typed: str, folder: Path, job: Path | None) -> str:
    if output.exists() and files_of(output):
        return (
            f"{typed} is there, but its run folder {folder.name} is not: what the run told of itself is gone with it."
            f" See the result with: batchchat report {shlex.quote(typed)}"
        )
    way_out = (
        "Give the job file or its output." if job is None else f"Run it with: batchchat run {shlex.quote(str(job))}"
    )
    return f"{typed} has no run: nothing was begun in {folder.name}. {way_out}"


def _span(text: str | None, now: float) -> float | None:
    moment = None if text is None else parse_iso(text)
    return None if moment is None else max(0.0, now - moment)


def _iso(epoch_s: float) -> str | None:
    try:
        return iso_utc(epoch_s)
    except (ValueError, OverflowError, OSError):
        return None
