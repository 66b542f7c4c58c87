"""How a run stands, as text."""

from __future__ import annotations

import re
from typing import Any

import pytest

from batchchat.reporting.status import headline, status_line, status_text
from batchchat.results.status import RunPhase, RunStatus

ROWS = {"total": 12480, "answered": 8200, "failed": 30, "invalid": 10, "left": 4240, "cut_off": 0, "undecided": 0}
STATE: dict[str, Any] = {
    "job": "jobs/chef.yaml", "output": "../out/chef.parquet", "state": "running", "pid": 4121, "host": "night-box",
    "started_at": "2026-11-25T18:02:00.000Z", "updated_at": "2026-11-25T18:21:00.000Z", "rows": ROWS, "in_flight": 200,
    "ceiling": 200, "rows_per_s": 7.3, "cost_usd": 4.12, "max_cost": None, "eta_s": 580.0, "exit_code": None,
    "next_command": "batchchat run jobs/chef.yaml", "estimated_total": None, "reason": None, "waiting_for": None,
    "down_since": None, "stopped_by": None, "outdated": 0, "mock": False,
}  # fmt: skip
NEXT = "next  batchchat run jobs/chef.yaml\n      batchchat report out/chef.parquet"


def standing(how: RunPhase = RunPhase.RUNNING, silent_s: float | None = 0.4, **more: Any) -> RunStatus:
    return RunStatus({**STATE, **more}, how, 1140.0, silent_s)


def stopped(how: RunPhase, silent_s: float | None = 723.0, **more: Any) -> RunStatus:
    over = {"state": "stopped", "in_flight": 0, "rows_per_s": 0.0, "eta_s": None}
    return standing(how, silent_s, **{**over, **more})


def test_running() -> None:
    """A run that goes on: how far, at what cost, how fast, how long still, and the results so far."""
    assert status_text(standing(cost_per_hour=12.481), "out/chef.parquet") == (
        "jobs/chef.yaml: running for 19m 00s, pid 4121 on night-box\n"
        "\n"
        "  rows      8,200 answered · 30 failed · 10 invalid · 4,240 left\n"
        "  cost      $4.1200 · $12.48/h\n"
        "  pace      7.3 rows/s · 200 of up to 200 in flight\n"
        "  time      9m 40s left at this pace\n"
        "  output    out/chef.parquet\n"
        "\n"
        "next  batchchat export out/chef.parquet --to parquet -o so-far.parquet"
    )


def test_of_the_mock() -> None:
    """What the mock's answers cost was not paid, and says so; an unknown cost is unknown."""
    of_mock = standing(mock=True, cost_per_hour=12.481, max_cost=5.0)
    assert "  cost      $4.1200 (mock) of at most $5.0000 · $12.48/h\n" in status_text(of_mock, "out/chef.parquet")
    assert " · $4.1200 (mock) of at most $5.0000 · $12.48/h · " in status_line(of_mock)
    assert "  cost      unknown\n" in status_text(standing(mock=True, cost_usd=None), "out/chef.parquet")


def test_stopped() -> None:
    """A run that was stopped: by what, and the command that goes on."""
    assert status_text(stopped(RunPhase.ENDED, exit_code=143), "out/chef.parquet") == (
        "jobs/chef.yaml: stopped 12m 03s ago by SIGTERM\n"
        "\n"
        "  rows      8,200 answered · 30 failed · 10 invalid · 4,240 left\n"
        "  cost      $4.1200\n"
        "  output    out/chef.parquet\n"
        "\n"
        f"{NEXT}"
    )


def test_little_is_known() -> None:
    """What is unknown is called so, and never 0."""
    rows = dict.fromkeys(ROWS)
    told = stopped(RunPhase.WITHOUT_STATE, job=None, rows=rows, cost_usd=None, next_command=None)
    assert status_text(told, "out/chef.parquet") == (
        "../out/chef.parquet: stopped before it wrote its state; its journal is kept\n"
        "\n"
        "  rows      unknown\n"
        "  cost      unknown\n"
        "  output    out/chef.parquet\n"
        "\n"
        "next  batchchat report out/chef.parquet"
    )


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (
            standing(RunPhase.STARTING),
            "starting for 19m 00s, pid 4121 on night-box: it reads its journal and its input",
        ),
        (
            standing(RunPhase.STARTING, pid=None, host=None),
            "starting for 19m 00s, another process: it reads its journal",
        ),
        (stopped(RunPhase.ENDED, state="finished", exit_code=0), "finished 12m 03s ago"),
        (
            stopped(RunPhase.ENDED, state="finished", exit_code=3),
            "finished 12m 03s ago, some rows failed or are invalid",
        ),
        (stopped(RunPhase.ENDED, exit_code=5), "stopped 12m 03s ago by the endpoint"),
        (stopped(RunPhase.ENDED, exit_code=140), "stopped 12m 03s ago by a signal"),
        (stopped(RunPhase.KILLED), "killed or broken off: silent for 12m 03s, since 20"),
        (stopped(RunPhase.KILLED, None), "killed or broken off: silent"),
        (
            standing(RunPhase.ON_ANOTHER_HOST),
            "running on night-box when last heard of 0.4s ago; its lock can't be tested from here",
        ),
        (
            stopped(RunPhase.ON_ANOTHER_HOST, None),
            "silent; whether it still runs on night-box can't be tested from here",
        ),
    ],
)
def test_headlines(told: RunStatus, said: str) -> None:
    """Each way a run can stand is said in words of its own."""
    assert headline(told).startswith(f"jobs/chef.yaml: {said}")


def test_quiet() -> None:
    """A living run that has not told anything for a while is not made out to be alive and well."""
    text = status_text(standing(silent_s=31.0), "x")
    assert "\n  quiet     for 31s: it writes its output, or is suspended\n" in text


def test_since_when_it_is_silent() -> None:
    """Of a killed run the local time of its last word is told."""
    assert re.search(r" for 12m 03s, since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d$", headline(stopped(RunPhase.KILLED)))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            {},
            "8,240/12,480 rows · 7.3 rows/s · 200 of up to 200 in flight · $4.1200 · 30 failed · 10 invalid"
            " · 9m 40s left",
        ),
        (
            {"cost_usd": None, "eta_s": None, "rows": {**ROWS, "total": None, "failed": 0, "invalid": 0}},
            "8,200 rows · 7.3 rows/s · 200 of up to 200 in flight",
        ),
        (
            {"max_cost": 10, "eta_s": None, "ceiling": None, "rows": {**ROWS, "failed": 0, "invalid": 0}},
            "8,200/12,480 rows · 7.3 rows/s · 200 in flight · $4.1200 of at most $10.0000",
        ),
    ],
)
def test_one_line(more: dict[str, Any], said: str) -> None:
    """A run that is followed in a pipe is a line: what is done, pace, money, trouble, time left."""
    assert status_line(standing(**more)) == said
    assert status_line(stopped(RunPhase.ENDED, exit_code=130)) == "jobs/chef.yaml: stopped 12m 03s ago by SIGINT"


def endpoint_of(name: str, **more: Any) -> dict[str, Any]:
    figures = {"state": "working", "rows": 4_100, "cost_usd": 2.06, "waiting_for": None, "down_since": None}
    return {"name": name, "in_flight": 60, "ceiling": 64, "rows_per_s": 3.5, **figures, **more}


DOWN = {
    "state": "down", "rows": 0, "cost_usd": None, "down_since": "not a time",
    "waiting_for": "it to answer again (gpu2 refuses connections)",
}  # fmt: skip


def test_endpoints_of_a_run_that_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    endpoints = [endpoint_of("gpu1", rows=8_200), endpoint_of("gpu2", **DOWN)]
    assert (
        "  endpoints gpu1: 8,200 answered in this run · $2.0600 · 3.5 rows/s · 60 of up to 64 in flight\n"
        "            gpu2: 0 answered in this run · waiting since not a time for it to answer again (gpu2 refuses"
        " connections)\n"
    ) in status_text(standing(endpoints=endpoints), "out/chef.parquet")


def test_an_endpoint_that_was_down_when_the_run_ended_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the morning too: nothing else says why the run took so long. Their rows are those of the last run alone."""
    monkeypatch.setenv("COLUMNS", "140")
    gone = {"state": "retired", "rows": 7, "cost_usd": None, "waiting_for": "gpu3 refuses the key"}
    endpoints = [endpoint_of("gpu1"), endpoint_of("gpu2", **DOWN), endpoint_of("gpu3", **gone)]
    assert (
        "  endpoints gpu1: 4,100 answered in the last run · $2.0600\n"
        "            gpu2: 0 answered in the last run · was down since not a time, waited for it to answer again (gpu2"
        " refuses connections)\n"
        "            gpu3: 7 answered in the last run · not used any more (gpu3 refuses the key)\n"
    ) in status_text(stopped(RunPhase.ENDED, exit_code=143, endpoints=endpoints), "out/chef.parquet")
