"""Output to a real S3 server: whole or not at all, whatever is killed, and whoever else writes."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.acceptance.job import Job, rows
from tests.object_server import ObjectServer
from tests.s3 import KEY_ID, S3, SECRET_KEY
from tests.s3_proxy import Proxy, proxy_of


def table(server: ObjectServer, bucket: str, key: str) -> list[dict[str, Any]]:
    """The rows of the Parquet object `key`."""
    found: list[dict[str, Any]] = pq.read_table(pa.BufferReader(server.get(bucket, key))).to_pylist()
    return found


def result_of(server: ObjectServer, bucket: str, output: str) -> list[dict[str, Any]] | None:
    """The rows that a reader by manifest sees; None where there is no manifest."""
    manifests = sorted(key for key in server.keys(bucket) if key.startswith(f"{output}/manifest-"))
    if not manifests:
        return None
    manifest = json.loads(server.get(bucket, manifests[-1]))
    parts = [table(server, bucket, f"{output}/{part['path']}") for part in manifest["parts"]]
    assert [len(part) for part in parts] == [part["rows"] for part in manifest["parts"]]
    return [row for part in parts for row in part]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


def test_a_file(job: Job, s3: S3) -> None:
    """One object, put whole; the run folder is beside the job, and the same command sends and uploads nothing more."""
    bucket = s3.bucket()
    job.write(rows(30), output__path=f"s3://{bucket}/deep/out.parquet")
    ended = job.run("--json", env=s3.environ)
    assert ended.code == 0, ended.err
    summary = json.loads(ended.out)
    assert summary["output"] == f"s3://{bucket}/deep/out.parquet"
    assert summary["output_store"]["files"] == summary["output"]
    assert s3.keys(bucket) == ["deep/out.parquet"]
    assert [row["id"] for row in table(s3, bucket, "deep/out.parquet")] == [f"r{n:04}" for n in range(30)]
    assert job.run_folder.is_dir()
    before = s3.client.head_object(Bucket=bucket, Key="deep/out.parquet")["LastModified"]
    again = job.run(env=s3.environ)
    assert again.code == 0
    assert f"s3://{bucket}/deep/out.parquet" in again.out
    assert "not needed" in again.err
    assert s3.client.head_object(Bucket=bucket, Key="deep/out.parquet")["LastModified"] == before


def test_parts(job: Job, s3: S3) -> None:
    """Parts under a name of their own, and a manifest that has their rows; a further run replaces the result whole."""
    bucket = s3.bucket()
    job.write(rows(25), output__path=f"s3://{bucket}/out/", output__part_rows=10)
    first = job.run("--limit", "15", env=s3.environ)
    assert first.code == 0, first.err
    assert len(result_of(s3, bucket, "out") or ()) == 15
    second = job.run("--json", env=s3.environ)
    assert second.code == 0, second.err
    assert [row["id"] for row in result_of(s3, bucket, "out") or ()] == [f"r{n:04}" for n in range(25)]
    pattern = json.loads(second.out)["output_store"]["files"]
    prefix = pattern.removeprefix(f"s3://{bucket}/").removesuffix("*.parquet")
    assert sorted(key for key in s3.keys(bucket) if key.startswith(prefix)) == [
        f"{prefix}part-{number:05}.parquet" for number in range(3)
    ]
    assert len(s3.keys(bucket)) == 2 + 3 + 2
    job.write(rows(26))
    assert job.run(env=s3.environ).code == 0
    assert len(s3.keys(bucket)) == 3 + 3 + 2, "of the results before, one is kept"


@pytest.fixture
def proxy(s3: S3) -> Iterator[Proxy]:
    with proxy_of(s3.endpoint) as proxy:
        yield proxy


@pytest.mark.parametrize("name", ["out.parquet", "out"])
def test_two_writers(tmp_path: Path, s3: S3, proxy: Proxy, name: str) -> None:
    """Both begin where nothing is: the one that ends first wins; the other is told, and has its rows."""
    bucket = s3.bucket()
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
    first, second, elsewhere = Job(tmp_path / "first"), Job(tmp_path / "second"), s3.bucket()
    first.write(rows(5), output__path=f"s3://{elsewhere}/{name}")
    second.write(rows(3), output__path=f"s3://{bucket}/{name}")
    assert first.run(env=s3.environ).code == 0

    def publish_first() -> None:
        """Let the first run's objects appear: what it puts is moved, since a process would take too long here."""
        for key in s3.keys(elsewhere):
            s3.put(bucket, key, s3.get(elsewhere, key))

    is_last_step = re.compile(r"PUT .*/(out\.parquet|manifest-000001\.json)").fullmatch
    proxy.reset(lambda _, line: bool(is_last_step(line)), "before", publish_first)
    ended = second.run(env=s3.environ | {"AWS_ENDPOINT_URL": proxy.endpoint})
    assert proxy.acted
    assert ended.code == 6
    assert ended.errors == [
        f"stopped: s3://{bucket}/{name} was written by another run while this one went on. Its result is kept, and"
        " nothing of this run is there. Every finished row is kept; write them to a file with: batchchat export out.run"
        " -o FILE.parquet"
    ]
    result = table(s3, bucket, name) if name.endswith("parquet") else result_of(s3, bucket, name)
    assert len(result or ()) == 5
    assert len(s3.keys(bucket)) == (1 if name.endswith("parquet") else 2)
    assert second.run("export", "out.run", "-o", "mine.parquet").code == 0
    assert len(second.table(second.folder / "mine.parquet")) == 3
    refused = second.run(env=s3.environ)
    assert refused.code == 2
    assert "was not written by the run in out.run" in refused.err


@pytest.mark.parametrize("name", ["out.parquet", "out"])
def test_fresh_keeps_the_result(job: Job, s3: S3, name: str) -> None:
    """--fresh sets the run folder aside, and what is in the store is kept: a dated copy, or the parts and manifest."""
    bucket = s3.bucket()
    job.write(rows(5), output__path=f"s3://{bucket}/{name}")
    assert job.run(env=s3.environ).code == 0
    shutil.rmtree(job.run_folder)
    before = s3.keys(bucket)
    refused = job.run(env=s3.environ)
    assert refused.code == 2
    assert s3.keys(bucket) == before
    assert refused.errors == [
        f"error: s3://{bucket}/{name} is there, and was not written by the run in out.run, so it can't be continued and"
        " its rows would be paid for again. Name another `output.path`, or run with --fresh, which keeps it."
    ]
    job.write(rows(7))
    ended = job.run("--fresh", env=s3.environ)
    assert ended.code == 0, ended.err
    aside = re.search(r"set aside +s3://[^/]+/(\S+)", ended.out)
    assert aside is not None, ended.out
    if name == "out":
        assert len(result_of(s3, bucket, name) or ()) == 7
        assert sum("/manifest-" in key for key in s3.keys(bucket)) == 2
        assert aside[1] == "out/manifest-000001.json"
    else:
        assert len(table(s3, bucket, name)) == 7
        assert len(table(s3, bucket, aside[1])) == 5


def test_a_store_that_fails_at_the_end(job: Job, s3: S3, proxy: Proxy) -> None:
    """Exit 6 with the way out; the rows are there, and the next run only uploads."""
    bucket = s3.bucket()
    job.write(rows(5), output__path=f"s3://{bucket}/out")
    environ = s3.environ | {"AWS_ENDPOINT_URL": proxy.endpoint}
    proxy.refuses = lambda line: 403 if line.startswith("PUT") and line.endswith(".parquet") else None
    ended = job.run(env=environ)
    assert ended.code == 6
    assert "permission denied (HTTP 403)" in ended.err
    assert "Every finished row is kept in out.run. Run the same command again: nothing is sent twice" in ended.err
    assert result_of(s3, bucket, "out") is None
    assert json.loads(job.run("status", "job.yaml", "--json").out)["output"] == f"s3://{bucket}/out"
    proxy.refuses = lambda _line: None
    rows_before = job.acknowledged()
    assert job.run(env=environ).code == 0
    assert job.acknowledged() == rows_before == 5
    assert len(result_of(s3, bucket, "out") or ()) == 5


def test_refused_before_anything_is_sent(job: Job, s3: S3, proxy: Proxy) -> None:
    """No bucket, no permission, no server, no credentials: exit 2, and no row is sent."""
    job.write(rows(3), output__path="s3://no-such-bucket/out")
    cases = [
        (s3.environ, "s3://no-such-bucket: there is no such bucket. Check the URL."),
        (
            {**s3.environ, "AWS_ENDPOINT_URL": proxy.endpoint},
            "s3://no-such-bucket/out can't be written: permission denied (HTTP 403)",
        ),
        ({**s3.environ, "AWS_ACCESS_KEY_ID": ""}, "the environment has no credentials"),
    ]
    proxy.refuses = lambda _line: 403
    for environ, words in cases:
        checked = job.run("validate", "job.yaml", env=environ)
        ended = job.run(env=environ)
        assert (checked.code, ended.code) == (2, 2)
        assert words in checked.err
        assert words in ended.err
        assert job.acknowledged() == 0
        log = (job.run_folder / "run.log").read_text() if (job.run_folder / "run.log").exists() else ""
        assert SECRET_KEY not in checked.err + ended.err + ended.out + log
        assert KEY_ID not in checked.err + ended.err + ended.out + log


@pytest.mark.parametrize("output", ["out", "out.parquet"])
def test_validate_asks_the_stores_and_writes_nothing(job: Job, s3: S3, output: str) -> None:
    """It says what it does not know; of a journal's copy the bucket must be there, too."""
    bucket = s3.bucket()
    job.write(rows(3), output__path=f"s3://{bucket}/{output}", store__ship_journal=f"s3://{bucket}/journals")
    checked = job.run("validate", "job.yaml", env=s3.environ)
    assert checked.code == 0, checked.err
    said = f"s3://{bucket}/{output} and s3://{bucket}/journals can be reached. Whether objects can be put there is not"
    assert said in " ".join(checked.out.split())
    assert s3.keys(bucket) == []
    assert not job.run_folder.exists()
    for where in ({"path": f"s3://no-such-bucket/{output}"}, {"path": f"s3://{bucket}/{output}"}):
        job.write(output=where, store__ship_journal="s3://no-such-bucket/journals")
        checked = job.run("validate", "job.yaml", env=s3.environ)
        assert checked.code == 2
        assert checked.errors == ["error: s3://no-such-bucket: there is no such bucket. Check the URL."]


def test_a_store_without_conditions(job: Job, s3: S3, proxy: Proxy) -> None:
    """A store that ignores If-None-Match can't keep two runs apart, and is refused."""
    bucket = s3.bucket()
    proxy.drops_headers = {"if-none-match"}
    job.write(rows(3), output__path=f"s3://{bucket}/out")
    ended = job.run(env=s3.environ | {"AWS_ENDPOINT_URL": proxy.endpoint})
    assert ended.code == 2
    assert "ignores If-None-Match or If-Match" in ended.err
    assert s3.keys(bucket) == []


def test_without_the_extra(job: Job, s3: S3) -> None:
    """The extra that is missing is named, before anything is sent."""
    job.write(rows(3), output__path=f"s3://{s3.bucket()}/out")
    with patch.dict("sys.modules", {"obstore": None}):
        ended = job.run(env=s3.environ)
    assert ended.code == 2
    assert "pip install 'batchchat[stores]'" in ended.err


def test_status_report_and_export(job: Job, s3: S3) -> None:
    """They read the run folder, by the job or by its name, and say where the output is."""
    bucket = s3.bucket()
    job.write(rows(3), output__path=f"s3://{bucket}/out.parquet")
    assert job.run(env=s3.environ).code == 0
    for source in ("job.yaml", "out.run"):
        status = json.loads(job.run("status", source, "--json").out)
        assert (status["state"], status["output"]) == ("finished", f"s3://{bucket}/out.parquet")
        assert json.loads(job.run("report", source, "--json").out)["outputs"][0]["rows"]["answered"] == 3
        assert job.run("export", source, "-o", "all.jsonl").code == 0
    for command in ("status", "report"):
        refused = job.run(command, f"s3://{bucket}/out.parquet")
        assert refused.code == 2
        assert "Give the job file, or the run folder" in refused.err
