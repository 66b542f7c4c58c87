"""The morning of several jobs, as text."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from batchchat.reporting.stages_summary import Refusal, stages_summary
from tests.reporting.test_summary import answered, facts, failed, ledger_of


def test_each_job_has_its_line_and_the_money_is_one_sum(tmp_path: Path) -> None:
    """With the share of each; a job that was refused or did not start has a line and no figures."""
    first = replace(facts(ledger_of(tmp_path, answered(1, cost_usd=0.5))), name="generate")
    second = replace(facts(ledger_of(tmp_path, answered(1, cost_usd=0.25)), output=None), name="judge")
    text = stages_summary([first, second, Refusal("keep", "keep stopped: no")], ["d.yaml"], ["batchchat run x"])
    assert text == (
        "generate: 1 of 1 row answered in 9m 51s for $0.5000\n"
        "judge: 1 of 1 row answered in 9m 51s for $0.2500\n"
        "keep stopped: no\n"
        "d.yaml did not start\n"
        "\n"
        "  cost      $0.7500: generate $0.5000, judge $0.2500\n"
        "  output    out/chef.parquet · 31 MB\n"
        "\n"
        "next  batchchat run x"
    )


def test_what_is_not_in_the_sum_is_told_with_its_job(tmp_path: Path) -> None:
    """Unknown costs, and attempts that may have been billed, with their bound where it is known."""
    ledger = ledger_of(tmp_path, answered(1, cost_usd=None, cost_source=None, possibly_billed=2))
    run = replace(facts(ledger), name="generate")
    bounded = replace(run, off_row_costs=replace(run.off_row_costs, unbounded=0, unsure_usd=Decimal("0.125")))
    known = replace(facts(ledger_of(tmp_path, answered(2), failed(3, "timeout", "slow"))), name="judge")
    text = stages_summary([bounded, known], [], [])
    assert (
        "  cost      <$0.0001: judge <$0.0001\n"
        "            unknown for 1 row of generate\n"
        "            not in it: 2 attempts of generate that may have been billed, at\n"
        "            most $0.1250\n"
        "  failed    judge: 1 timeout  r3: slow\n"
    ) in text
    assert "may have been billed\n" in stages_summary([run, known], [], []).replace("\n            ", " ")
