"""`run` and `run_async`, as people call them."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import resource
import signal
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import pytest
from tqdm import tqdm

import batchchat
from batchchat import Job, JobError, UsageError, run, run_async
from batchchat.execution.signals import HANDLED


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, Any]:
    rows = [{"id": f"r{n}", "prompt": f"Say {n}."} for n in range(5)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {
        "input": tmp_path / "rows.jsonl",
        "model": "m",
        "endpoint": "mock",
        "output": tmp_path / "out.parquet",
        "params": {"max_tokens": 8},
        "progress": "none",
    }


def process_state() -> Any:
    return {
        "handlers": [signal.getsignal(number) for number in HANDLED],
        "gc": (gc.get_threshold(), gc.get_freeze_count(), gc.isenabled()),
        "policy": type(asyncio.get_event_loop_policy()),
        "tqdm": (tqdm.monitor_interval, tqdm.monitor, len(getattr(tqdm, "_instances", ()))),
        "threads": [thread.name for thread in threading.enumerate()],
        "open files": resource.getrlimit(resource.RLIMIT_NOFILE),
        "warnings": list(warnings.filters),
        "directory": Path.cwd(),
        "streams": (sys.stdin, sys.stdout, sys.stderr),
        "logging": list(logging.root.handlers),
    }


def test_a_run_of_keywords(keys: dict[str, Any], tmp_path: Path) -> None:
    """The rows, the summary and the exit code are those of the command; the process stays as it was."""
    before = process_state()
    result = run(Job(**{name: value for name, value in keys.items() if name != "progress"}), progress="bar")
    assert process_state() == before
    assert (result.exit_code, result.path, result.summary["rows"]["answered"]) == (0, tmp_path / "out.parquet", 5)
    assert result.check() is result
    assert result.to_pandas()["id"].tolist() == [f"r{n}" for n in range(5)]
    assert result.to_polars(["id"]).shape == (5, 1)
    assert result.failed.empty


def test_in_a_running_loop(keys: dict[str, Any]) -> None:
    """`run` and `run_async` both work there, and the second pays nothing."""
    job = Job(**{name: value for name, value in keys.items() if name != "progress"})

    async def both() -> tuple[batchchat.Result, batchchat.Result]:
        return run(job, progress="none"), await run_async(job, progress="none")

    first, second = asyncio.run(both())
    assert (first.summary["this_run"]["rows"], second.summary["this_run"]["rows"]) == (5, 0)


def test_what_is_refused_is_raised(keys: dict[str, Any]) -> None:
    """A wrong key of the job, and a wrong option, before anything is sent."""
    del keys["progress"]
    with pytest.raises(JobError, match="concurency"):
        run(Job(**keys), concurency=3)
    with pytest.raises(UsageError, match="takes auto, bar, log, none"):
        run(Job(**keys), progress="loud")
