"""`Job`: what it takes, and what it refuses."""

from __future__ import annotations

import pickle
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from batchchat import BatchchatError, Job, UsageError, run

KEYS: dict[str, Any] = {"input": "rows.jsonl", "model": "m", "endpoint": "mock", "output": "out.parquet"}
SECRET = "Bearer sk-0123456789abcdef"


@pytest.mark.parametrize(
    ("source", "keys", "sentence"),
    [
        (3, {}, "takes the path of a job file, or a mapping with its keys, and this is of the type int"),
        (pd.DataFrame(), {}, r"batchchat\.chat_frame\(frame, \.\.\.\)"),
        (None, {"input": pd.DataFrame()}, r"`input` takes paths, .* batchchat\.chat_frame"),
        ({3: 4}, {}, "a key of a job is text, and 3 is of the type int"),
        (None, {"limt": 3}, r"Did you mean `limit`, an argument of run\(\)\?"),
        (None, {"params": {"n": 10**5000}}, "a whole number beyond 64 bits"),
        (None, {"budget": {"max_cost": Decimal("nan")}}, r"budget\.max_cost"),
        (None, {"params": {"at": object()}}, "It takes text, numbers, booleans, None, lists and mappings"),
    ],
)
def test_what_is_no_job_is_refused_in_words(source: Any, keys: dict[str, Any], sentence: str) -> None:
    """By an error of the tree, with the way out."""
    keys = keys if isinstance(source, int | pd.DataFrame) else {**KEYS, **keys}
    with pytest.raises(BatchchatError, match=sentence):
        Job(source, **keys)


@pytest.mark.parametrize("options", [{"limit": "3"}, {"limit": 2.5}, {"resend": [3]}])
def test_wrong_options_are_refused(options: dict[str, Any], tmp_path: Path) -> None:
    """Before anything is sent."""
    with pytest.raises(UsageError, match="It takes"):
        run(Job({**KEYS, "output": str(tmp_path / "out.parquet")}), **options)


def test_a_job_file_stays_the_same_when_the_program_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its path is that of the working directory at the time, in a copy from another process, too."""
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs/job.yaml").write_text(
        "input: {path: rows.jsonl}\nmodel: m\nendpoint: {base_url: mock}\noutput: {path: out.parquet}\n"
    )
    monkeypatch.chdir(tmp_path)
    job = Job("jobs/job.yaml", input="here.jsonl", concurrency=3)
    assert job.spec().input.as_given == ("../here.jsonl",)
    monkeypatch.chdir("/")
    for same in (job, pickle.loads(pickle.dumps(job)), job.override(samples=2)):
        assert same.spec().output.path == tmp_path / "jobs/out.parquet"
        assert same.spec().input.paths == (f"{tmp_path}/jobs/../here.jsonl",)


def test_no_secret_shows() -> None:
    """Not in repr, nor in the job's text, nor in what is suggested to be typed."""
    job = Job({**KEYS, "endpoint": {"base_url": "http://localhost:9/v1", "headers": {"Authorization": SECRET}}})
    changed = job.override({"endpoint.headers.X-Key": SECRET})
    assert changed.spec().endpoint.headers["X-Key"].reveal() == SECRET
    assert "sk-0123" not in repr(changed) + changed.spec().text + str(changed.changes) + repr(changed.spec())


def test_a_result_has_the_columns_that_are_asked_for(tmp_path: Path) -> None:
    """One by its name, several, and none that is not there; of the failed rows the reasons."""
    (tmp_path / "rows.jsonl").write_text('{"id": "a", "prompt": "Hi."}\n{"id": "b"}\n')
    keys = {**KEYS, "input": tmp_path / "rows.jsonl", "output": tmp_path / "out.parquet"}
    result = run(keys, progress="none")
    assert result.to_arrow("id").column_names == ["id"]
    assert result.to_arrow(["status", "id"]).column_names == ["status", "id"]
    assert result.failed[["id", "error_kind"]].to_numpy().tolist() == [["rows.jsonl:2", "invalid_input"]] or (
        result.failed["id"].tolist() == ["b"]
    )
    with pytest.raises(UsageError, match=r"no column `respons`\. Did you mean `response`"):
        result.to_arrow(["id", "respons"])


def test_a_job_of_a_job() -> None:
    """It has the changes, and the first one stays as it is."""
    first = Job({**KEYS, "concurrency": 3})
    second = Job(first, concurrency=5)
    assert (first.spec().concurrency, second.spec().concurrency) == (3, 5)
    assert second.changes == Job(first).override(concurrency=5).changes
