"""Errors become sentences and exit codes."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from batchchat.cli.errors import guarded
from batchchat.errors import BudgetError, EndpointError, InputError, JobError, MachineError, OutputError


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (InputError("no rows"), 2),
        (OutputError("in use"), 2),
        (BudgetError("spent"), 4),
        (EndpointError("no key"), 5),
        (MachineError("disk full"), 6),
        (KeyboardInterrupt(), 130),
    ],
)
def test_each_error_has_its_exit_code(error: BaseException, exit_code: int) -> None:
    """A script can tell from the exit code whose fault it was."""
    with pytest.raises(SystemExit) as exit_, guarded():
        raise error
    assert exit_.value.code == exit_code


def test_each_fault_of_a_job_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """All that is wrong with a job file is printed at once."""
    with pytest.raises(SystemExit), guarded():
        raise JobError(["`model` is missing.", "`inptu` is no key."])
    assert capsys.readouterr().err.splitlines() == ["error: `model` is missing.", "error: `inptu` is no key."]


def test_errors_of_click_are_left_to_click() -> None:
    """Usage errors are printed with the command's usage line."""
    with pytest.raises(click.UsageError), guarded():
        raise click.UsageError("no such option")


def test_a_defect_leaves_its_traceback_without_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The traceback goes to run.log where there is a run folder, with the values of secret variables redacted."""
    monkeypatch.setenv("SOME_API_KEY", "sk-verysecretvalue")

    def fail() -> None:
        with guarded() as boundary:
            boundary.folder = tmp_path
            raise ValueError("sk-verysecretvalue")

    with pytest.raises(SystemExit) as exit_:
        fail()
    log = (tmp_path / "run.log").read_text()
    assert exit_.value.code == 1
    assert "ValueError" in log
    assert "verysecret" not in log
    assert str(tmp_path / "run.log") in capsys.readouterr().err


def test_a_defect_without_a_run_folder_has_a_file_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before a run has a folder, the traceback is in a new file, which the message names."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(SystemExit), guarded():
        raise ValueError("x")
    (log,) = tmp_path.iterdir()
    assert str(log) in capsys.readouterr().err
