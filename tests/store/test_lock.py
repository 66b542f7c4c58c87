"""One run at a time, between real processes."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from batchchat.errors import OutputError
from batchchat.store.lock import NAME, Lock, holder

HOLD = """
import sys
from pathlib import Path
from batchchat.store.lock import Lock
lock = Lock.take(Path(sys.argv[1]), "x.parquet")
print("locked", flush=True)
sys.stdin.read()
"""
LOOK = """
import sys
from pathlib import Path
from batchchat.store.lock import holder
print("looking", flush=True)
while True:
    assert holder(Path(sys.argv[1])) is None or True
"""


@contextmanager
def process(code: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", code, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline()
        yield child
        child.kill()


def test_a_second_process_is_refused_by_name(tmp_path: Path) -> None:
    """The refusal names the output as typed, the pid, the host and the time; the first keeps the lock."""
    with process(HOLD, tmp_path) as child:
        since = time.strftime("%H:%M")
        for _ in range(2):
            with pytest.raises(OutputError) as caught:
                Lock.take(tmp_path, "../out/x.parquet")
            at = {since, time.strftime("%H:%M", time.localtime(time.time() - 60))}
            assert str(caught.value) in {
                f"../out/x.parquet is in use by pid {child.pid} on {socket.gethostname()} since {minute}."
                for minute in at
            }
        owner = holder(tmp_path)
        assert owner is not None
        assert (owner["pid"], owner["host"]) == (child.pid, socket.gethostname())


def test_sigkill_releases_the_lock(tmp_path: Path) -> None:
    """The kernel gives the lock back whatever becomes of its process; what it wrote counts no more."""
    with process(HOLD, tmp_path) as child:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert holder(tmp_path) is None
    lock = Lock.take(tmp_path, "x.parquet")
    owner = holder(tmp_path)
    assert owner is not None
    assert owner["pid"] == os.getpid()
    lock.release()


def test_the_moment_before_the_owner_is_written(tmp_path: Path) -> None:
    """Between taking the lock and writing who took it, what a killed run left in it is not told as the owner."""
    with process(HOLD, tmp_path) as child:
        child.send_signal(signal.SIGKILL)
        child.wait()
    left = (tmp_path / NAME).read_bytes()
    assert f'"pid":{child.pid}'.encode() in left
    lock = Lock.take(tmp_path, "x.parquet")
    (tmp_path / NAME).write_bytes(left)
    assert holder(tmp_path) == {}
    with pytest.raises(OutputError, match=r"^x\.parquet is in use by another process\."):
        Lock.take(tmp_path, "x.parquet")
    lock.release()


def test_a_released_lock_is_free(tmp_path: Path) -> None:
    """After release nobody holds it, and releasing again does no harm to whoever has the descriptor now."""
    lock = Lock.take(tmp_path, "x.parquet")
    lock.release()
    assert holder(tmp_path) is None
    other = Lock.take(tmp_path, "x.parquet")
    lock.release()
    assert holder(tmp_path) is not None
    other.release()


def test_nobody_holds_what_is_not_there(tmp_path: Path) -> None:
    """A folder without a lock, and no folder, are held by nobody."""
    assert holder(tmp_path) is None
    assert holder(tmp_path / "gone") is None


def test_a_folder_set_aside_takes_its_lock_along(tmp_path: Path) -> None:
    """After the run folder was renamed, a new one of its name is free, and the old one is still held."""
    old, aside = tmp_path / "x.run", tmp_path / "x.old.run"
    old.mkdir()
    lock = Lock.take(old, "x.parquet")
    old.rename(aside)
    old.mkdir()
    other = Lock.take(old, "x.parquet")
    assert holder(aside) is not None
    lock.release()
    assert holder(aside) is None
    assert holder(old) is not None
    other.release()


def test_one_who_only_looks_locks_nobody_out(tmp_path: Path) -> None:
    """While another process asks again and again who holds it, the lock can be had every time."""
    Lock.take(tmp_path, "x.parquet").release()
    with process(LOOK, tmp_path):
        for _ in range(500):
            Lock.take(tmp_path, "x.parquet").release()


def test_an_owner_that_has_not_written_yet_is_another_process(tmp_path: Path) -> None:
    """Whatever is in the file, the refusal is a sentence."""
    with process(HOLD, tmp_path):
        for content in ("", "{", "[]"):
            (tmp_path / NAME).write_text(content)
            with pytest.raises(OutputError) as caught:
                Lock.take(tmp_path, "x.parquet")
            assert str(caught.value) == "x.parquet is in use by another process."
            assert holder(tmp_path) == {}


def test_a_holder_that_nothing_tells_of_is_waited_for(tmp_path: Path) -> None:
    """What a killed run has left behind is about to end, as the process by which it spoke with Ray."""
    with process(HOLD, tmp_path) as child:
        (tmp_path / NAME).write_text("")
        ending = threading.Timer(0.3, child.kill)
        ending.start()
        Lock.take(tmp_path, "x.parquet").release()
        ending.join()


def test_a_folder_that_takes_no_lock_is_told(tmp_path: Path) -> None:
    """What the system refuses names the file and the way out."""
    (tmp_path / NAME).mkdir()
    with pytest.raises(OutputError) as caught:
        Lock.take(tmp_path, "x.parquet")
    assert str(caught.value) == (
        f"x.parquet can't be locked: Is a directory ({tmp_path / NAME}). Name another `output.path`, or fix that."
    )


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS])
def test_where_there_are_no_locks_nobody_holds_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """`status` and `report` of an output on a file system without locks say what there is."""
    Lock.take(tmp_path, "out.parquet").release()

    def refuse(_descriptor: int, _operation: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("batchchat.store.lock.fcntl.flock", refuse)
    assert holder(tmp_path) is None
