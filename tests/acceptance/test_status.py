"""`batchchat status` beside real runs: one going on, one killed, one stopped, one finished."""

from __future__ import annotations

import json
import re
import shlex
import signal
import socket
import subprocess
from typing import Any

import pytest

from tests.acceptance.job import PATIENCE_S, Job, rows, until
from tests.acceptance.servers import Asked, completion, http, raw_server
from tests.cli.called import Called, call

NONE = type(None)
FORM: dict[str, tuple[type, ...]] = {
    "job": (str, NONE), "output": (str,), "state": (str,), "reason": (str, NONE), "waiting_for": (str, NONE),
    "down_since": (str, NONE), "pid": (int, NONE), "host": (str, NONE),
    "started_at": (str, NONE), "updated_at": (str, NONE), "rows": (dict,), "in_flight": (int, NONE),
    "ceiling": (int, NONE), "rows_per_s": (int, float, NONE), "cost_usd": (int, float, NONE),
    "max_cost": (int, float, NONE), "eta_s": (int, float, NONE), "exit_code": (int, NONE), "next_command": (str, NONE),
    "estimated_total": (int, NONE),
    "cost_per_hour": (int, float, NONE),
    "stopped_by": (str, NONE), "outdated": (int, NONE), "mock": (bool, NONE),
}  # fmt: skip
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
SPAN = r"[\d.]+s"


def look(*arguments: str) -> Called:
    called = call("status", *arguments)
    assert (called.code, called.err) == (0, "")
    return called


def state_of(source: str) -> dict[str, Any]:
    """The object of --json, whose form is held here."""
    called = look(source, "--json")
    state: dict[str, Any] = json.loads(called.out)
    assert called.out.count("\n") == 1
    assert list(state) == list(FORM)
    for name, kinds in FORM.items():
        assert type(state[name]) in kinds, name
    assert list(state["rows"]) == ["total", "answered", "failed", "invalid", "left", "cut_off", "undecided"]
    assert all(type(count) in (int, NONE) for count in state["rows"].values())
    assert re.fullmatch(TIME, state["updated_at"])
    assert state["started_at"] is None or re.fullmatch(TIME, state["started_at"])
    return state


def held_at_7(asked: Asked) -> bytes | None:
    return None if asked.said == "Question 7" else http(200, completion())


def test_from_beginning_to_end(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """Running, killed, running again, stopped by a signal, finished: each is told as it is, by job file and output."""
    monkeypatch.chdir(job.folder)

    with raw_server(held_at_7) as server:
        job.write(rows(8), endpoint__base_url=server.url)
        never = call("status", "job.yaml")
        assert (never.code, never.out) == (2, "")
        assert never.err.startswith("error: out.parquet has no run: ")

        running = job.start()
        state = until(lambda: (found := call("status", "out.parquet", "--json")).code == 0 and json.loads(found.out))
        assert state["state"] == "running"
        until(lambda: state_of("out.parquet")["rows"]["answered"] == 7)
        state = state_of("job.yaml")
        moving = {name: state[name] for name in ("updated_at", "rows_per_s", "cost_per_hour")}
        assert state == state_of("out.parquet") | moving
        assert (state["state"], state["pid"], state["host"]) == ("running", running.process.pid, socket.gethostname())
        assert (state["job"], state["output"]) == ("job.yaml", "out.parquet")
        assert state["rows"] == {
            "total": 8,
            "answered": 7,
            "failed": 0,
            "invalid": 0,
            "left": 1,
            "cut_off": 0,
            "undecided": 0,
        }
        assert (state["in_flight"], state["ceiling"], state["exit_code"]) == (1, 16, None)
        text = re.sub(r"[\d.]+ rows/s", "N rows/s", re.sub(rf"for {SPAN}", "for SPAN", look("out.parquet").out))
        text = re.sub(r"\$[\d.]+/h", "$N/h", text)
        assert re.sub(rf"  time      {SPAN} left at this pace\n", "", text) == (
            f"job.yaml: running for SPAN, pid {running.process.pid} on {socket.gethostname()}\n"
            "\n"
            "  rows      7 answered · 1 left\n"
            "  cost      <$0.0001 · $N/h\n"
            "  pace      N rows/s · 1 of up to 16 in flight\n"
            "  output    out.parquet\n"
            "\n"
            "next  batchchat export out.parquet --to parquet -o so-far.parquet\n"
        )

        running.signal(signal.SIGKILL)
        running.end()
        state = state_of("job.yaml")
        assert (state["state"], state["exit_code"], state["in_flight"]) == ("killed", None, 0)
        assert state["next_command"] == "batchchat run job.yaml"
        assert re.fullmatch(
            rf"job\.yaml: killed or broken off: silent for {SPAN}, since \S+ \S+\n"
            r"\n  rows      7 answered · 1 left\n  cost      <\$0\.0001\n  output    out\.parquet\n"
            r"\nnext  batchchat run job\.yaml\n      batchchat report out\.parquet\n",
            look("job.yaml").out,
        )

        again = job.start()
        until(lambda: state_of("job.yaml")["in_flight"] == 1)
        assert state_of("job.yaml")["pid"] == again.process.pid
        again.signal(signal.SIGTERM)
        again.says("no new requests")
        again.signal(signal.SIGTERM)
        assert again.end().code == 143
        state = state_of("job.yaml")
        assert (state["state"], state["exit_code"]) == ("stopped", 143)
        assert re.match(rf"job\.yaml: stopped {SPAN} ago by SIGTERM\n", look("out.parquet").out)

        server.release(lambda _: http(200, completion()))
        assert job.run().code == 0

    state = state_of("job.yaml")
    assert (state["state"], state["exit_code"], state["next_command"]) == ("finished", 0, None)
    assert re.fullmatch(
        rf"job\.yaml: finished {SPAN} ago\n\n  rows      8 answered\n  cost      <\$0\.0001\n"
        r"  output    out\.parquet\n\nnext  batchchat report out\.parquet\n",
        look("job.yaml").out,
    )
    (job.folder / "out.run").rename(job.folder / "gone.run")
    gone = call("status", "out.parquet")
    assert gone.code == 2
    assert "is there, but its run folder out.run is not" in gone.err


def test_watching(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run is followed to its end: in JSON, in lines of a pipe, in place on a terminal; or until nobody reads on."""
    monkeypatch.chdir(job.folder)
    with raw_server(held_at_7) as server:
        job.write(rows(8), endpoint__base_url=server.url)
        last = job.start()
        until(lambda: call("status", "job.yaml").code == 0 and state_of("job.yaml")["in_flight"] == 1)
        lines = job.start("status", "job.yaml", "--watch", "--json")
        plain = job.start("status", "out.parquet", "--watch")
        screen = job.terminal("status", "out.parquet", "--watch", columns=40)
        screen.shows("rows/s · 1 of")
        until(lambda: re.search(r"\x1b\[\d+A\x1b\[J\x1b\[33mjob\.yaml: running", screen.screen))
        screen.process.send_signal(signal.SIGINT)
        code, seen = screen.end()
        assert code == 130
        assert "Traceback" not in seen
        assert "error" not in seen
        assert all(len(re.sub(r"\x1b\[\d*[A-Zm]", "", line)) <= 40 for line in seen.splitlines())
        until(
            lambda: all(
                b"running" in seen._parts["stdout"] or b"7/8" in seen._parts["stdout"] for seen in (lines, plain)
            )
        )
        script = f"{shlex.join(job.command('status', 'job.yaml', '--watch'))} | head -1"
        head = subprocess.run(
            ["bash", "-c", script], env=job.environ(), capture_output=True, text=True, timeout=PATIENCE_S, check=True
        )
        assert (head.stdout.count("\n"), head.stderr) == (1, "")
        server.release(lambda _: http(200, completion()))
        assert last.end().code == 0
    told = [json.loads(line) for line in lines.end().out.splitlines()]
    assert [list(state) for state in told] == [list(FORM)] * len(told)
    assert (told[0]["state"], told[-1]["state"]) == ("running", "finished")
    ended = plain.end()
    assert (ended.code, ended.err) == (0, "")
    *going, end = ended.out.splitlines()
    assert going
    assert all(re.match(r"7/8 rows · \d\.\d rows/s · 1 of up to 16 in flight · <\$0\.0001", line) for line in going)
    assert re.fullmatch(rf"job\.yaml: finished {SPAN} ago", end)


def test_of_the_mock(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of the embedded mock says so of its cost; a refused run of a real endpoint keeps that."""
    monkeypatch.chdir(job.folder)
    job.write(rows(2), endpoint__base_url="mock")
    assert job.run().code == 0
    assert state_of("job.yaml")["mock"] is True
    assert re.search(r"  cost      \S+ \(mock\)\n", look("job.yaml").out)

    job.write(rows(3), endpoint__base_url="http://127.0.0.1:9/v1")
    assert job.run().code == 2
    assert state_of("job.yaml")["mock"] is True
