from __future__ import annotations

from pathlib import Path

import pytest

from batchchat.errors import JobError
from batchchat.job import load_job, load_output

JOB = """
input: {path: rows.jsonl}
model: ${MODEL}
endpoint: {base_url: "http://localhost:9/v1", api_key_env: LOCAL_KEY}
output: {path: "${OUT:-here}.parquet"}
"""


def test_the_file_beside_the_job_fills_what_the_environment_lacks(tmp_path: Path) -> None:
    """The environment comes first; an empty variable counts as missing; a `$` in a key is one."""
    (tmp_path / "job.yaml").write_text(JOB)
    (tmp_path / ".env").write_text("# ours\nexport MODEL='from file'\nLOCAL_KEY=a$b${MODEL}c\nOUT=file\nNOTHING\n")
    job = load_job(tmp_path / "job.yaml", environ={"OUT": "environment", "MODEL": ""})
    assert (job.model, job.output.path.name) == ("from file", "environment.parquet")
    assert job.endpoint.api_key is not None
    assert job.endpoint.api_key.reveal() == "a$b${MODEL}c"
    assert "a$b" not in repr(job)
    assert load_output(tmp_path / "job.yaml", environ={}).name == "file.parquet"


def test_a_file_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    """It is not passed over: the key may be in it."""
    (tmp_path / "job.yaml").write_text(JOB)
    (tmp_path / ".env").write_bytes(b"MODEL=\xff\n")
    with pytest.raises(JobError, match=r"\.env: can't be read: not UTF-8\. Correct that, or remove the file\.$"):
        load_job(tmp_path / "job.yaml", environ={})
