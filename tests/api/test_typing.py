"""What `mypy --strict` makes of a user's program."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
from typing import assert_type

import pandas as pd
import polars as pl
import pyarrow as pa

from batchchat import BatchchatError, Estimate, Job, JobError, Report, Result
from batchchat import chat_frame, estimate, report, run, run_async

job = Job("job.yaml", concurrency=8)
assert_type(job.override({"retry.max_wait": 5}), Job)
result = run(job, limit=10, resend="failed", max_cost=5)
assert_type(result, Result)
assert_type(run({"model": "m"}).check(), Result)
assert_type(result.exit_code, int)
assert_type(result.to_pandas(["id"]), pd.DataFrame)
assert_type(result.to_arrow(), pa.Table)
assert_type(result.to_polars(), pl.DataFrame)
assert_type(result.failed, pd.DataFrame)
assert_type(estimate("job.yaml"), Estimate)
assert_type(report(job, result, "out.parquet", by="model"), Report)
assert_type(chat_frame(pd.DataFrame(), model="m", prompt="text"), pd.DataFrame)
assert_type(chat_frame(pl.DataFrame(), model="m", prompt="text"), pl.DataFrame)


async def wait() -> Result:
    return await run_async(job)


def faults(error: BatchchatError) -> list[str]:
    return error.faults if isinstance(error, JobError) else [f"{error.exit_code}"]
"""

MISTAKES = """
from batchchat import Result, chat_frame, run, runn
run()
run("job.yaml", limit="10")
chat_frame([], prompt="text")
Result.to_panda
"""
EXPECTED = ["attr-defined", "call-arg", "arg-type", "call-arg", "attr-defined"]


@pytest.mark.field
def test_a_program_is_checked(tmp_path: Path) -> None:
    """Mypy knows the types of results and frames, and finds a wrong name, argument and type."""
    pytest.importorskip("mypy", reason="mypy is not installed")
    program, mistakes = tmp_path / "program.py", tmp_path / "mistakes.py"
    program.write_text(PROGRAM)
    mistakes.write_text(MISTAKES)
    config = tmp_path / "mypy.ini"
    config.write_text("[mypy]\n")
    options = ["--strict", "--config-file", str(config), "--cache-dir", str(tmp_path / "cache")]
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", *options, program, mistakes],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert not checked.stderr
    errors = [line for line in checked.stdout.splitlines() if ": error: " in line]
    assert [line.rpartition("[")[2].rstrip("]") for line in errors] == EXPECTED, checked.stdout
    assert [line.partition(":")[0] for line in errors] == ["mistakes.py"] * len(EXPECTED), checked.stdout
