"""Jobs whose rows are in an object store: what holds for files on this machine holds for them."""

from __future__ import annotations

import json
import re
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from functools import partial
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchchat.sources import remote_stream
from batchchat.sources.source import Source
from tests.acceptance.job import Job, rows, until
from tests.acceptance.servers import mock_thread
from tests.s3 import KEY_ID, S3, SECRET_KEY
from tests.sources.web import Web, web_server

pytest.importorskip("obstore", reason="obstore is not installed (extra `stores`)")

SIGNATURE = "4f1e6c0d9a8b7c6d5e4f3a2b"


@pytest.fixture
def web() -> Iterator[Web]:
    with web_server() as web:
        yield web


def lines(count: int, start: int = 0) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows(count, start))


def test_a_run_and_what_comes_before_and_after_it(job: Job, s3: S3) -> None:
    """validate, run, resume; the second run reads no row again, and a third sends what is new."""
    bucket = s3.bucket()
    s3.put(bucket, "in/a.jsonl", lines(20))
    s3.put(bucket, "in/b.jsonl", lines(20, 20) + b"{\n")
    job.write(input__path=f"s3://{bucket}/in/")
    assert f"s3://{bucket}/in/b.jsonl:21: " in job.run("validate", "job.yaml").out
    ended = job.run()
    assert ended.code == 3
    assert "40 rows answered" in ended.headline.replace("40 of 41", "40")
    assert {row["id"] for row in job.table() if row["status"] == "invalid"} == {f"s3://{bucket}/in/b.jsonl:21"}
    with patch.object(Source, "read", side_effect=AssertionError("the input was read")):
        assert job.run().headline == ended.headline
    s3.put(bucket, "in/c.jsonl", lines(5, 100))
    assert "40 finished before are kept" in job.run().err
    assert sum(row["status"] == "answered" for row in job.table()) == 45
    for path in job.folder.rglob("*"):
        assert not path.is_file() or not re.search(f"{KEY_ID}|{SECRET_KEY}".encode(), path.read_bytes()), path


def test_parquet_and_columns_of_folders(job: Job, s3: S3) -> None:
    bucket = s3.bucket()
    for language in ("de", "fr"):
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({"id": [f"{language}{n}" for n in range(3)], "prompt": ["Hello"] * 3}), sink)
        s3.put(bucket, f"in/lang={language}/part-0.parquet", sink.getvalue().to_pybytes())
    job.write(input__path=f"s3://{bucket}/in/", input__where="lang == 'fr'", input__random=2)
    for command in ("preview", "estimate", "run"):
        ended = job.run(command, "job.yaml")
        assert ended.code == 0, ended.err
    assert [row["lang"] for row in job.table()] == ["fr", "fr"]


def test_an_object_that_is_replaced_in_mid_run(job: Job, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was answered is kept, and the same command goes on with the object that is there then."""
    monkeypatch.setattr(remote_stream, "_FIRST_CHUNK_BYTES", 4096)
    monkeypatch.setattr(remote_stream, "_CHUNK_BYTES", 4096)
    web.content = lines(500)

    def replace_in_mid_run() -> None:
        if job.run_folder.exists() and job.acknowledged() > 20:
            web.etag = '"v2"'

    web.before = replace_in_mid_run
    with mock_thread(latency_s=0) as mock:
        job.write(input__path=web.url("in.jsonl"), endpoint__base_url=mock.url)
        ended = job.run()
        assert ended.code == 2
        assert f"{web.url('in.jsonl')} was replaced while it was being read. Every finished row is kept" in ended.err
        assert 20 < job.acknowledged() < 500
        assert job.run().code == 0
    assert job.acknowledged() == len(job.table()) == 500


@pytest.mark.parametrize("count", [1, 12])
def test_a_slow_store_holds_up_no_answer(job: Job, web: Web, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Parquet, in one file and in many: what was sent is recorded while the store is still to answer."""
    monkeypatch.setattr(remote_stream, "_CHUNK_BYTES", 4096)
    sink = pa.BufferOutputStream()
    table = pa.table({"prompt": [f"Hello {n} " + "x" * 300 for n in range(240 // count)]})
    pq.write_table(table, sink, row_group_size=20, compression="none", use_dictionary=False)
    web.content = sink.getvalue().to_pybytes()
    job.write(input__path=[web.url(f"{n}.parquet") for n in range(count)], input__id=None, dedupe=False, concurrency=50)
    held: list[int] = []
    with mock_thread(latency_s=0.1) as mock:
        job.write(endpoint__base_url=mock.url)

        def hold() -> None:
            if (sent := mock.stats()["requests"]) and len(held) < 3:
                held.append(sent)
                until(lambda: job.acknowledged() >= sent, f"{sent} answers while the store is silent")
                held[-1] = 0

        web.before = hold
        ended = job.run()
    assert ended.code == 0, ended.err
    assert held == [0, 0, 0]
    assert len(job.table()) == 240


def test_a_signature_is_shown_nowhere(job: Job, web: Web) -> None:
    """Not in messages, the journal, the output, or the command that is suggested; it still tells the same input."""
    web.content = lines(4)
    url = web.url(f"in.jsonl?X-Amz-Credential=me&X-Amz-Signature={SIGNATURE}")
    job.write(input__path="${ROWS_URL}")
    ended = job.run("--limit", "2", env={"ROWS_URL": url})
    assert ended.code == 0
    assert web.requests[0]["path"].endswith(SIGNATURE)
    renewed = job.run("--input", url.replace(SIGNATURE, SIGNATURE[::-1]), "--limit", "1")
    assert "2 finished before are kept" in renewed.err
    assert "--input '${INPUT_PATH}'" in renewed.out + renewed.err
    web.script = ["403"] * 20
    refused = job.run("validate", "job.yaml", env={"ROWS_URL": url})
    assert refused.errors == [
        f"error: {web.url('in.jsonl')} can't be read: permission denied (HTTP 403). The URL needs access, or has"
        " expired."
    ]
    shown = f"{ended.out}{ended.err}{renewed.out}{renewed.err}{refused.err}".encode()
    for path in job.folder.rglob("*"):
        shown += path.read_bytes() if path.is_file() else b""
    for secret in (SIGNATURE, SIGNATURE[::-1]):
        assert secret.encode() not in shown


def test_a_password_is_sent_and_not_shown(job: Job, web: Web) -> None:
    web.content = lines(2)
    job.write(input__path=web.url("in.jsonl").replace("//", "//me:pass%2Fword-1@"))
    ended = job.run()
    assert ended.code == 0
    assert web.requests[0]["authorization"] == "Basic " + b64encode(b"me:pass/word-1").decode()
    assert b"word-1" not in job.output.read_bytes() + f"{ended.out}{ended.err}".encode()


def test_what_is_not_there_is_refused_before_anything_is_sent(job: Job, s3: S3) -> None:
    job.write(input__path="s3://no-such-bucket/in/")
    ended = job.run()
    assert (ended.code, ended.errors) == (2, ["error: s3://no-such-bucket: there is no such bucket. Check the URL."])
    job.write(input__path="s3://no-such-bucket/in.jsonl")
    ended = job.run(env={"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "HOME": str(job.folder)})
    assert ended.code == 2
    assert "the environment has no credentials. Set AWS_ACCESS_KEY_ID" in ended.err


def test_an_output_that_the_input_would_read(job: Job, s3: S3) -> None:
    bucket = s3.bucket()
    s3.put(bucket, "d/a.jsonl", lines(1))
    for output in (f"s3://{bucket}/d/out.parquet", f"s3://{bucket}/d/out"):
        job.write(input__path=f"s3://{bucket}/d/", output__path=output)
        ended = job.run()
        assert ended.code == 2
        assert f"s3://{bucket}/d/" in ended.errors[0]
        assert "`output.path`" in ended.errors[0] or output in ended.errors[0]
    assert s3.keys(bucket) == ["d/a.jsonl"]


def test_without_the_extra_it_says_what_to_install(job: Job) -> None:
    job.write(input__path="s3://bucket/in.jsonl")
    with patch.dict(sys.modules, {"obstore": None}):
        ended = job.run()
    assert (ended.code, ended.errors) == (
        2,
        ["error: s3://bucket/in.jsonl: s3:// needs the extra `stores`. Install it: pip install 'batchchat[stores]'"],
    )


@pytest.mark.field
def test_100_000_rows_from_s3(job: Job, s3: S3) -> None:
    """Killed twice, resumed: every row once."""
    bucket = s3.bucket()
    for part in range(4):
        s3.put(bucket, f"in/part-{part}.jsonl", lines(25_000, part * 25_000))
    job.write(input__path=f"s3://{bucket}/in/", concurrency=200)

    def reached(count: int) -> bool:
        time.sleep(0.5)  # the whole journal is read to count it
        return job.run_folder.exists() and job.acknowledged() > count

    for kill in (20_000, 60_000):
        running = job.start(env=s3.environ)
        until(partial(reached, kill), f"{kill} rows", 300)
        running.process.kill()
        running.end()
    assert job.start(env=s3.environ).end(300).code == 0
    assert len({row["id"] for row in job.table()}) == job.acknowledged() == 100_000
