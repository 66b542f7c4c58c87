"""How a run goes on, for who called it from Python."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from batchchat import BudgetError, Job, run
from batchchat.api.next_call import next_call
from batchchat.core.next_step import NextStep


@pytest.mark.parametrize(
    ("step", "sentence"),
    [
        (NextStep(), "The same call picks up where it stopped."),
        (
            NextStep(("--max-cost", "12", "--limit", "5")),
            "The same call with max_cost=12, limit=5 picks up where it stopped.",
        ),
        (NextStep(retry_failed=True), "The same call with resend='failed' picks up where it stopped."),
        (
            NextStep(("--set", "budget.stop_at=null")),
            "The same call with **{'budget.stop_at': None} picks up where it stopped.",
        ),
    ],
)
def test_a_step_in_words_of_python(step: NextStep, sentence: str) -> None:
    """Each change as an argument."""
    assert next_call(step) == sentence


def test_the_suggested_call_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """At its cap the same call would stop again: the suggestion raises it, and then the rows are answered."""
    rows = [json.dumps({"id": f"r{n}", "prompt": f"Say {n}. " * 20}) for n in range(40)]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows))
    job = Job(
        input=tmp_path / "rows.jsonl",
        model="microsoft/WizardLM-2-8x22B",
        endpoint="mock",
        output=tmp_path / "out.parquet",
        params={"max_tokens": 50},
    )
    stopped = run(job, max_cost=0.001, progress="log")
    told = capsys.readouterr().err
    assert stopped.exit_code == 4
    with pytest.raises(BudgetError, match="The same call with max_cost="):
        stopped.check()
    cap = told.partition("The same call with max_cost=")[2].partition(" ")[0]
    assert run(job, max_cost=float(cap), progress="none").exit_code == 0
