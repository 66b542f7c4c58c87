"""What `status` and run.json say of runs that went wrong, or never began."""

from __future__ import annotations

import errno
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from batchchat.store import run_json
from tests.acceptance.job import Job, rows, until
from tests.field.endpoint import Asked, End, Step, endpoint, error, ok

FORM = [
    "job", "output", "state", "reason", "waiting_for", "down_since", "pid", "host", "started_at", "updated_at", "rows",
    "in_flight", "ceiling", "rows_per_s", "cost_usd", "max_cost", "eta_s", "exit_code", "next_command",
]  # fmt: skip


def status_of(job: Job) -> dict[str, Any]:
    state: dict[str, Any] = json.loads(job.run("status", "job.yaml", "--json").out)
    assert list(state)[: len(FORM)] == FORM
    return state


def test_a_job_that_never_ran(job: Job) -> None:
    """Exit 2, and nothing on stdout for a script to take for a state."""
    job.write(rows(2))
    ended = job.run("status", "job.yaml", "--json")
    assert (ended.code, ended.out) == (2, "")


def test_a_run_that_was_killed_is_not_told_as_one_that_stopped(job: Job) -> None:
    """The out-of-memory killer leaves no word; sums add up, and the command that goes on is there."""

    def answer(asked: Asked) -> Step:
        return ok() if asked.number <= 5 else End.HANG

    with endpoint(answer) as server:
        job.write(rows(12), endpoint__base_url=server.url, concurrency=4)
        running = job.start("--limit", "9")
        until(lambda: job.acknowledged() >= 5)
        until(lambda: job.state()["rows"]["answered"] >= 5)
        running.signal(signal.SIGKILL)
        running.end()
    state = status_of(job)
    assert (state["state"], state["exit_code"], state["eta_s"]) == ("killed", None, None)
    assert state["next_command"] == "batchchat run job.yaml --limit 4"
    assert ": killed" in job.run("status", "job.yaml").out


def test_a_run_that_waits_for_its_endpoint_says_since_when(job: Job) -> None:
    """An outage is no pace of 0.0 rows/s with 3 hours left."""

    def answer(asked: Asked) -> Step:
        return ok() if asked.number <= 6 else error(503, "upstream is gone")

    with endpoint(answer) as server:
        job.write(rows(40), endpoint__base_url=server.url, concurrency=4)
        running = job.start()
        until((job.run_folder / "run.json").exists)  # before it there may be no run to tell of
        state = until(lambda: (state := status_of(job)).get("down_since") and state)
        text = job.run("status", "job.yaml").out
        running.signal(signal.SIGKILL)
        running.end()
    assert (state["state"], state["eta_s"]) == ("running", None)
    assert state["waiting_for"]
    assert "waiting since" in text
    assert "rows/s" not in text


@pytest.mark.parametrize(
    ("keys", "arguments", "words"),
    [
        ({"endpoint__base_url": "http://127.0.0.1:9/v1"}, (), "answered by the mock"),
        ({"budget__stop_at": "2020-01-01T00:00"}, (), "has passed"),
        ({"input__format": "prompt", "input__column": "nothing"}, (), ""),
    ],
)
def test_a_refused_run_leaves_a_trace(job: Job, keys: dict[str, Any], arguments: tuple[str, ...], words: str) -> None:
    """A timer started it, and its stderr went nowhere: run.log, run.json and `on_finish` have it."""
    job.write(rows(4), on_finish="cat > told")
    assert job.run().code == 0
    job.write(**keys)
    refused = job.run(*arguments)
    assert refused.code == 2, refused.err
    state = job.state()
    assert (state["state"], state["exit_code"], state["rows"]["answered"]) == ("stopped", 2, 4)
    assert words in state["reason"]
    assert "exit 2: " in (job.run_folder / "run.log").read_text().splitlines()[-1]
    told = json.loads((job.folder / "told").read_text())
    assert (told["exit_code"], told["state"], told["reason"]) == (2, "stopped", state["reason"])
    assert "stopped" in job.run("status", "job.yaml").out.splitlines()[0]


def test_strict_leaves_a_trace_too(job: Job) -> None:
    """With the figures that were counted before it was refused."""
    job.write([*rows(3), {"id": "bad", "messages": []}], on_finish="cat > told")
    assert job.run("--strict").code == 2
    state = job.state()
    assert (state["exit_code"], state["rows"]["total"], state["rows"]["left"]) == (2, 4, 4)
    assert json.loads((job.folder / "told").read_text())["text"].count("\n") == 0


def test_a_second_run_does_not_write_over_the_state_of_the_first(job: Job) -> None:
    """It is refused and told; the first run's run.json goes on saying that it runs."""
    with endpoint(lambda asked: ok() if asked.number < 4 else End.HANG) as server:
        job.write(rows(8), endpoint__base_url=server.url, concurrency=8, on_finish="cat >> told")
        first = job.start()
        until(lambda: job.acknowledged() >= 3)
        until((job.run_folder / "run.json").exists)
        refused = job.run()
        assert refused.code == 2
        assert (job.state()["state"], job.state()["pid"]) == ("running", first.process.pid)
        told = json.loads((job.folder / "told").read_text())
        assert (told["exit_code"], "is in use by pid" in told["reason"]) == (2, True)
        assert "exit 2: " in (job.run_folder / "run.log").read_text()
        first.signal(signal.SIGKILL)
        first.end()


def test_a_full_disk_is_told_as_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no new file fits, the last state is written over the one before: else `status` says it was killed."""
    run_json.write_state(tmp_path, {"state": "running", "rows": {"answered": 123456789}})

    def full(_path: Path, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    run_json.write_state(tmp_path, {"state": "stopped", "exit_code": 6, "rows": {}})
    assert run_json.read_state(tmp_path) == {"state": "stopped", "exit_code": 6, "rows": {}}
