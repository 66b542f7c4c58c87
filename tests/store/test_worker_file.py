"""The files of workers: who has the same folder, and who lives."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from batchchat.errors import OutputError
from batchchat.store.lock import Lock, holder
from batchchat.store.worker_file import WorkerFile, has_living_workers, lock_worker_file, remove_worker_files


def test_the_lock_is_that_of_all_processes_of_the_worker(tmp_path: Path) -> None:
    """It holds until the last that has inherited it has ended, however that comes."""
    file = WorkerFile.create(tmp_path, 3)
    assert not file.is_locked()
    descriptor = lock_worker_file(file)
    worker = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(descriptor,))
    os.close(descriptor)
    assert file.is_locked()
    assert has_living_workers(tmp_path)
    worker.kill()
    worker.wait()
    assert worker.stdin is not None
    worker.stdin.close()
    assert not file.is_locked()
    assert not has_living_workers(tmp_path)
    file.remove()
    assert list(tmp_path.iterdir()) == []


def test_another_folder_of_that_name(tmp_path: Path) -> None:
    """A machine that has another folder there, or none, is found out."""
    file = WorkerFile.create(tmp_path, 1)
    file.path.write_text("of another run")
    with pytest.raises(FileNotFoundError):
        lock_worker_file(file)
    file.remove()
    with pytest.raises(FileNotFoundError):
        lock_worker_file(file)


def test_a_run_waits_for_workers_of_a_killed_one(tmp_path: Path) -> None:
    """Where one lives the run's lock is refused, and `status` hears that it is held; what is left over is removed."""
    file = WorkerFile.create(tmp_path, 1)
    descriptor = lock_worker_file(file)
    with pytest.raises(OutputError, match="is in use by"):
        Lock.take(tmp_path, "out.parquet")
    assert holder(tmp_path) is not None
    os.close(descriptor)
    lock = Lock.take(tmp_path, "out.parquet")
    remove_worker_files(tmp_path)
    assert not file.path.exists()
    lock.release()
    assert holder(tmp_path) is None


def test_a_run_that_is_gone_is_not_named_as_the_one_that_writes(tmp_path: Path) -> None:
    """Its lock is free, its worker lives somewhere: run.json has its pid, which may be another program's by then."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (tmp_path / "run.json").write_text(json.dumps({"pid": gone.pid, "host": socket.gethostname()}))
    descriptor = lock_worker_file(WorkerFile.create(tmp_path, 1))
    with pytest.raises(OutputError, match="is in use by workers of a run that was killed"):
        Lock.take(tmp_path, "out.parquet")
    owner = holder(tmp_path)
    assert owner is not None
    assert owner["left"] is True
    os.close(descriptor)
