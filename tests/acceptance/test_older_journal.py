"""Runs that an older version left open and resume: each figure is what that version itself gave for them.

`older/README.md` says how they were made. Only figures and rows are compared; sentences may change.
"""

from __future__ import annotations

import csv
import json
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from batchchat.cli import main
from tests.acceptance.job import Job
from tests.acceptance.older.make import FIGURES, RUNS, OlderRun, a_file, answer_all, books, environ, sent
from tests.acceptance.servers import raw_server

NOT_FIGURES = {"job", "output", "next_command", "sources", "notes", "latency_s"}
"""Paths, which the older version's `run.json` gives, sentences, and what differs from one resume to the next."""

NEW_COLUMNS = {"first_token_s", "logprobs", "parse_repaired", "re_asks", "variant"}
"""Those that the older version's output has not."""
AT_RISK_USD = {"killed-with-budget": Decimal("0.003075")}
"""What was in flight at a kill, at most: the older version's JSON report left it out of `possibly_billed`."""

runs = pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
runs_with_output = pytest.mark.parametrize(
    "run", [run for run in RUNS if run.output.exists()], ids=lambda run: run.name
)


@pytest.fixture
def job(run: OlderRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A copy of the run's folder, as the working directory."""
    job = Job(tmp_path)
    shutil.copytree(run.folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return job


def call(*arguments: str) -> str:
    """What a command prints or exports to `rows`."""
    ended = CliRunner().invoke(main, list(arguments))
    assert ended.exit_code == 0, ended.output
    return Path("rows").read_text() if "rows" in arguments else ended.stdout


def figures(text: str) -> dict[str, Any]:
    """The figures of a JSON object, or of the one output of a report."""
    tree = json.loads(text)
    tree = tree["outputs"][0] if "outputs" in tree else tree
    return {name: value for name, value in tree.items() if name not in NOT_FIGURES}


def with_at_risk(report: dict[str, Any], run: OlderRun) -> dict[str, Any]:
    """The older version's `report` with what was at risk in `possibly_billed`, as it is told now."""
    at_risk_usd = AT_RISK_USD.get(run.name)
    if at_risk_usd is None or "by_source" not in report["cost_usd"]:
        return report
    possibly_billed = Decimal(repr(report["cost_usd"]["possibly_billed"])) + at_risk_usd
    return {**report, "cost_usd": {**report["cost_usd"], "possibly_billed": float(possibly_billed)}}


def same(now: Any, before: Any) -> bool:
    """Whether `now` has all that the older version said.

    Keys may have been added, and a kill has a name of its own. A report's total counts the rows that are left, too, and
    these are counted from the rows of the journal, where they were as many as a second before the kill.
    """
    if isinstance(before, dict):
        is_report, is_rows = "by" in before, "invalid" in before and "left" not in before
        names = before.keys() - ({"left"} if is_report else {"total"} if is_rows else set())
        return isinstance(now, dict) and all(name in now and same(now[name], before[name]) for name in names)
    if isinstance(now, dict) and type(before) is int:  # an estimate's `rows` was a number
        return bool(now["total"] == before)
    if isinstance(before, list):
        return len(now) == len(before) and all(map(same, now, before))
    return now == before or (now, before) == ("killed", "stopped")


def rows_by_id(lines: str) -> dict[str, Any]:
    """The rows of a JSONL export, without their times: from the journal and from Parquet they differ by 1 µs."""
    rows = [json.loads(line) for line in lines.splitlines()]
    return {
        row["id"]: {
            name: value for name, value in row.items() if name not in NEW_COLUMNS and not name.endswith("ed_at")
        }
        for row in rows
    }


def columns_of(lines: str, name: str) -> list[dict[str, Any]]:
    """The rows of the export `name`, as they are written, without the columns that are new."""
    rows = (
        csv.DictReader(lines.splitlines(keepends=True))
        if name.endswith(".csv")
        else map(json.loads, lines.splitlines())
    )
    return [{name: value for name, value in row.items() if name not in NEW_COLUMNS} for row in rows]


def journal_rows(job: Job, run: OlderRun) -> list[str]:
    """The id of each answer in the journal."""
    lines = (job.folder / run.run_folder / "journal-000001.jsonl").read_text().splitlines()
    return [record["id"] for record in map(json.loads, lines) if record.get("status") == "answered"]


def as_now(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the older version's output as one that is written now: nested columns stay nested.

    And without the words of an invalid one: it is read again, and says what this version says of it.
    """
    row = {**row, "tags": json.loads(row["tags"])} if isinstance(row.get("tags"), str) else row
    return {**row, "error": None} if row["status"] == "invalid" else row


@runs
def test_figures_and_exports(run: OlderRun, job: Job) -> None:
    """Status, report, estimate and exports of a run that was not resumed are what they were."""
    for name, arguments in FIGURES.items():
        before = (run.reported / name).read_text()
        if name.endswith(".json"):
            before_figures = figures(before)
            if name == "report.json":
                before_figures = with_at_risk(before_figures, run)
            assert same(figures(call(*arguments)), before_figures), name
        else:
            assert columns_of(call(*arguments), name) == columns_of(before, name), name


@pytest.mark.parametrize(
    ("run", "number"),
    [(run, number) for run in RUNS for number in range(len(run.resumes))],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_resume(run: OlderRun, job: Job, number: int) -> None:
    """What was answered is not sent again; money, rows and columns are those of the older version's own resume."""
    before = json.loads((run.reported / "resumed.json").read_text())[number]
    with raw_server(answer_all) as server:
        ended = job.run("--progress", "none", *run.resumes[number], env=environ(server))
    assert (ended.code, sent(server)) == (before["code"], before["sent"]), ended.err
    assert same(books(job.folder, run), before["books"])
    report_before = with_at_risk(figures(json.dumps(before["report"])), run)
    assert same(figures(call(*FIGURES["report.json"])), report_before)

    answered = journal_rows(job, run)
    assert len(set(answered)) == len(answered)
    rows, rows_before = (rows_by_id(text) for text in (call(*FIGURES["export.jsonl"]), exported(run)))
    sent_ids = {f"r{number:02}" for number in before["sent"]}
    assert rows.keys() >= rows_before.keys()
    for row_id in rows_before.keys() - sent_ids:
        assert as_now(rows[row_id]) == as_now(rows_before[row_id])
    if run.output.exists():
        schema, schema_before = (pq.read_schema(a_file(path)) for path in (job.folder / run.output.name, run.output))
        if "tags" in schema.names:
            place = schema.get_field_index("tags")
            assert schema.types[place] == pa.list_(pa.struct([("n", pa.int64())]))
            schema = schema.set(place, schema_before.field("tags"))
        assert without_new(schema).equals(schema_before)


def without_new(schema: pa.Schema) -> pa.Schema:
    """The columns that the older version had as well."""
    return pa.schema([field for field in schema if field.name not in NEW_COLUMNS])


def exported(run: OlderRun) -> str:
    """The older version's JSONL export."""
    return (run.reported / "export.jsonl").read_text()


@runs_with_output
def test_an_output_without_its_run_folder(run: OlderRun, job: Job) -> None:
    """An output that the older version wrote is enough for its report and its export."""
    shutil.rmtree(run.run_folder)
    before = (run.reported / "report-without-run-folder.json").read_text()
    assert same(figures(call("report", run.output.name, "--json")), figures(before))
    lines = call("export", run.output.name, "--to", "jsonl", "-o", "rows")
    assert rows_by_id(lines) == rows_by_id(exported(run))


@runs_with_output
def test_the_output_is_written_again(run: OlderRun, job: Job) -> None:
    """From the older version's journal come the columns, types and rows of the output that it wrote."""
    before = pq.read_table(run.output)
    call("export", "job.yaml", "--to", "parquet", "-o", "again.parquet")
    again = pq.read_table("again.parquet")
    assert without_new(again.schema).equals(before.schema)
    assert again.select(before.schema.names).to_pylist() == before.to_pylist()
