"""`run_job` for the command, a pilot and a Python program alike: it leaves nothing of the process changed."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import os
import platform
import resource
import signal
import threading
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tqdm import tqdm

from batchchat.core.events import Event, Finished, Progress, Started
from batchchat.errors import InputError, UsageError
from batchchat.execution import early_import
from batchchat.execution.context import RunOptions
from batchchat.execution.ending import RunResult
from batchchat.execution.runner import run_job
from batchchat.execution.signals import HANDLED
from batchchat.job import load_job
from batchchat.job.spec import JobSpec
from batchchat.store.journal import Journal
from batchchat.store.segments import scan
from batchchat.text.progress import Bar

OPTIONS = RunOptions(again=lambda _step: "again", plain="plain")


def job(folder: Path, rows: int = 3, more: str = "") -> JobSpec:
    """A job against the embedded endpoint."""
    lines = [json.dumps({"id": f"r{n}", "prompt": f"Question {n}"}) for n in range(rows)] or [
        '{"id": "r0", "prompt": " "}'
    ]
    (folder / "in.jsonl").write_text("\n".join(lines) + "\n")
    path = folder / "job.yaml"
    path.write_text(
        "input: {path: in.jsonl}\nmodel: m\nendpoint: {base_url: mock}\noutput: {path: out.parquet}\n" + more
    )
    return load_job(path, environ={})


def process_state() -> dict[str, Any]:
    """What a program that runs a job in between would not want to find changed."""
    return {
        "signals": [signal.getsignal(number) for number in HANDLED],
        "gc": gc.get_threshold(),
        "tqdm": tqdm.monitor_interval,
        "loop policy": type(asyncio.get_event_loop_policy()),
        "files": resource.getrlimit(resource.RLIMIT_NOFILE),
        "threads": {thread.name for thread in threading.enumerate()},
    }


def test_a_run_leaves_the_process_as_it_was(tmp_path: Path) -> None:
    """Signal handlers, collector, tqdm, event loop policy, limits: the same before and after; its log is its own."""
    before = process_state()
    events: list[Event] = []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (300, hard))  # fewer than 200 requests in flight need
    try:
        limit = process_state()["files"]
        bar = Bar(io.StringIO())
        result = asyncio.run(run_job(job(tmp_path), OPTIONS, [events.append, bar], environ={}))
        assert process_state()["files"] == limit
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert process_state() == before
    assert (result.exit_code, result.ledger.totals.answered) == (0, 3)
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Finished)
    assert any(isinstance(event, Progress) for event in events)
    folder = tmp_path / "out.run"
    assert "3/3 rows" in (folder / "run.log").read_text()
    state = json.loads((folder / "run.json").read_text())
    assert state["state"] == "finished"
    assert state["environment"] == {"python": platform.python_version(), "system": system()}


def system() -> str:
    """What `platform.platform()` says of Linux; of macOS the kernel instead of the product."""
    if platform.system() == "Linux":
        return platform.platform()
    return f"{platform.system()}-{platform.release()}-{platform.machine()}"


def test_a_run_in_a_thread_handles_no_signal(tmp_path: Path) -> None:
    """Only the main thread may: elsewhere the run is the same without."""
    results: list[RunResult] = []
    thread = threading.Thread(
        target=lambda: results.append(
            asyncio.run(run_job(job(tmp_path, more="on_finish: cat > told"), OPTIONS, environ={}))
        )
    )
    thread.start()
    thread.join(60)
    assert [result.exit_code for result in results] == [0]
    assert json.loads((tmp_path / "told").read_text())["exit_code"] == 0


def test_who_calls_is_told_of_the_folder_and_of_the_end_in_order(tmp_path: Path) -> None:
    """The folder when its lock is held, the result before `on_finish`; a subscriber that breaks is left out."""
    calls: list[str] = []

    def broken(_event: Event) -> None:
        raise OSError

    def ended(result: RunResult) -> int:
        calls.append(f"ended {result.exit_code} {(tmp_path / 'told').exists()}")
        return 6  # the summary could not be printed

    spec = job(tmp_path, more="on_finish: cat > told")
    result = asyncio.run(
        run_job(spec, OPTIONS, [broken], environ={}, opened=lambda folder: calls.append(folder.name), ended=ended)
    )
    assert calls == ["out.run", "ended 0 False"]
    assert result.exit_code == json.loads((tmp_path / "told").read_text())["exit_code"] == 6


@pytest.mark.parametrize("answered_before", [False, True])
def test_ctrl_c_before_signals_are_handled_is_no_defect(tmp_path: Path, answered_before: bool) -> None:
    """At a Ctrl-C that comes while a run still imports asyncio cancels its task: SIGINT stopped it, says run.json."""
    if answered_before:
        asyncio.run(run_job(job(tmp_path), OPTIONS._replace(limit=2), environ={}))

    def interrupt(_event: Event) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(run_job(job(tmp_path), OPTIONS, [interrupt], environ={}))
    state = json.loads((tmp_path / "out.run" / "run.json").read_text())
    assert (state["state"], state["stopped_by"], state["exit_code"]) == ("stopped", "by SIGINT", 130)
    assert "exit 130: SIGINT, at once." in (tmp_path / "out.run" / "run.log").read_text()


def test_what_is_refused_is_raised(tmp_path: Path) -> None:
    """An input without a good row sends nothing, and that is told."""
    spec = job(tmp_path, rows=0, more="on_finish: cat > told")
    with pytest.raises(InputError):
        asyncio.run(run_job(spec, OPTIONS, environ={}))
    assert json.loads((tmp_path / "told").read_text())["exit_code"] == 2
    assert "exit 2: in.jsonl has no row" in (tmp_path / "out.run" / "run.log").read_text()


def test_an_input_that_breaks_off_loses_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the disk: what was paid is in the journal before the lock is given up, and nothing is in flight."""
    defaults = Journal.__init__.__kwdefaults__
    assert defaults is not None

    def slow(descriptor: int) -> None:
        time.sleep(0.2)
        os.fdatasync(descriptor)

    monkeypatch.setitem(defaults, "sync", slow)
    spec = job(tmp_path, rows=12)
    later = tmp_path / "later.jsonl"
    later.write_text("\n".join(json.dumps({"id": f"s{n}", "prompt": "Hi"}) for n in range(12)) + "\n")
    spec = replace(spec, input=replace(spec.input, paths=(*spec.input.paths, str(later)), as_given=("in", "later")))

    def gone(event: Event) -> None:
        if isinstance(event, Started):
            later.unlink()

    result = asyncio.run(run_job(spec, OPTIONS, [gone], environ={}))
    assert result.exit_code == 2
    assert "later" in (result.stopped or "")
    journal = scan(tmp_path / "out.run")
    records = [record for _, record in journal]
    assert sum(record["kind"] == "row" for record in records) == result.ledger.totals.answered == 12
    assert records[-1]["kind"] == "hold"
    assert records[-1]["requests"] == 0


def test_a_time_of_day_is_the_next_after_the_command_began(tmp_path: Path) -> None:
    """Where other jobs ran before: 07:30 is not tomorrow's for the job whose turn comes at eight."""
    hour_s = 3600
    clock = datetime.fromtimestamp(time.time() - hour_s)  # noqa: DTZ006 (local time, as the job has it)
    spec = job(tmp_path, more=f'budget: {{stop_at: "{clock:%H:%M}"}}\n')
    began = OPTIONS._replace(began=time.time() - 2 * hour_s)
    with pytest.raises(UsageError, match="which has passed"):
        asyncio.run(run_job(spec, began, environ={}))
    assert asyncio.run(run_job(spec, OPTIONS, environ={})).exit_code == 0
    after = job(tmp_path, more="budget: {stop_at: 1h}\n")
    assert asyncio.run(run_job(after, began, environ={})).exit_code == 0


def test_what_the_end_needs_is_imported_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the first answers are awaited, and in a thread, what writes the output and runs `on_finish` is imported."""
    imported: list[tuple[str, bool]] = []

    def import_module(name: str) -> None:
        imported.append((name, threading.current_thread() is threading.main_thread()))

    monkeypatch.setattr(early_import, "_AFTER_S", 0.0)
    monkeypatch.setattr(early_import, "import_module", import_module)
    result = asyncio.run(run_job(job(tmp_path), OPTIONS))
    assert result.exit_code == 0
    assert imported == [("batchchat.execution.publish", False), ("batchchat.execution.on_finish", False)]
