"""Faults of our own machine: a full disk, a failing one, a clock that jumps, a laptop that sleeps."""

from __future__ import annotations

import errno
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from batchchat import lossless_json
from batchchat.store.journal import Journal
from tests.acceptance.job import Job, rows, until
from tests.acceptance.servers import completion, http, mock_thread, raw_server
from tests.store.given import small_disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 200 KiB, under the job's folder."""
    with small_disk(tmp_path, 200) as place:
        yield place


def fill(place: Path) -> Path:
    """Take all the space that is left."""
    filler = place / "filler"
    with filler.open("ab", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    return filler


def test_a_disk_that_fills_up(job: Job, disk: Path) -> None:
    """Exit 6 in one sentence with the way out; once there is room the same command finishes, nothing lost or twice."""
    with mock_thread() as mock:
        job.write(rows(1000), endpoint__base_url=mock.url, output__path="disk/out.parquet")
        ended = job.run("--progress", "none")
        assert ended.code == 6
        (stopped,) = ended.errors
        assert f"the journal in {disk}/out.run can't be written: No space left on device." in stopped
        assert "next  batchchat run job.yaml\n" in ended.out
        assert "Traceback" not in ended.err
        journal = disk / "out.run" / "journal-000001.jsonl"
        kept = journal.read_bytes()
        assert kept.endswith(b'"}\n')
        before = kept.count(b'{"kind":"row"')
        assert 0 < before < 1000
        subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
        assert job.run("--progress", "none").code == 0
        assert journal.read_bytes().startswith(kept)
        stats = mock.stats()
        assert stats["billed_rows"] == 1000
        assert stats["billed_twice"] <= 2 * 16
    table = job.table(disk / "out.parquet")
    assert [row["id"] for row in table] == [row["id"] for row in rows(1000)]
    assert {row["status"] for row in table} == {"answered"}


def test_a_disk_that_is_full_when_the_parquet_is_written(job: Job, disk: Path) -> None:
    """Every answer is in the journal: exit 6, no half file, and the same command publishes without a request."""
    with mock_thread() as mock:
        job.write(rows(40), endpoint__base_url=mock.url, output__path="disk/out.parquet")
        assert job.run().code == 0
        output = disk / "out.parquet"
        output.unlink()
        filler = fill(disk)
        ended = job.run()
        assert ended.code == 6
        (stopped,) = ended.errors
        assert "No space left on device" in stopped
        assert "next  batchchat run job.yaml\n" in ended.out
        assert [path.name for path in disk.iterdir() if "parquet" in path.name] == []
        filler.unlink()
        assert job.run().code == 0
        assert mock.stats()["requests"] == 40
    assert len(job.table(output)) == 40


@pytest.mark.parametrize("fault", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("call", ["write", "sync"])
def test_a_disk_that_fails(job: Job, monkeypatch: pytest.MonkeyPatch, call: str, fault: int) -> None:
    """What a write or a sync can't keep is not told as done; the journal stays valid and the next run finishes."""
    real: Any = getattr(os, {"write": "write", "sync": "fdatasync"}[call])
    calls = 0

    def failing(*given: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > 6:
            if call == "write":
                real(given[0], bytes(given[1])[: len(given[1]) // 2])  # half a group is on the disk already
            raise OSError(fault, os.strerror(fault))
        return real(*given)

    with raw_server(lambda _: http(200, completion())) as server:
        job.write(rows(200), endpoint__base_url=server.url, concurrency=8)
        defaults: Any = Journal.__init__.__kwdefaults__
        with monkeypatch.context() as patch:
            patch.setitem(defaults, call, failing)
            ended = job.run()
        assert ended.code == 6
        (stopped,) = ended.errors
        assert f"can't be written: {os.strerror(fault)}." in stopped
        kept = job.acknowledged()
        assert f"\n  rows      {kept} answered" in ended.out
        assert (job.run_folder / "journal-000001.jsonl").read_bytes().endswith(b'"}\n')
        assert not job.output.exists()
        assert job.run().code == 0
        assert server.requests <= 200 + 2 * 8
    assert [row["id"] for row in job.table()] == [row["id"] for row in rows(200)]


@pytest.mark.parametrize("price", [None, {"input": 1, "output": 2}], ids=["unpriced", "priced"])
def test_what_is_sent_first_is_in_the_journal_before(
    job: Job, monkeypatch: pytest.MonkeyPatch, price: dict[str, int] | None
) -> None:
    """However slow the disk: whatever ends the machine at the first request, it is known that it may be billed."""
    synced: list[dict[str, Any]] = []
    found: list[list[dict[str, Any]]] = []

    def answer(_: Any) -> bytes:
        found.append([*synced])
        return http(200, completion())

    def slow(descriptor: int) -> None:
        written = job.journal()
        os.fdatasync(descriptor)
        time.sleep(0.2)
        synced[:] = written

    with raw_server(answer) as server:
        job.write(rows(4), endpoint__base_url=server.url, price=price)
        defaults: Any = Journal.__init__.__kwdefaults__
        monkeypatch.setitem(defaults, "sync", slow)
        assert job.run().code == 0
    assert found[0][0]["kind"] == "run"
    assert found[0][-1]["kind"] == "hold"
    assert found[0][-1]["requests"] >= 1


@pytest.mark.parametrize("jump_s", [-7200.0, 7200.0])
def test_a_clock_that_jumps(job: Job, monkeypatch: pytest.MonkeyPatch, jump_s: float) -> None:
    """Latency and wait come from a clock that can't jump, in the row, the summary and the pace."""
    wall, start = time.time, time.monotonic()
    monkeypatch.setattr(time, "time", lambda: wall() + (jump_s if time.monotonic() - start > 0.3 else 0))
    with mock_thread(latency_s=0.1) as mock:
        job.write(rows(60), endpoint__base_url=mock.url, concurrency=8)
        ended = job.run()
    assert ended.code == 0
    took = re.search(r"60 of 60 rows answered in ([\d.]+)s ", ended.out)
    assert took
    assert float(took[1]) < abs(jump_s) / 2
    for row in job.table():
        assert 0.09 < row["latency_s"] < abs(jump_s) / 2
        assert 0 <= row["wait_s"] < abs(jump_s) / 2
        assert abs((row["finished_at"] - row["started_at"]).total_seconds() - row["latency_s"]) < 0.01


def test_a_laptop_that_sleeps(job: Job) -> None:
    """Stopped for longer than an attempt may take, a run goes on when it wakes: what hung is sent again."""
    with mock_thread(latency_s=0.1) as mock:
        job.write(rows(200), endpoint__base_url=mock.url, concurrency=16, timeout__total=0.8, retry__max_wait=0.1)
        job.write(retry__max_elapsed=1.1)  # less than the sleep, which is none of the rows' own time
        running = job.start()
        until(lambda: job.acknowledged() >= 40)
        running.signal(signal.SIGSTOP)
        time.sleep(1.2)
        running.signal(signal.SIGCONT)
        ended = running.end()
        stats = mock.stats()
    assert ended.code == 0, ended.err
    table = job.table()
    assert [row["id"] for row in table] == [row["id"] for row in rows(200)]
    assert {row["status"] for row in table} == {"answered"}
    assert stats["billed_rows"] == 200
    assert stats["billed_twice"] <= 16
    assert sum(row["possibly_billed_attempts"] for row in table) >= stats["billed_twice"]


def test_a_container_with_the_same_pid_again(job: Job) -> None:
    """A lock that names this very pid and host, left by a container that died, holds nobody up."""
    job.run_folder.mkdir()
    owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time() - 60}
    (job.run_folder / "lock").write_bytes(lossless_json.dumps(owner))
    with mock_thread() as mock:
        job.write(rows(3), endpoint__base_url=mock.url)
        assert job.run().code == 0
