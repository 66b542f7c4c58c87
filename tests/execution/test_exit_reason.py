"""What the command needs that goes on after a job's own bounds have ended a run."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from batchchat.core.next_step import NextStep
from batchchat.execution.exit_reason import next_step_after_bound
from batchchat.job import Override, load_job
from batchchat.job.spec import JobSpec
from batchchat.policy.budget import SPENT
from batchchat.policy.deadline import TIME_UP
from batchchat.policy.decision import Halt
from batchchat.store.ledger import Ledger
from tests.store.given import answered

JOB = """\
input: {path: in.jsonl}
model: m
endpoint: {base_url: mock}
price: {input: 1, output: 1}
output: {path: out.parquet}
"""


def job(tmp_path: Path, budget: str, *overrides: Override) -> JobSpec:
    path = tmp_path / "job.yaml"
    path.write_text(f"{JOB}budget: {budget}\n")
    return load_job(path, overrides=overrides, environ={})


def ledger(tmp_path: Path, *costs: float) -> Ledger:
    found = Ledger(tmp_path)
    for number, cost in enumerate(costs):
        found.apply(0, {**answered(f"r{number}", cost_usd=cost, possibly_billed=1, possibly_billed_usd=0.5)})
    return found


@pytest.mark.parametrize(
    ("budget", "change"),
    [
        ("{stop_at: 2026-03-01T07:30}", ("--set", "budget.stop_at=null")),
        ("{stop_at: '07:30'}", ()),
        ("{stop_at: 6h}", ()),
    ],
)
def test_only_a_moment_must_be_left_behind(tmp_path: Path, budget: str, change: tuple[str, ...]) -> None:
    """A date that has come would refuse the next run; a time of day and a duration begin anew."""
    stopped = job(tmp_path, budget)
    assert next_step_after_bound(Halt(TIME_UP), stopped, ledger(tmp_path), 5) == NextStep(change)
    if change:
        assert job(tmp_path, budget, Override("--set", *change[1].split("="))).budget.stop_at is None


def test_a_cap_is_raised_for_what_is_left(tmp_path: Path) -> None:
    """By the mean of all that counts: 2 rows came to $4 with what may have been paid; the 3 others get a fifth more."""
    spend = ledger(tmp_path, 1.0, 2.0)
    capped = job(tmp_path, "{max_cost: 4.2}")
    stop = Halt(SPENT, usd=Decimal("0.3"))
    assert next_step_after_bound(stop, capped, spend, 3) == NextStep(("--max-cost", "12"))
    unbounded = Halt(SPENT, usd=Decimal("Infinity"))
    assert next_step_after_bound(unbounded, capped, spend, 3) == NextStep(("--max-cost", "12"))
