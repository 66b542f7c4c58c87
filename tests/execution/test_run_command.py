"""What to type next: the command of a run, shown again with what must change."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from batchchat.core.next_step import NextStep
from batchchat.execution.ending import RunResult
from batchchat.execution.run_command import KEEP_CHANGED, RETRY_FAILED, RunCommand, next_commands
from batchchat.store.ledger import Ledger
from tests.store.given import answered, failed

COMMAND = RunCommand(
    Path("jobs/my job.yaml"), {"--output": "o.parquet", "--max-cost": "2"}, ("model=m",), ("--yes", "--limit", "5")
)


def result(folder: Path, exit_code: int, *records: Any, **fields: Any) -> RunResult:
    ledger = Ledger(folder)
    for offset, record in enumerate(records):
        ledger.apply(offset, dict(record))
    return RunResult(exit_code=exit_code, elapsed_s=1.0, ledger=ledger, **{"left": 0, **fields})


def test_the_command_does_the_same_again() -> None:
    """Every word of it, quoted so that it can be pasted; a step replaces an option's value and adds the others."""
    again = "batchchat run 'jobs/my job.yaml' --output o.parquet --max-cost 2 --set model=m --yes --limit 5"
    assert COMMAND.text() == again
    raised = shlex.split(COMMAND.text(NextStep(("--max-cost", "12"))))
    assert raised.count("--max-cost") == 1
    assert raised[-2:] == ["--max-cost", "12"]
    assert COMMAND.text(NextStep(retry_failed=True)) == f"{again} --retry-failed"
    retrying = RunCommand(Path("j.yaml"), {}, (), (RETRY_FAILED,))
    assert retrying.text(NextStep(retry_failed=True)) == "batchchat run j.yaml --retry-failed"


def test_the_plain_command_has_no_flags_but_those_that_are_kept() -> None:
    """A limit and a consent were this run's own; what was said of changed rows holds."""
    command = RunCommand(Path("j.yaml"), {}, (), ("--yes", KEEP_CHANGED, "--limit", "5"))
    assert command.plain().text() == "batchchat run j.yaml"
    assert command.plain(KEEP_CHANGED).text() == "batchchat run j.yaml --keep-changed"


def test_a_command_of_several_jobs_names_them_all() -> None:
    """But for a step that changes an option: that is of the one job, and those after it have a command of their own."""
    jobs = (Path("a.yaml"), Path("b.yaml"), Path("c.yaml"))
    command = RunCommand(jobs[1], {"--limit": "9"}, (), ("--yes",), jobs)
    assert command.text() == "batchchat run a.yaml b.yaml c.yaml --limit 9 --yes"
    assert command.text(NextStep(("--limit", "4"))) == "batchchat run b.yaml --yes --limit 4"
    assert command.plain().text() == "batchchat run a.yaml b.yaml c.yaml"
    later = command.after()
    assert later is not None
    assert later.text() == "batchchat run c.yaml --limit 9 --yes"
    assert later.after() is None
    assert COMMAND.after() is None


def test_what_an_endpoint_said_suggests_nothing(tmp_path: Path) -> None:
    """A 401 whose body names a flag of ours is a sentence like any other; the step alone decides."""
    stopped = "HOST refused the key (HTTP 401): Bad key; try --retry-failed."
    commands = next_commands(result(tmp_path, 5, stopped=stopped, left=3), COMMAND, "o.parquet")
    assert not any(RETRY_FAILED in command for command in commands)
    step = NextStep(retry_failed=True)
    (again, _) = next_commands(result(tmp_path, 5, answered(), next_step=step, left=3), COMMAND, "o.parquet")
    assert again.endswith(RETRY_FAILED)


@pytest.mark.parametrize(
    ("exit_code", "second"),
    [
        (4, "batchchat report o.parquet"),
        (5, "batchchat report o.parquet"),
        (6, "batchchat export o.parquet --to parquet -o so-far.parquet"),
        (143, "batchchat export o.parquet --to parquet -o so-far.parquet"),
    ],
)
def test_a_run_that_stopped_goes_on_and_can_be_looked_at(tmp_path: Path, exit_code: int, second: str) -> None:
    """With the report where the output is published, else with what makes a file of it."""
    assert next_commands(result(tmp_path, exit_code, answered(), left=3), COMMAND, "o.parquet") == [
        COMMAND.text(),
        second,
    ]


def test_a_finished_run_retries_what_another_attempt_may_answer(tmp_path: Path) -> None:
    """Timeouts, not a prompt that is too long; and not the rows that this run has just sent again."""
    report = "batchchat report o.parquet"
    timeout, too_long = failed("a"), failed("b", error_kind="context_length")
    assert next_commands(result(tmp_path, 3, too_long), COMMAND, "o.parquet") == [report]
    assert next_commands(result(tmp_path, 3, timeout), COMMAND, "o.parquet") == [
        report,
        COMMAND.plain().text(NextStep(retry_failed=True)),
    ]
    retrying = RunCommand(Path("j.yaml"), {}, (), (RETRY_FAILED,))
    assert next_commands(result(tmp_path, 3, timeout, outdated=1), retrying, "o.parquet") == [retrying.text(), report]
    assert next_commands(result(tmp_path, 0, answered(), left=7), COMMAND, "o.parquet")[0] == COMMAND.plain().text()
