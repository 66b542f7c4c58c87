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


def check_label() -> None:
    """Each review has a label."""
    assert pq.read_table("out/labels.parquet", columns=["response"])["response"].null_count == 0


def check_compare() -> None:
    """Every question has an answer of each model at each temperature, and the page is written."""
    answers = "select variant_model, count(*), count(distinct id) from 'out/compared.parquet' group by all"
    assert [row[1:] for row in duckdb.execute(answers).fetchall()] == [(40, 20), (40, 20)]
    report = call("report", "compare.yaml", "--by", "variant_model", "--html", "out/compare.html")
    assert report.code == 0
    assert Path("out/compare.html").exists()


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


def check_judge() -> None:
    """Each answer has a verdict, and the line of SQL at the end of the judge writes the good ones as training data."""
    scores = [row["score"] for row in pq.read_table("out/verdicts.parquet").to_pylist()]
    (sql,) = re.findall(r"^#   (copy (?:.|\n#  )+?train.jsonl')$", Path("judge.yaml").read_text(), re.MULTILINE)
    duckdb.sql(sql.replace("\n#", "\n"))
    lines = [json.loads(line) for line in Path("out/train.jsonl").read_text().splitlines()]
    assert 0 < len(lines) == sum(score >= 4 for score in scores) < len(scores) == 80
    assert all([message["role"] for message in line["messages"]] == ["user", "assistant"] for line in lines)


# What an example's run leaves, as its job file promises.
CHECKS = {"label": check_label, "judge": check_judge, "compare": check_compare, "regenerate": check_regenerate}


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
    """The wheel's copies of jobs and data are where `init` looks for them."""
    build = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    folder = PACKAGED.relative_to(REPOSITORY).as_posix()
    assert build["force-include"] == {name: f"{folder}/{name}" for name in ("jobs", "sample_data")}
