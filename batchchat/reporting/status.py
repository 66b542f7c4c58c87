"""The status of a run as text, for a look at it from another shell. Pure."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from batchchat.reporting.lines import cut_off_words, endpoint_standing_lines
from batchchat.results.status import RunPhase, RunStatus
from batchchat.text import numbers
from batchchat.text.labelled import LabelledLine, labelled_list, next_lines
from batchchat.text.times import local_moment, local_time

__all__ = ["headline", "status_line", "status_text"]

_QUIET_S = 5.0  # run.json is replaced each second while rows are sent

_STOPPED = {  # of a run.json that an earlier version wrote
    1: "by a defect of batchchat; its traceback is in run.log",
    2: "before anything was sent",
    4: "by its budget or `stop_at`",
    5: "by the endpoint",
    6: "by this machine: disk or journal",
    129: "by SIGHUP",
    130: "by SIGINT",
    143: "by SIGTERM",
}


def headline(status: RunStatus) -> str:
    """One line: the run's name and its state."""
    name = status.state["job"] or status.state["output"]
    return f"{name}: {_words(status)}"


def status_text(status: RunStatus, output: str) -> str:
    """The headline, the figures, the commands to type next. `output` is a path that can be pasted."""
    parts = [headline(status), labelled_list(_lines(status, output))]
    if commands := _next(status, output):
        parts.append(next_lines(commands))
    return "\n\n".join(parts)


def status_line(status: RunStatus) -> str:
    """The headline and the figures in one line, for `--watch` off a terminal."""
    if status.phase is not RunPhase.RUNNING:
        return headline(status)
    state = status.state
    rows = state["rows"]
    done = sum(rows[name] or 0 for name in ("answered", "failed", "invalid")) - (state["outdated"] or 0)
    total = "" if rows["total"] is None else f"/{numbers.count(rows['total'])}"
    if state["estimated_total"] is not None:
        total = f"/about {numbers.count(state['estimated_total'])}"
    pace = _pace(state)
    if state["down_since"] is not None:
        pace = f"waiting since {local_moment(state['down_since'])} for {_awaited(state)}"
    parts = [f"{numbers.count(done)}{total} rows", pace]
    if state["cost_usd"] is not None:
        parts.append(_cost(state))
    words = ("failed", "invalid", "cut_off", "undecided")
    parts += [f"{numbers.count(rows[word])} {word.replace('_', ' ')}" for word in words if rows[word]]
    if state["eta_s"]:
        parts.append(f"{numbers.duration(state['eta_s'])} left")
    return " · ".join(parts)


def _words(status: RunStatus) -> str:
    state = status.state
    ago = "" if status.silent_s is None else f" {numbers.duration(status.silent_s)} ago"
    match status.phase:
        case RunPhase.RUNNING if state["down_since"] is not None:
            return f"waiting since {local_moment(state['down_since'])} for {_awaited(state)}, {_process(state)}"
        case RunPhase.RUNNING:
            return f"running for {numbers.duration(status.ran_s)}, {_process(state)}"
        case RunPhase.STARTING:
            began = "" if status.ran_s is None else f" for {numbers.duration(status.ran_s)}"
            return f"starting{began}, {_process(state)}: it reads its journal and its input"
        case RunPhase.ENDED if state["state"] == "finished":
            return f"finished{ago}{_limit(state)}{_failures(state)}"
        case RunPhase.ENDED:
            return f"stopped{ago} {state['stopped_by'] or _STOPPED.get(state['exit_code'], 'by a signal')}"
        case RunPhase.KILLED:
            return f"killed or broken off: silent{_since(status)}"
        case RunPhase.ENDING:
            return f"killed or broken off: silent{_since(status)}; its workers keep what is in flight, and end"
        case RunPhase.ON_ANOTHER_HOST if status.is_over:
            return f"silent{_since(status)}; whether it still runs on {state['host']} can't be tested from here"
        case RunPhase.ON_ANOTHER_HOST:
            return f"running on {state['host']} when last heard of{ago}; its lock can't be tested from here"
        case _:
            return "stopped before it wrote its state; its journal is kept"


def _limit(state: Mapping[str, Any]) -> str:
    return "" if state["stopped_by"] is None else f", stopped {state['stopped_by']}"


def _failures(state: Mapping[str, Any]) -> str:
    if not state["exit_code"]:
        return ""
    rows = state["rows"]
    words = (("failed", "failed"), ("invalid", "are invalid"), ("undecided", "are undecided"))
    parts = [word for name, word in words if rows[name]]
    return f", some rows {' or '.join(parts)}" if parts else ""


def _awaited(state: Mapping[str, Any]) -> str:
    return state["waiting_for"] or "the endpoint to answer again"


def _since(status: RunStatus) -> str:
    if status.silent_s is None:
        return ""
    return f" for {numbers.duration(status.silent_s)}, since {local_time(time.time() - status.silent_s)}"


def _process(state: Mapping[str, Any]) -> str:
    pid = "another process" if state["pid"] is None else f"pid {state['pid']}"
    return pid if state["host"] is None else f"{pid} on {state['host']}"


def _lines(status: RunStatus, output: str) -> list[LabelledLine]:
    state = status.state
    lines = [LabelledLine("rows", _rows(state)), LabelledLine("cost", _cost(state))]
    if state["reason"] and status.phase is RunPhase.ENDED:
        lines.append(LabelledLine("why", " ".join(state["reason"].split())))
    if state["rows"]["cut_off"]:
        lines.append(LabelledLine("cut off", cut_off_words(state["rows"]["cut_off"])))
    if status.phase is RunPhase.RUNNING:
        if state["down_since"] is None:
            lines.append(LabelledLine("pace", _pace(state)))
            if state["waiting_for"] is not None:
                lines.append(LabelledLine("waits", f"for {state['waiting_for']}"))
        if state["eta_s"] is not None:
            lines.append(LabelledLine("time", f"{numbers.duration(state['eta_s'])} left at this pace"))
        if status.silent_s is not None and status.silent_s > _QUIET_S:
            quiet = f"for {numbers.duration(status.silent_s)}: it writes its output, or is suspended"
            lines.append(LabelledLine("quiet", quiet))
    if endpoints := state.get("endpoints"):
        runs = status.phase is RunPhase.RUNNING
        lines += endpoint_standing_lines(endpoints, "this run" if runs else "the last run", runs=runs)
    return [*lines, LabelledLine("output", output, pasted=True)]


def _rows(state: Mapping[str, Any]) -> str:
    rows, about = state["rows"], state["estimated_total"]
    if rows["answered"] is None:
        return numbers.UNKNOWN
    words = ("failed", "invalid", "left", "undecided")
    parts = [f"{numbers.count(rows['answered'])} answered"]
    parts += [f"{numbers.count(number)} {word}" for word in words if (number := rows[word])]
    if state["outdated"]:
        parts.append(f"{numbers.count(state['outdated'])} to be sent again")
    if about is not None:
        parts.append(f"of about {numbers.count(about)}")
    return " · ".join(parts)


def _pace(state: Mapping[str, Any]) -> str:
    ceiling = "" if state["ceiling"] is None else f" of up to {numbers.count(state['ceiling'])}"
    return f"{state['rows_per_s'] or 0:.1f} rows/s · {numbers.count(state['in_flight'] or 0)}{ceiling} in flight"


def _cost(state: Mapping[str, Any]) -> str:
    cap = "" if state["max_cost"] is None else f" of at most {numbers.money(state['max_cost'])}"
    runs = state["state"] == "running"
    pace = f" · {numbers.per_hour(state['cost_per_hour'])}" if runs and state.get("cost_per_hour") else ""
    of_mock = " (mock)" if state.get("mock") and state["cost_usd"] is not None else ""
    return f"{numbers.money(state['cost_usd'])}{of_mock}{cap}{pace}"


def _next(status: RunStatus, output: str) -> list[str]:
    if not status.is_over:
        return [f"batchchat export {output} --to parquet -o so-far.parquet"] if status.state["rows"]["answered"] else []
    going_on = [status.state["next_command"]] if status.state["next_command"] else []
    return [*going_on, f"batchchat report {output}"]
