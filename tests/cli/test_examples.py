"""`init --example`: what it writes, and that each example does as it is what it says."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from batchchat.cli.examples import EXAMPLES, PACKAGED, example_files
from batchchat.job.schema import schema_text
from tests.cli.called import call

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_it_says_what_to_type_next() -> None:
    """The files of an example, what they are, and the command that runs it."""
    called = call("init", "reviews", "--example", "label")
    assert (called.code, called.err) == (0, "")
    assert called.out == (
        "reviews/label.yaml: a label for each row of a CSV\n"
        "reviews/reviews.csv: sample data\n"
        "reviews/job.schema.json: what an editor completes and checks the job by\n"
        "\n"
        "It runs as it is, at the embedded mock endpoint:\n"
        "  batchchat run reviews/label.yaml\n"
        "Then read reviews/label.yaml: its comments say what to change for data and a model of yours.\n"
    )


def sql_of(job: str) -> str:
    """The SQL in the comments at the end of a job file."""
    _, _, tail = Path(job).read_text().partition("in DuckDB:\n")
    return "\n".join(line.removeprefix("#") for line in tail.splitlines())


def check_label() -> None:
    """Each review has a label and a score, which the job's own SQL joins to the table."""
    labels = duckdb.execute("select label, score from 'out/labels.parquet'").fetchall()
    assert len(labels) == 30
    assert {label for label, _ in labels} == {"positive", "negative", "mixed"}
    assert all(1 <= score <= 5 for _, score in labels)
    assert len(duckdb.execute(sql_of("label.yaml")).fetchall()) == 30


def check_compare() -> None:
    """Every question has an answer of each model at each temperature, and the page is written."""
    answers = "select variant_model, count(*), count(distinct id) from 'out/compared.parquet' group by all"
    assert [row[1:] for row in duckdb.execute(answers).fetchall()] == [(40, 20), (40, 20)]
    report = call("report", "compare.yaml", "--by", "variant_model", "--html", "out/compare.html")
    assert report.code == 0
    assert Path("out/compare.html").exists()


def check_extract() -> None:
    """What the schema asks for is in columns with its types."""
    table = pq.read_table("out/extracted.parquet")
    assert {str(table.schema.field(name).type) for name in ("customer", "topic")} == {"string"}
    assert str(table.schema.field("urgent").type) == "bool"
    assert all(item["quantity"] >= 1 for items in table["items"].to_pylist() for item in items or [])
    assert {topic for topic, _, _ in duckdb.execute(sql_of("extract.yaml")).fetchall()} <= set(
        table["topic"].to_pylist()
    )


def check_judge() -> None:
    """Each answer has a score, the good ones are written as conversations, and a changed question is judged anew."""
    duckdb.execute(sql_of("judge.yaml"))
    lines = [json.loads(line) for line in Path("out/train.jsonl").read_text().splitlines()]
    judged = duckdb.execute("select score, question, input_response from 'out/judged.parquet'").fetchall()
    whole = duckdb.execute("select 1 from 'out/generated.parquet' where finish_reason = 'stop'").fetchall()
    assert len(judged) == len(whole) > 35
    good = {(question, response) for score, question, response in judged if score >= 4}
    assert {tuple(message["content"] for message in line["messages"]) for line in lines} == good
    questions = Path("questions.csv")
    questions.write_text(questions.read_text().replace("Why does bread dough need to rest?", "Why does dough rest?"))
    called = call("run", "generate.yaml", "judge.yaml", "--json")
    assert [job["this_run"]["rows"] for job in json.loads(called.out)["jobs"]] == [2, 2]


def check_regenerate() -> None:
    """The export has the users' messages of the file with new answers; the old ones are in `reference`."""
    assert call("export", "regenerate.yaml", "--to", "sharegpt", "-o", "new.jsonl").code == 0
    original = json.loads(Path("conversations.sharegpt.json").read_text())
    written = [json.loads(line) for line in Path("new.jsonl").read_text().splitlines()]
    assert len(written) == len(original) == 12
    for old, new in zip(original, written, strict=True):
        before, after = old["conversations"], new["conversations"]
        assert [turn["from"] for turn in before] == [turn["from"] for turn in after]
        for old_turn, new_turn in zip(before, after, strict=True):
            assert (old_turn["value"] == new_turn["value"]) == (old_turn["from"] != "gpt")
        assert json.loads(new["reference"]) == [turn["value"] for turn in before if turn["from"] == "gpt"]


# What an example's run leaves, as its job file promises.
CHECKS = {
    "label": check_label,
    "compare": check_compare,
    "extract": check_extract,
    "judge": check_judge,
    "regenerate": check_regenerate,
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_runs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written into a folder, an example runs without a key, reads and writes there, and does what its job file says."""
    monkeypatch.delenv("DEEPINFRA_TOKEN", raising=False)
    assert call("init", "--example", name).code == 0
    texts = [Path(job).read_text() for job in EXAMPLES[name].jobs]
    assert not any(re.search(r"\.\./|jobs/|sample_data", text) for text in texts)
    called = call("run", *EXAMPLES[name].jobs)
    assert called.code == 0, called.err
    CHECKS[name]()


def test_several_examples_share_a_folder() -> None:
    """The schema of an earlier job stays; a job or data that is there already is not written over."""
    assert call("init").code == 0
    assert call("init", "--example", "label").code == 0
    assert Path("job.schema.json").read_text() == schema_text() + "\n"
    Path("label.yaml").unlink()
    called = call("init", "--example", "label")
    assert called.code == 2
    assert "reviews.csv is there already, and init overwrites nothing" in called.err
    assert not Path("label.yaml").exists()


def test_help_lists_them() -> None:
    """The help has each example's name and what it is, and an unknown name is refused with those there are."""
    shown = " ".join(call("init", "--help").out.split())
    assert all(f"{name} ({example.summary})" in shown for name, example in EXAMPLES.items())
    refused = call("init", "--example", "labels")
    assert refused.code == 2
    assert all(f"'{name}'" in refused.err for name in EXAMPLES)


def test_comments_stay_in_their_column() -> None:
    """A path that got shorter does not pull the comment beside it to the left."""
    written = example_files("label")["label.yaml"].splitlines()
    original = (REPOSITORY / "jobs/label.yaml").read_text().splitlines()
    assert [line.find("  # ") for line in written] == [line.find("  # ") for line in original]


def test_the_wheel_has_them() -> None:
    """The wheel has the jobs and data that `init` writes, where it looks for them, and the note on the data."""
    build = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    folder = PACKAGED.relative_to(REPOSITORY).as_posix()
    files = {file for name in EXAMPLES for file in example_files(name)} | {"README.md"}
    paths = {f"{'jobs' if file.endswith('.yaml') else 'sample_data'}/{file}" for file in files}
    assert build["force-include"] == {path: f"{folder}/{path}" for path in paths}
