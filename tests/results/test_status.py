from __future__ import annotations

import json
import socket
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchchat.errors import OutputError
from batchchat.results.status import KEYS, RunPhase, status_of
from batchchat.store.lock import Lock

HERE = socket.gethostname()


def iso(seconds_ago: float) -> str:
    return datetime.fromtimestamp(time.time() - seconds_ago, UTC).isoformat(timespec="milliseconds")


def told(**more: Any) -> dict[str, Any]:
    return {
        "job": "job.yaml", "output": "out.parquet", "state": "running", "pid": 7, "host": HERE, "started_at": iso(60),
        "updated_at": iso(5),
        "rows": {"total": 9, "answered": 4, "failed": 1, "invalid": 0, "left": 4, "cut_off": 2, "undecided": 0},
        "in_flight": 3, "ceiling": 16, "rows_per_s": 1.5, "cost_usd": 0.25, "max_cost": None, "eta_s": 2.5,
        "exit_code": None, "next_command": "batchchat run job.yaml", "estimated_total": None, "cost_per_hour": None,
        "reason": None, "waiting_for": None, "down_since": None, "stopped_by": None, "outdated": 0, "mock": False,
        "version": "0.1", "environment": {}, **more,
    }  # fmt: skip


@pytest.fixture
def output(tmp_path: Path) -> Path:
    (tmp_path / "out.run").mkdir()
    return tmp_path / "out.parquet"


def write(output: Path, state: Any) -> None:
    text = state if isinstance(state, str) else json.dumps(state)
    output.with_name("out.run").joinpath("run.json").write_text(text)


def test_nobody_holds_the_lock(output: Path) -> None:
    """A run that says it is running while its lock is free was killed, and nothing is in flight."""
    write(output, told())
    found = status_of(output, "out.parquet")
    assert found.phase is RunPhase.KILLED
    assert tuple(found.state) == KEYS
    here = {"job": str(output.parent / "job.yaml"), "output": str(output)}
    here["next_command"] = f"batchchat run {here['job']}"
    assert {**found.state, **dict.fromkeys(("started_at", "updated_at"))} == {
        **{name: value for name, value in told().items() if name in KEYS},
        **here,
        "state": "killed", "in_flight": 0, "rows_per_s": 0.0, "eta_s": None, "started_at": None, "updated_at": None,
    }  # fmt: skip
    assert found.silent_s == pytest.approx(5, abs=2)
    assert found.ran_s == pytest.approx(60, abs=2)


@pytest.mark.parametrize(("state", "code"), [("finished", 0), ("finished", 3), ("stopped", 5), ("stopped", 143)])
def test_it_told_its_end(output: Path, state: str, code: int) -> None:
    """A run that told how it ended stands as it said."""
    write(output, told(state=state, exit_code=code))
    found = status_of(output, "out.parquet")
    assert (found.phase, found.state["state"], found.state["exit_code"]) == (RunPhase.ENDED, state, code)


def test_the_lock_is_held(output: Path) -> None:
    """With the lock held, what was told since it was taken counts; what an earlier run told is only what is kept."""
    before = told(pid=1, state="stopped", exit_code=143)
    write(output, before)
    lock = Lock.take(output.with_name("out.run"), "out.parquet")
    try:
        found = status_of(output, "out.parquet")
        assert (found.phase, found.state["state"]) == (RunPhase.STARTING, "running")
        assert (found.state["exit_code"], found.state["next_command"], found.state["eta_s"]) == (None, None, None)
        assert found.state["rows"] == {
            "total": None,
            "answered": 4,
            "failed": 1,
            "invalid": 0,
            "left": None,
            "cut_off": 2,
            "undecided": 0,
        }
        assert found.state["host"] == HERE
        for name in ("started_at", "updated_at"):
            assert datetime.fromisoformat(found.state[name]).timestamp() == pytest.approx(time.time(), abs=5)
        # A killed run that had the same pid, as the next one has in a container, is not taken for this one.
        write(output, told(pid=found.state["pid"]))
        assert status_of(output, "out.parquet").phase is RunPhase.STARTING
        write(output, told(started_at=iso(0), updated_at=iso(0)))
        assert status_of(output, "out.parquet").phase is RunPhase.RUNNING
        write(output, told(started_at=iso(0), updated_at=iso(0), state="finished", exit_code=0))
        assert status_of(output, "out.parquet").state["state"] == "finished"
        # Nobody was kept out by being looked at.
        with pytest.raises(OutputError):
            Lock.take(output.with_name("out.run"), "out.parquet")
    finally:
        lock.release()
    Lock.take(output.with_name("out.run"), "out.parquet").release()


def test_the_first_run_is_starting(output: Path) -> None:
    """A run that has not told anything yet is running; nothing else is known of it."""
    lock = Lock.take(output.with_name("out.run"), "out.parquet")
    try:
        found = status_of(output, "out.parquet", Path("job.yaml"))
    finally:
        lock.release()
    assert (found.phase, found.state["job"], found.state["state"]) == (RunPhase.STARTING, "job.yaml", "running")
    assert set(found.state["rows"].values()) == {None}


def test_another_host(output: Path) -> None:
    """A run of another host is judged by the age of its last word, since its lock can't be asked from here."""
    write(output, told(host="elsewhere"))
    young = status_of(output, "out.parquet")
    assert (young.phase, young.state["state"], young.state["in_flight"]) == (RunPhase.ON_ANOTHER_HOST, "running", 3)
    write(output, told(host="elsewhere", updated_at=iso(60)))
    old = status_of(output, "out.parquet")
    assert (old.phase, old.state["state"], old.state["in_flight"]) == (RunPhase.ON_ANOTHER_HOST, "killed", 0)


@pytest.mark.parametrize("text", ["", '{"state": "runn', "[]", "{}", '{"state": "dreaming"}', '{"state": []}', "\x00"])
def test_a_state_that_is_none(output: Path, text: str) -> None:
    """A half-written or foreign run.json is as none: with a journal a run that told nothing, without one no run."""
    write(output, text)
    with pytest.raises(OutputError) as caught:
        status_of(output, "out.parquet", Path("my jobs/job.yaml"))
    run_folder = output.with_name("out.run")
    assert str(caught.value) == (
        "out.parquet has no run: there is no journal in out.run. Run it with: batchchat run 'my jobs/job.yaml'"
    )
    (run_folder / "journal-000001.jsonl").touch()
    found = status_of(output, "out.parquet")
    assert (found.phase, found.state["state"], tuple(found.state)) == (RunPhase.WITHOUT_STATE, "stopped", KEYS)


def test_the_run_folder_is_gone(tmp_path: Path) -> None:
    """An output whose run folder was deleted is told from a job that never ran."""
    output = tmp_path / "out.parquet"
    with pytest.raises(
        OutputError, match=r"^out\.parquet has no run: there is no journal in out\.run\. Give the job file or its"
    ):
        status_of(output, "out.parquet")
    output.with_suffix("").mkdir()
    with pytest.raises(OutputError, match=r"^out has no run: there is no journal in out\.run\. "):
        status_of(output.with_suffix(""), "out")  # a folder, and none of a run's parts in it
    output.touch()
    with pytest.raises(OutputError) as caught:
        status_of(output, "out.parquet")
    assert str(caught.value) == (
        "out.parquet is there, but its run folder out.run is not: its state is lost with it."
        " See the result with: batchchat report out.parquet"
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*KEYS, "answered"]), inner, max_size=4)
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(KEYS), JSON), st.sampled_from(["running", "stopped", "finished"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_whatever_run_json_holds(output: Path, state: dict[str, Any], word: str) -> None:
    """Of a run.json with any values at all the form holds, can be printed as JSON, and be told in words."""
    from batchchat.reporting.status import status_line, status_text

    write(output, {**state, "state": word})
    found = status_of(output, "out.parquet")
    assert tuple(found.state) == KEYS
    assert list(found.state["rows"]) == ["total", "answered", "failed", "invalid", "left", "cut_off", "undecided"]
    assert json.loads(json.dumps(found.state, allow_nan=False))
    assert status_text(found, "x")
    assert status_line(found)
