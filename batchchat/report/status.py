"""How a run stands, in words: for whoever looks at it from another shell. Pure text of a `RunStatus`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from batchchat.results.status import RunPhase, RunStatus
from batchchat.text import numbers
from batchchat.text.labelled import LabelledLine, labelled_list, next_lines
from batchchat.text.times import local_time

__all__ = ["headline", "status_line", "status_text"]

_QUIET_S = 5.0  # run.json is replaced each second while rows are sent

_STOPPED = {
    1: "by a defect of batchchat; its traceback is in run.log",
    2: "before anything was sent",
    4: "by its budget or its hour",
    5: "by the endpoint",
    6: "by this machine: disk or journal",
    129: "by SIGHUP",
    130: "by SIGINT",
    143: "by SIGTERM",
}


def headline(standing: RunStatus) -> str:
    """One line: which run, and how it stands."""
    name = standing.state["job"] or standing.state["output"]
    return f"{name}: {_words(standing)}"


def status_text(standing: RunStatus, output: str) -> str:
    """The headline, a blank line, the figures by topic, what to type next. `output` is a path that can be pasted."""
    parts = [headline(standing), labelled_list(_lines(standing, output))]
    if commands := _next(standing, output):
        parts.append(next_lines(commands))
    return "\n\n".join(parts)


def status_line(standing: RunStatus) -> str:
    """The same in one line, for a log of a run that is followed."""
    if standing.how is not RunPhase.GOING:
        return headline(standing)
    state = standing.state
    rows = state["rows"]
    done = sum(rows[name] or 0 for name in ("answered", "failed", "invalid"))
    total = "" if rows["total"] is None else f"/{numbers.count(rows['total'])}"
    if state["estimated_total"] is not None:
        total = f"/about {numbers.count(state['estimated_total'])}"
    parts = [f"{numbers.count(done)}{total} rows", _pace(state)]
    if state["cost_usd"] is not None:
        parts.append(_cost(state))
    parts += [f"{numbers.count(rows[word])} {word}" for word in ("failed", "invalid") if rows[word]]
    if state["eta_s"]:
        parts.append(f"{numbers.duration(state['eta_s'])} left")
    return " · ".join(parts)


def _words(standing: RunStatus) -> str:
    state = standing.state
    ago = "" if standing.silent_s is None else f" {numbers.duration(standing.silent_s)} ago"
    match standing.how:
        case RunPhase.GOING:
            return f"running for {numbers.duration(standing.ran_s)}, {_process(state)}"
        case RunPhase.STARTING:
            began = "" if standing.ran_s is None else f" for {numbers.duration(standing.ran_s)}"
            return f"starting{began}, {_process(state)}: it reads its journal and its input"
        case RunPhase.ENDED if state["state"] == "finished":
            some = ", some rows failed or are invalid" if state["exit_code"] else ""
            return f"finished{ago}{some}"
        case RunPhase.ENDED:
            return f"stopped{ago} {_STOPPED.get(state['exit_code'], 'by a signal')}"
        case RunPhase.KILLED:
            return f"killed or broken off: silent{_since(standing)}"
        case RunPhase.UNHEARD if standing.is_over:
            return f"silent{_since(standing)}; whether it still runs on {state['host']} can't be asked from here"
        case RunPhase.UNHEARD:
            return f"running on {state['host']} by its last word{ago}; its lock can't be asked from here"
        case _:
            return "stopped before it told how far it was; its journal is kept"


def _since(standing: RunStatus) -> str:
    if standing.silent_s is None:
        return ""
    return f" for {numbers.duration(standing.silent_s)}, since {local_time(time.time() - standing.silent_s)}"


def _process(state: Mapping[str, Any]) -> str:
    pid = "another process" if state["pid"] is None else f"pid {state['pid']}"
    return pid if state["host"] is None else f"{pid} on {state['host']}"


def _lines(standing: RunStatus, output: str) -> list[LabelledLine]:
    state = standing.state
    rows = _rows(state["rows"], state["estimated_total"])
    lines = [LabelledLine("rows", rows), LabelledLine("cost", _cost(state))]
    if standing.how is RunPhase.GOING:
        lines.append(LabelledLine("pace", _pace(state)))
        if state["eta_s"] is not None:
            lines.append(LabelledLine("time", f"{numbers.duration(state['eta_s'])} left at this pace"))
        if standing.silent_s is not None and standing.silent_s > _QUIET_S:
            quiet = f"for {numbers.duration(standing.silent_s)}: it writes its output, or is suspended"
            lines.append(LabelledLine("quiet", quiet))
    return [*lines, LabelledLine("output", output)]


def _rows(rows: Mapping[str, int | None], about: int | None) -> str:
    if rows["answered"] is None:
        return numbers.UNKNOWN
    parts = [f"{numbers.count(rows['answered'])} answered"]
    parts += [f"{numbers.count(number)} {word}" for word in ("failed", "invalid", "left") if (number := rows[word])]
    if about is not None:
        parts.append(f"of about {numbers.count(about)}")
    return " · ".join(parts)


def _pace(state: Mapping[str, Any]) -> str:
    ceiling = "" if state["ceiling"] is None else f" of up to {numbers.count(state['ceiling'])}"
    return f"{state['rows_per_s'] or 0:.1f} rows/s · {numbers.count(state['in_flight'] or 0)}{ceiling} in flight"


def _cost(state: Mapping[str, Any]) -> str:
    most = "" if state["max_cost"] is None else f" of at most {numbers.money(state['max_cost'])}"
    runs = state["state"] == "running"
    pace = f" · {numbers.per_hour(state['cost_per_hour'])}" if runs and state.get("cost_per_hour") else ""
    return f"{numbers.money(state['cost_usd'])}{most}{pace}"


def _next(standing: RunStatus, output: str) -> list[str]:
    if not standing.is_over:
        return (
            [f"batchchat export {output} --to parquet -o so-far.parquet"] if standing.state["rows"]["answered"] else []
        )
    going_on = [standing.state["next_command"]] if standing.state["next_command"] else []
    return [*going_on, f"batchchat report {output}"]
