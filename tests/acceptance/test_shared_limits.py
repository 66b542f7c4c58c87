"""`limits.share`: jobs on one machine that run under one name have one limit together."""

from __future__ import annotations

import fcntl
import shutil
import signal
from pathlib import Path
from unittest.mock import patch

import pytest

from batchchat.cluster.lease_file import LeaseFile, leases_folder
from batchchat.cluster.leased import Leased
from batchchat.cluster.lessor import LeaseTerms
from batchchat.execution.run_loop import RunLoop
from tests.acceptance.job import Job, rows, until
from tests.acceptance.servers import mock_thread

CEILING = 8


def environ(folder: Path) -> dict[str, str]:
    return {"XDG_STATE_HOME": str(folder / "state")}


def test_a_job_that_shares_with_nobody_has_all_of_it(job: Job) -> None:
    """It says with whom it shares, and leaves nothing behind that another would wait for."""
    with mock_thread() as mock:
        job.write(rows(40), endpoint__base_url=mock.url, concurrency=CEILING, limits__share="team")
        ended = job.run("--progress", "log", env=environ(job.folder))
        assert ended.code == 0, ended.err
        assert "limits shared as team, with no other job so far: 8 in flight together" in ended.err
        assert mock.stats()["billed_rows"] == 40
    folder = leases_folder("team", environ(job.folder))
    assert {path.name for path in folder.iterdir()} == {"lock", "leases.json"}


def test_a_job_with_other_limits_is_refused(job: Job) -> None:
    """Nothing is sent; both values are named."""
    other = LeaseFile(leases_folder("team", environ(job.folder)), "team", LeaseTerms(4, 60.0), "other.yaml")
    other.join()
    with mock_thread() as mock:
        job.write(rows(4), endpoint__base_url=mock.url, concurrency=CEILING, limits__share="team")
        ended = job.run(env=environ(job.folder))
        assert ended.code == 2
        assert "other.yaml" in ended.errors[0]
        assert mock.stats()["requests"] == 0
        other.leave()
        assert job.run(env=environ(job.folder)).code == 0


def test_a_name_is_one_that_a_folder_can_have(job: Job) -> None:
    job.write(rows(1), limits__share="../team")
    ended = job.run()
    assert ended.code == 2
    assert "limits.share" in ended.err


def test_workers_do_not_share(job: Job) -> None:
    job.write(rows(1), limits__share="team", workers=2)
    ended = job.run()
    assert ended.code == 2
    assert "set `workers: 1`" in ended.err


def test_leases_that_can_not_be_given_back_change_nothing_of_a_run_that_is_done(job: Job) -> None:
    folder, end = leases_folder("team", environ(job.folder)), Leased.end

    def end_without_folder(leased: Leased) -> None:
        shutil.rmtree(folder)
        end(leased)

    job.write(rows(4), concurrency=CEILING, limits__share="team")
    with patch.object(Leased, "end", end_without_folder):
        ended = job.run(env=environ(job.folder))
    assert (ended.code, ended.errors) == (0, [])


def test_leases_that_break_in_mid_run_stop_it(job: Job) -> None:
    """What was answered is kept, and the same command goes on when they can be used."""
    folder, begin = leases_folder("team", environ(job.folder)), Leased.begin

    def begin_without_folder(leased: Leased, loop: RunLoop) -> None:
        shutil.rmtree(folder)
        begin(leased, loop)

    job.write(rows(4), concurrency=CEILING, limits__share="team")
    with patch.object(Leased, "begin", begin_without_folder):
        ended = job.run(env=environ(job.folder))
    assert ended.code == 6
    assert ended.errors[0].startswith("stopped: the leases of `limits.share: team`: ")
    assert job.run(env=environ(job.folder)).code == 0


@pytest.mark.field
def test_a_process_that_is_suspended_with_the_lock_is_told(job: Job) -> None:
    """Nothing is sent meanwhile; when the lock is free the run goes on."""
    with mock_thread(latency_s=0.4) as mock:  # it would take 20 s: a lease lasts for ten
        job.write(rows(400), endpoint__base_url=mock.url, concurrency=CEILING, limits__share="team")
        try:
            running = job.start("--progress", "log", env=environ(job.folder))
            until(lambda: job.acknowledged() >= 20, "rows to be answered")
            with (leases_folder("team", environ(job.folder)) / "lock").open() as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                running.says("/lock for 10s, and nothing is sent until it goes on.")
                assert mock.stats()["requests"] < 400
            assert running.end().code == 0
            assert mock.stats()["billed_rows"] == 400
        finally:
            job.kill()


@pytest.mark.field
def test_three_jobs_are_never_above_it_and_one_that_is_killed_is_not_missed(tmp_path: Path) -> None:
    """By the server's own count; the others have what the killed one had, and all rows are answered once."""
    jobs = []
    for name in "abc":
        (tmp_path / name).mkdir()
        jobs.append(Job(tmp_path / name))
    try:
        with mock_thread(latency_s=0.05) as mock:
            for job in jobs:
                job.write(
                    rows(400), endpoint__base_url=mock.url, concurrency=CEILING, limits__share="team", timeout__total=60
                )
            running = [job.start(env=environ(tmp_path)) for job in jobs]
            until(lambda: all(job.acknowledged() >= 20 for job in jobs), "all three to answer rows")
            running[0].signal(signal.SIGKILL)
            running[0].end()
            assert [process.end().code for process in running[1:]] == [0, 0]
            assert jobs[0].run(env=environ(tmp_path)).code == 0
            stats = mock.stats()
            assert stats["max_in_flight"] <= CEILING
            assert stats["billed_rows"] <= 3 * 400 + CEILING
        assert [len(job.table()) for job in jobs] == [400, 400, 400]
    finally:
        for job in jobs:
            job.kill()
