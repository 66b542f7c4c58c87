"""One row that is far too long, in every format: it is one bad record, and the rows after it are read on."""

from __future__ import annotations

import gzip
import json
import resource
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from tests.acceptance.job import Job

LONG = 66 << 20
ROWS = [{"id": name, "prompt": "Hello"} for name in "ab"]


def write(folder: Path, form: str) -> Path:
    """The first good row, one of 66 MiB, the second good row."""
    path = folder / f"in.{form}"
    lines = [json.dumps(row).encode() for row in ROWS]
    if form.startswith("csv"):
        lines = [b"id,prompt\na,Hello", b"b,Hello"]
    begin = b'x,"' if form.startswith("csv") else b'{"id":"x","prompt":"'
    end = b'"' if form.startswith("csv") else b'"}'
    text = lines[0] + b"\n" + begin + b"y" * LONG + end + b"\n" + lines[1] + b"\n"
    if form == "parquet":
        table = pa.table({"id": ["a", "x", "b"], "prompt": ["Hello", "y" * LONG, "Hello"]})
        pq.write_table(table, path, compression="zstd")
    elif form.endswith("gz"):
        path.write_bytes(gzip.compress(text, 1))
    elif form.endswith("zst"):
        path.write_bytes(zstandard.compress(text))
    else:
        path.write_bytes(text)
    return path


@pytest.mark.parametrize("form", ["jsonl", "jsonl.gz", "jsonl.zst", "csv", "csv.zst", "parquet"])
def test_a_row_that_is_too_long(job: Job, form: str) -> None:
    """It is told with the limit; the others are answered."""
    path = write(job.folder, form)
    job.write(input__path=path.name, input__format="prompt")
    ended = job.run()
    assert ended.code == 3, ended.err
    table = job.table()
    assert [(row["id"], row["status"]) for row in table if row["status"] == "answered"] == [
        ("a", "answered"),
        ("b", "answered"),
    ]
    (bad,) = (row for row in table if row["status"] == "invalid")
    assert "longer than 64 MiB" in bad["error"]


@pytest.mark.field
def test_a_small_file_that_is_one_endless_line(tmp_path: Path) -> None:
    """34 KB of zstd hold 1 GiB without a line feed: memory stays what a row may have."""
    path = tmp_path / "in.jsonl.zst"
    with zstandard.open(path, "wb") as file:
        for _ in range(1024):
            file.write(b"y" * (1 << 20))
    (tmp_path / "job.yaml").write_text("input: {path: in.jsonl.zst}\nmodel: m\noutput: {path: out.parquet}\n")

    def bounded() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30))

    ended = subprocess.run(
        [sys.executable, "-m", "batchchat", "validate", "job.yaml", "--set", "endpoint.base_url=mock"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=bounded,
    )
    assert "longer than 64 MiB" in ended.stdout + ended.stderr
