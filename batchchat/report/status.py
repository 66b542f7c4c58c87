"""How a run stands, in words: for whoever looks at it from another shell. Pure text of a `Standing`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from batchchat import figures

__all__ = ["How", "Standing", "headline", "status_line", "status_text"]

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


class How(Enum):
    """What is known of a run, beyond running, stopped or finished."""

    GOING = "its lock is held, and it tells how far it is"
    STARTING = "its lock is held, and it has not told anything yet"
    ENDED = "it told how it ended"
    KILLED = "its lock is free, and it never told an end"
    UNHEARD = "it told no end on another host, whose locks can't be asked from here"
    UNTOLD = "its lock is free, it has a journal, and no state that can be read"


@dataclass(frozen=True, slots=True)
class Standing:
    """`state` has the contract's form. `ran_s` is since it began, `silent_s` since its last word; None: unknown."""

    state: Mapping[str, Any]
    how: How
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


def headline(standing: Standing) -> str:
    """One line: which run, and how it stands."""
    name = standing.state["job"] or standing.state["output"]
    return f"{name}: {_words(standing)}"


def status_text(standing: Standing, output: str) -> str:
    """The headline, a blank line, the figures by topic, what to type next. `output` is a path that can be pasted."""
    lines = [headline(standing), "", *(f"  {topic:<10}{text}" for topic, text in _topics(standing, output))]
    commands = _next(standing, output)
    if commands:
        lines.append("")
        lines += [f"{'next' if not number else '':<6}{command}" for number, command in enumerate(commands)]
    return "\n".join(lines)


def status_line(standing: Standing) -> str:
    """The same in one line, for a log of a run that is followed."""
    if standing.how is not How.GOING:
        return headline(standing)
    state = standing.state
    rows = state["rows"]
    done = sum(rows[name] or 0 for name in ("answered", "failed", "invalid"))
    total = "" if rows["total"] is None else f"/{figures.count(rows['total'])}"
    if state["estimated_total"] is not None:
        total = f"/about {figures.count(state['estimated_total'])}"
    parts = [f"{figures.count(done)}{total} rows", _pace(state)]
    if state["cost_usd"] is not None:
        parts.append(_cost(state))
    parts += [f"{figures.count(rows[word])} {word}" for word in ("failed", "invalid") if rows[word]]
    if state["eta_s"]:
        parts.append(f"{figures.duration(state['eta_s'])} left")
    return " · ".join(parts)


def _words(standing: Standing) -> str:
    state = standing.state
    ago = "" if standing.silent_s is None else f" {figures.duration(standing.silent_s)} ago"
    match standing.how:
        case How.GOING:
            return f"running for {figures.duration(standing.ran_s)}, {_process(state)}"
        case How.STARTING:
            began = "" if standing.ran_s is None else f" for {figures.duration(standing.ran_s)}"
            return f"starting{began}, {_process(state)}: it reads its journal and its input"
        case How.ENDED if state["state"] == "finished":
            some = ", some rows failed or are invalid" if state["exit_code"] else ""
            return f"finished{ago}{some}"
        case How.ENDED:
            return f"stopped{ago} {_STOPPED.get(state['exit_code'], 'by a signal')}"
        case How.KILLED:
            return f"killed or broken off: silent{_since(standing)}"
        case How.UNHEARD if standing.is_over:
            return f"silent{_since(standing)}; whether it still runs on {state['host']} can't be asked from here"
        case How.UNHEARD:
            return f"running on {state['host']} by its last word{ago}; its lock can't be asked from here"
        case _:
            return "stopped before it told how far it was; its journal is kept"


def _since(standing: Standing) -> str:
    if standing.silent_s is None:
        return ""
    local = time.localtime(time.time() - standing.silent_s)
    return f" for {figures.duration(standing.silent_s)}, since {time.strftime('%Y-%m-%d %H:%M:%S', local)}"


def _process(state: Mapping[str, Any]) -> str:
    pid = "another process" if state["pid"] is None else f"pid {state['pid']}"
    return pid if state["host"] is None else f"{pid} on {state['host']}"


def _topics(standing: Standing, output: str) -> list[tuple[str, str]]:
    state = standing.state
    topics = [("rows", _rows(state["rows"], state["estimated_total"])), ("cost", _cost(state))]
    if standing.how is How.GOING:
        topics.append(("pace", _pace(state)))
        if state["eta_s"] is not None:
            topics.append(("time", f"{figures.duration(state['eta_s'])} left at this pace"))
        if standing.silent_s is not None and standing.silent_s > _QUIET_S:
            quiet = f"for {figures.duration(standing.silent_s)}: it writes its output, or is suspended"
            topics.append(("quiet", quiet))
    return [*topics, ("output", output)]


def _rows(rows: Mapping[str, int | None], about: int | None) -> str:
    if rows["answered"] is None:
        return figures.UNKNOWN
    parts = [f"{figures.count(rows['answered'])} answered"]
    parts += [f"{figures.count(number)} {word}" for word in ("failed", "invalid", "left") if (number := rows[word])]
    if about is not None:
        parts.append(f"of about {figures.count(about)}")
    return " · ".join(parts)


def _pace(state: Mapping[str, Any]) -> str:
    ceiling = "" if state["ceiling"] is None else f" of up to {figures.count(state['ceiling'])}"
    return f"{state['rows_per_s'] or 0:.1f} rows/s · {figures.count(state['in_flight'] or 0)}{ceiling} in flight"


def _cost(state: Mapping[str, Any]) -> str:
    most = "" if state["max_cost"] is None else f" of at most {figures.money(state['max_cost'])}"
    runs = state["state"] == "running"
    pace = f" · {figures.per_hour(state['cost_per_hour'])}" if runs and state.get("cost_per_hour") else ""
    return f"{figures.money(state['cost_usd'])}{most}{pace}"


def _next(standing: Standing, output: str) -> list[str]:
    if not standing.is_over:
        return (
            [f"batchchat export {output} --to parquet -o so-far.parquet"] if standing.state["rows"]["answered"] else []
        )
    going_on = [standing.state["next_command"]] if standing.state["next_command"] else []
    return [*going_on, f"batchchat report {output}"]
