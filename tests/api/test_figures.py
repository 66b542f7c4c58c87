"""`estimate` and `report` from Python say what the commands say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from batchchat import Job, UsageError, estimate, report, run


@pytest.fixture
def job(tmp_path: Path) -> Job:
    rows = [{"id": f"r{n}", "kind": "ab"[n % 2], "prompt": f"Say {n}."} for n in range(6)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "job.yaml").write_text(
        "input: {path: rows.jsonl, id: id}\nmodel: microsoft/WizardLM-2-8x22B\nendpoint: {base_url: mock}\n"
        "params: {max_tokens: 8}\noutput: {path: out.parquet}\n"
    )
    return Job(tmp_path / "job.yaml")


def command(*words: object) -> Any:
    done = subprocess.run([sys.executable, "-m", "batchchat", *map(str, words)], capture_output=True, check=True)
    return json.loads(done.stdout)


def test_the_figures_are_those_of_the_commands(job: Job) -> None:
    """To the digit; a pilot's answers are kept, and its rows are not sent again."""
    assert estimate(job).summary == command("estimate", job.path, "--json")
    piloted = estimate(job, pilot=2, progress="none")
    assert (piloted.summary["rows_left"], piloted.summary["pilot"]["rows"]) == (4, 2)
    assert piloted.cost_usd is not None
    assert run(job, progress="none").summary["this_run"]["rows"] == 4
    reported = report(job, by="kind")
    assert reported.summary == command("report", job.path, "--by", "kind", "--json")
    assert reported.to_pandas()["rows_answered"].tolist() == [3, 3]


def test_a_report_of_several_and_its_page(job: Job, tmp_path: Path) -> None:
    """A result and a path stand side by side; the page is written where it is wanted, and not over the output."""
    result = run(job, progress="none")
    both = report(result, job.output)
    assert [output["rows"]["answered"] for output in both.summary["outputs"]] == [6, 6]
    assert "side by side" in str(both)
    page = both.to_html(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text() == page
    with pytest.raises(UsageError, match="is the run's own output"):
        both.to_html(job.output)
    with pytest.raises(UsageError, match="is the job file"):
        report(job).to_html(job.path)
    assert (tmp_path / "job.yaml").read_text().startswith("input:")
    with pytest.raises(UsageError, match="at least one job"):
        report()
    with pytest.raises(UsageError, match="takes jobs, results and paths, and no dict"):
        report({})  # type: ignore[arg-type]


@pytest.mark.parametrize("argument", [{"pilot": 2.5}, {"pilot": "5"}, {"pilot": 0}, {"seed": -1}, {"progress": "x"}])
def test_wrong_arguments_send_nothing(job: Job, argument: dict[str, Any]) -> None:
    """They are refused in words."""
    with pytest.raises(UsageError, match="It takes"):
        estimate(job, **argument)
    assert not job.output.with_suffix(".run").exists()


def test_after_a_pilot_status_says_what_goes_on(job: Job, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The command that runs the whole job."""
    monkeypatch.chdir(tmp_path)
    estimate(Job("job.yaml", concurrency=3), pilot=2, progress="none")
    assert command("status", "job.yaml", "--json")["next_command"] == "batchchat run job.yaml --set concurrency=3"
