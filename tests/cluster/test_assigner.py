"""What a worker is told when it begins."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from batchchat.cluster.assigner import Assigner
from batchchat.cluster.assignment import Assignment, WorkerMark
from batchchat.cluster.spent import NOTHING_SPENT
from batchchat.execution.send_plan import SendTerms
from batchchat.pricing.for_job import rates_for
from batchchat.store.ledger import Ledger
from tests.job.given import MOCK, load
from tests.store.given import answered


def assigned(folder: Path, job_text: str, *marks: WorkerMark) -> tuple[list[Assignment], list[str]]:
    """What these workers are told, of which two are at work at a time, and whose spending the lessor waits for."""
    job = load(job_text)
    ledger, expected = Ledger(folder), list[str]()
    ledger.apply(0, {"kind": "run", "format": 1, "endpoint": job.host})
    ledger.apply(100, {**answered("a", cost_usd=0.5)})
    context: Any = SimpleNamespace(job=job, environ={"HTTPS_PROXY": "p"})
    lessor: Any = SimpleNamespace(expect=expected.append)
    terms = SendTerms(ledger, rates_for(job), stop_at=7.0)
    assigner = Assigner(context, terms, folder, [1], workers=2, lessor=lessor)
    return [assigner.assign(mark, ()) for mark in marks], expected


def test_the_first_worker_counts_what_was_spent_before(tmp_path: Path) -> None:
    """One does, and the one that replaces it: the cap is leased to all as what is left of it."""
    marks = WorkerMark(1, 1, 1), WorkerMark(0, 1, 2), WorkerMark(1, 2, 3, replaces=1)
    assignments, expected = assigned(tmp_path, MOCK, *marks)
    assert [one.spent_before.paid_usd for one in assignments] == [Decimal("0.5"), 0, Decimal("0.5")]
    assert assignments[1].spent_before == NOTHING_SPENT
    assert expected == ["1"]


def test_a_worker_has_its_part_of_the_job(tmp_path: Path) -> None:
    """Its share of what may be in flight; failures in succession are the run's to count, and `on_finish` to start."""
    job = f'{MOCK}concurrency: 7\nretry: {{stop_after_failures: 3}}\non_finish: ["true"]\n'
    ((one,), _) = assigned(tmp_path, job, WorkerMark(0, 1, 1))
    assert (one.job.concurrency, one.job.on_finish, one.stop_at, one.base) == (4, None, 7.0, [1])
    assert one.job.retry.stop_after_failures > 10**9
    assert (one.totals.answered, one.environ) == (1, {"HTTPS_PROXY": "p"})
    assert one.answered_models == {answered("a")["model"]}


def test_a_worker_elsewhere_has_the_environment_of_its_machine(tmp_path: Path) -> None:
    ((one,), _) = assigned(tmp_path, f"{MOCK}cluster: {{engine: ray}}\n", WorkerMark(0, 1, 1))
    assert one.environ is None
