"""What a command prints."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from batchchat.cli.output import put, say, say_error, shown, style
from tests.acceptance.job import PATIENCE_S


def test_results_and_notes_have_a_stream_each(capsys: pytest.CaptureFixture[str]) -> None:
    """A pipe gets the result and nothing else."""
    assert put("result")
    say("note")
    say_error("trouble")
    captured = capsys.readouterr()
    assert captured.out == "result\n"
    assert captured.err.splitlines()[0] == "note"
    assert captured.err.splitlines()[1].endswith("trouble")


@pytest.mark.parametrize(("variable", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_no_colour_where_none_is_wanted(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    """NO_COLOR and a dumb terminal get plain text."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert shown(style("x", "red")) == "\x1b[31mx\x1b[0m"
    monkeypatch.setenv(variable, value)
    assert shown(style("x", "red")) == "x"


def _put_to(stdout: int) -> subprocess.CompletedProcess[str]:
    code = (
        "from batchchat.cli.errors import guarded\n"
        "from batchchat.cli.output import put, say\n"
        "with guarded():\n"
        "    say(str(put('x')))\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code], stdout=stdout, stderr=subprocess.PIPE, text=True, check=False, timeout=PATIENCE_S
    )


def test_a_reader_that_has_gone_is_no_error() -> None:
    """`| head` ends a command without a complaint."""
    reader, writer = os.pipe()
    os.close(reader)
    ended = _put_to(writer)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (0, "False\n")


def test_a_full_disk_is_an_error() -> None:
    """A result that could not be written is not passed over."""
    with Path("/dev/full").open("w") as full:
        ended = _put_to(full.fileno())
    assert ended.returncode == 6
    assert "stdout can't be written" in ended.stderr
