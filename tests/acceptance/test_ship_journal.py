"""The journal in an object store: a machine that vanishes with its disk loses what it had not shipped, and no more."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

from batchchat.execution.shipping import EVERY_S
from tests.acceptance.job import Job, rows, until
from tests.acceptance.servers import mock_thread
from tests.s3 import S3
from tests.s3_proxy import proxy_of

COUNT = 60


@pytest.fixture(autouse=True)
def often() -> Iterator[None]:
    """Ship twenty times a second."""
    with patch("batchchat.execution.shipping.EVERY_S", 0.05):
        yield


@pytest.fixture
def machines(tmp_path: Path, s3: S3) -> tuple[Job, Job, str]:
    """Two machines with the same job, and the bucket that it ships to."""
    bucket = s3.bucket()
    jobs = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        job = Job(tmp_path / name)
        job.write(rows(COUNT), store__ship_journal=f"s3://{bucket}/journals")
        jobs.append(job)
    return jobs[0], jobs[1], bucket


def journal_in(s3: S3, bucket: str, name: str = "out.run") -> bytes:
    """The first segment as it was shipped, put together without our code."""
    prefix = f"journals/{name}/000001/journal-000001.jsonl/"
    return b"".join(s3.get(bucket, key) for key in sorted(s3.keys(bucket)) if key.startswith(prefix))


def test_a_machine_that_vanished_after_the_end(machines: tuple[Job, Job, str], s3: S3) -> None:
    """The copy is the journal, byte for byte; on another machine the run is finished, and nothing is sent."""
    first, second, bucket = machines
    ended = first.run("--limit", "40", env=s3.environ)
    assert ended.code == 0, ended.err
    assert f"journal copied to s3://{bucket}/journals/out.run each" in ended.err
    assert journal_in(s3, bucket) == first.journal_file.read_bytes()
    assert not any(key.endswith("owner.json") for key in s3.keys(bucket))
    shutil.rmtree(first.folder)
    ended = second.run(env=s3.environ)
    assert ended.code == 0, ended.err
    assert "fetched that this machine did not have" in ended.err
    assert [row["id"] for row in second.table()] == [f"r{n:04}" for n in range(COUNT)]
    assert sum(line["kind"] == "row" for line in second.journal()) == COUNT, "no row was sent again"


@pytest.mark.field
def test_a_machine_that_is_killed(machines: tuple[Job, Job, str], s3: S3) -> None:
    """Another one is refused while nobody says that it has vanished; then it sends what had not been shipped."""
    first, second, bucket = machines
    count = 400
    with mock_thread(latency_s=0.1) as mock:
        for job in machines[:2]:
            job.write(rows(count), endpoint__base_url=mock.url, concurrency=4)
        running = first.start(env=s3.environ)
        until(lambda: journal_in(s3, bucket).count(b'"kind":"row"') >= 5, "5 shipped rows")
        time.sleep(EVERY_S / 2)
        os.kill(running.process.pid, signal.SIGKILL)
        running.end()
        shipped = journal_in(s3, bucket)
        assert first.journal_file.read_bytes().startswith(shipped)
        refused = second.run(env=s3.environ)
        assert refused.code == 2
        assert f"s3://{bucket}/journals/out.run is the journal of pid {running.process.pid} on" in refused.err
        ended = second.run("--yes", env=s3.environ)
        assert ended.code == 0, ended.err
        again = mock.stats()["requests"] - count
        kept = shipped.count(b'{"kind":"row"')
        assert again <= first.acknowledged() - kept + 4, "no more than what was not shipped, and what was in flight"
        print(f"{first.acknowledged()} rows on the lost disk, {kept} of them shipped, {again} sent again")
    assert [row["id"] for row in second.table()] == [f"r{n:04}" for n in range(count)]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_machine_that_was_declared_gone_and_is_not(machines: tuple[Job, Job, str], s3: S3, workers: int) -> None:
    """It sends nothing more, and ends; once the other has ended, its rows and the other's are one run."""
    first, second, bucket = machines
    count = 600
    with mock_thread(latency_s=0.5) as mock:
        for job in machines[:2]:
            job.write(rows(count), endpoint__base_url=mock.url, concurrency=4, workers=workers)
        running = first.start(env=s3.environ)
        last = "journal-000001." if workers == 1 else "journal-000003."  # the run's own, and one of each worker
        until(lambda: any(last in key for key in s3.keys(bucket)), "a block of each segment")
        ended = second.run("--yes", "--limit", "1", env=s3.environ)
        assert ended.code == 0, ended.err
        ended = running.end()
        assert ended.code == 6, ended.err
        assert f"s3://{bucket}/journals/out.run, the journal of this run, was taken over by " in ended.errors[0]
        first.write(concurrency=128, workers=1)
        ended = first.run(env=s3.environ)
        assert ended.code == 0, ended.err
        assert mock.stats()["requests"] <= count + 1, "the one row of the other, where it was sent at the same time"
    assert [row["id"] for row in first.table()] == [f"r{n:04}" for n in range(count)]


def test_a_marker_that_was_deleted(machines: tuple[Job, Job, str], s3: S3) -> None:
    """Where nobody has taken over, it is put again, and the run goes on."""
    first, _, bucket = machines
    owner = "journals/out.run/owner.json"
    with mock_thread(latency_s=0.5) as mock:
        first.write(rows(COUNT), endpoint__base_url=mock.url, concurrency=1)
        running = first.start(env=s3.environ)
        until(lambda: owner in s3.keys(bucket), "the marker")
        s3.client.delete_object(Bucket=bucket, Key=owner)
        until(lambda: owner in s3.keys(bucket), "the marker again")
        running.signal(signal.SIGTERM)
        ended = running.end()
    assert ended.code == 128 + signal.SIGTERM, ended.err
    assert "not copied" not in ended.err
    assert journal_in(s3, bucket) == first.journal_file.read_bytes()
    assert owner not in s3.keys(bucket)


def test_the_same_machine_goes_on_after_a_kill(machines: tuple[Job, Job, str], s3: S3) -> None:
    """Its journal has all, and nobody needs to say anything; the copy catches up."""
    first, _, bucket = machines
    assert first.run("--limit", "10", env=s3.environ).code == 0
    s3.put(bucket, "journals/out.run/owner.json", _owner(first))
    assert first.run(env=s3.environ).code == 0
    assert journal_in(s3, bucket) == first.journal_file.read_bytes()


def _owner(job: Job) -> bytes:

    owner = {"host": socket.gethostname(), "folder": str(job.run_folder.resolve()), "pid": 1, "since": "2026"}
    return json.dumps(owner).encode()


def test_a_journal_of_another_run(machines: tuple[Job, Job, str], s3: S3) -> None:
    """It is not mixed with the one that was shipped: exit 2, and --fresh ships to a place of its own."""
    first, second, bucket = machines
    assert first.run(env=s3.environ).code == 0
    second.write(store__ship_journal=None)
    assert second.run(env=s3.environ).code == 0
    second.write(store__ship_journal=f"s3://{bucket}/journals")
    refused = second.run(env=s3.environ)
    assert refused.code == 2
    assert "is the copy of another run's journal, and not of that in out.run" in refused.err
    assert second.run("--fresh", env=s3.environ).code == 0
    assert any(key.startswith("journals/out.run/000002/") for key in s3.keys(bucket))
    assert journal_in(s3, bucket) == first.journal_file.read_bytes()


def test_a_store_that_fails_while_the_run_goes_on(machines: tuple[Job, Job, str], s3: S3) -> None:
    """It is told once, and ends nothing; the next run ships what is missing."""
    first, _, bucket = machines
    with proxy_of(s3.endpoint) as proxy:
        proxy.refuses = lambda line: 403 if line.startswith("PUT") and "journal-0" in line else None
        ended = first.run(env=s3.environ | {"AWS_ENDPOINT_URL": proxy.endpoint})
    assert ended.code == 0, ended.err
    assert ended.err.count("journal not copied: ") == 1
    assert first.run(env=s3.environ).code == 0
    assert journal_in(s3, bucket) == first.journal_file.read_bytes()


def test_a_lost_machine_and_an_output_in_the_store(machines: tuple[Job, Job, str], s3: S3) -> None:
    """What the run has published is known to be its own on another machine, too."""
    first, second, bucket = machines
    for job in (first, second):
        job.write(output__path=f"s3://{bucket}/out.parquet")
    assert first.run("--limit", "30", env=s3.environ).code == 0
    shutil.rmtree(first.folder)
    ended = second.run(env=s3.environ)
    assert ended.code == 0, ended.err
    assert sum(line["kind"] == "row" for line in second.journal()) == COUNT
