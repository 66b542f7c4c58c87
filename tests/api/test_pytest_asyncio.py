"""`run` and `run_async` in tests of a user, under pytest-asyncio, whose plugin is not that of our own tests."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

TESTS = """
import pytest
from batchchat import Job, run, run_async

JOB = dict(input="rows.jsonl", model="m", endpoint="mock", params={"max_tokens": 8})


@pytest.mark.asyncio
async def test_awaited():
    result = await run_async(Job(output="a.parquet", **JOB), progress="none")
    assert result.summary["rows"]["answered"] == 2


@pytest.mark.asyncio
async def test_called_in_the_loop():
    assert run(Job(output="b.parquet", **JOB), progress="none").exit_code == 0
"""


@pytest.mark.skipif(find_spec("pytest_asyncio") is None, reason="pytest-asyncio is not installed")
def test_a_users_tests_pass(tmp_path: Path) -> None:
    """In strict mode, in the loop of each test."""
    (tmp_path / "rows.jsonl").write_text('{"prompt": "One."}\n{"prompt": "Two."}\n')
    (tmp_path / "test_it.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"]
    ended = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "2 passed" in ended.stdout, ended.stdout + ended.stderr
