"""Where rows become work: one place says what becomes of each, by what the journal has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from batchchat.core.attempt import Outcome
from batchchat.core.conversation import BadRow, Key, Row, Status
from batchchat.core.record import record_of_outcome
from batchchat.dispatch.work import Work
from batchchat.execution.disposition import Disposition
from batchchat.execution.tasks import ResumeRules, Scripts, looked_up_tasks, new_record_of_bad_row, tasks
from batchchat.store.ledger import Ledger
from tests.dispatch.made import Steps, accepted
from tests.execution.opened import opened

GOOD: dict[str, Any] = {"id": "a", "prompt": "Hi"}


def two_steps(row: Row) -> Steps:
    return Steps(row, steps=2, usd="1")


SCRIPTS = Scripts(lambda row, _: two_steps(row))


def finish(ledger: Ledger, row: Row, script_for: Any = two_steps) -> None:
    """Apply the record that a run writes when every request of the row was accepted."""
    work = Work(script_for(row), 0.0)
    for request in work.script.preview * work.script.steps:  # type: ignore[attr-defined]
        work.attempts.append(accepted(request))
    outcome = work.script.next(work.attempts)
    assert isinstance(outcome, Outcome)
    assert outcome.status is Status.ANSWERED
    ledger.apply(0, dict(record_of_outcome(outcome, work.script.identity, work.spend, 0.0)))


def test_an_answered_row_of_two_requests_is_kept_while_it_is_unchanged(tmp_path: Path) -> None:
    """What is compared is the whole row: by its last request it would be changed for ever. With more it has changed."""
    source, ledger = opened(tmp_path, GOOD), Ledger(tmp_path)
    (row,) = source.read()
    assert isinstance(row, Row)
    finish(ledger, row)
    for read in (tasks, looked_up_tasks):
        (task,) = read(source, SCRIPTS, ledger.index, ResumeRules())
        assert not isinstance(task, BadRow)
        assert task.disposition is Disposition.KEEP
        (changed,) = read(source, Scripts(lambda row, _: Steps(row, steps=3)), ledger.index, ResumeRules())
        assert not isinstance(changed, BadRow)
        assert changed.disposition is Disposition.UNDECIDED


def test_the_bound_of_a_task_is_of_all_its_requests(tmp_path: Path) -> None:
    """Two requests of at most $1 each are $2."""
    (task,) = tasks(opened(tmp_path, GOOD), SCRIPTS, Ledger(tmp_path).index, ResumeRules())
    assert not isinstance(task, BadRow)
    assert task.bound.cost_usd == 2


def test_rows_are_placed_in_the_index_only_where_they_will_be_written(tmp_path: Path) -> None:
    """Who only looks leaves the index as it is, so that memory does not grow with the input."""
    source, index = opened(tmp_path, GOOD, {"id": "b", "prompt": "Ho"}), Ledger(tmp_path).index
    assert [task.entry for task in looked_up_tasks(source, SCRIPTS, index, ResumeRules()) if isinstance(task, tuple)]
    assert len(index) == 0
    assert len(list(tasks(source, SCRIPTS, index, ResumeRules()))) == len(index) == 2
    assert all(index.is_in_input(entry) for entry in range(2))


def test_a_pilot_leaves_the_others_for_later(tmp_path: Path) -> None:
    """Only its own rows are sent; another row that would be is told apart from one that is kept."""
    source, ledger = opened(tmp_path, GOOD, {"id": "b", "prompt": "Ho"}), Ledger(tmp_path)
    rules = ResumeRules(only=lambda key: key == Key("b"))
    assert [
        task.disposition for task in tasks(source, SCRIPTS, ledger.index, rules) if not isinstance(task, BadRow)
    ] == [
        Disposition.LATER,
        Disposition.SEND_NEW,
    ]


def test_a_bad_row_is_recorded_once(tmp_path: Path) -> None:
    """Until it has changed; and not where it was answered when it could still be read."""
    source, ledger = opened(tmp_path, GOOD, "{"), Ledger(tmp_path)
    _, bad = tasks(source, SCRIPTS, ledger.index, ResumeRules())
    assert isinstance(bad, BadRow)
    record = new_record_of_bad_row(bad, ledger.index)
    assert record is not None
    ledger.apply(0, dict(record))
    assert new_record_of_bad_row(bad, ledger.index) is None
    assert new_record_of_bad_row(BadRow(bad.key, bad.ordinal, bad.location, "another error"), ledger.index) is not None
    answered = Ledger(tmp_path)
    finish(answered, Row(bad.key, bad.ordinal, bad.location, []))
    assert new_record_of_bad_row(bad, answered.index) is None
