"""Systems that lack what Linux has: each call is taken away, and a small job runs all the same."""

from __future__ import annotations

import builtins
import ctypes
import errno
import os
import resource
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from batchchat.endpoint import network
from batchchat.errors import UsageError
from batchchat.store import atomic, durable
from tests.acceptance.job import Job, rows
from tests.field.endpoint import endpoint, ok

ROOT = Path(__file__).parents[2]


def whole_job(job: Job, output: str) -> None:
    """Run, extend, resume, set aside, export and report."""
    with endpoint(lambda _: ok()) as server:
        job.write(rows(3), output__path=output, endpoint__base_url=server.url)
        assert job.run().code == 0
        job.write(rows(5))
        assert job.run().code == 0
        assert job.run("--fresh").code == 0
        assert job.run("export", output, "--to", "jsonl", "-o", "x.jsonl").code == 0
        assert job.run("report", "job.yaml", "--html", "x.html").code == 0
        assert job.run("status", "job.yaml").code == 0
        assert len(server.asked) == 10
    files = sorted((job.folder / output).glob("*.parquet")) or [job.folder / output]
    assert [row["id"] for file in files for row in job.table(file)] == [row["id"] for row in rows(5)]


def without_renameat2(monkeypatch: pytest.MonkeyPatch) -> None:
    class Library:
        """Has no `renameat2`, as macOS's."""

    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Library())


def without_uvloop(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def importing(name: str, *arguments: Any, **options: Any) -> Any:
        if name.partition(".")[0] == "uvloop":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", importing)


def without_keepalive_names(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_USER_TIMEOUT", "TCP_KEEPCNT"):
        monkeypatch.delattr(socket, name, raising=False)
    monkeypatch.setattr(socket, "TCP_KEEPALIVE", 0x7FFF, raising=False)  # known by name, and refused


def without_resource(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "resource", None)


def without_fdatasync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "fdatasync")


def as_macos(monkeypatch: pytest.MonkeyPatch) -> None:
    """All at once, with the platform's name."""
    without_fdatasync(monkeypatch)
    without_renameat2(monkeypatch)
    without_keepalive_names(monkeypatch)
    for module in (durable, atomic):
        monkeypatch.setattr(module.sys, "platform", "darwin")
    for name in ("O_TMPFILE", "sched_getaffinity", "pidfd_open", "posix_fadvise", "copy_file_range", "O_DIRECT"):
        monkeypatch.delattr(os, name, raising=False)


@pytest.mark.parametrize("output", ["parts", "out.parquet"])
@pytest.mark.parametrize(
    "taken",
    [without_fdatasync, without_renameat2, without_uvloop, without_keepalive_names, without_resource],
)
def test_a_job_without(job: Job, monkeypatch: pytest.MonkeyPatch, taken: Any, output: str) -> None:
    taken(monkeypatch)
    whole_job(job, output)


def test_the_store_on_macos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are synced to the drive by F_FULLFSYNC, and by fsync on volumes that don't have it."""
    import fcntl

    asked: list[int] = []
    answers: list[int] = [0]

    def control(_descriptor: int, command: int) -> int:
        asked.append(command)
        if answers[0]:
            raise OSError(answers[0], os.strerror(answers[0]))
        return 0

    synced: list[int] = []
    as_macos(monkeypatch)
    monkeypatch.setattr(fcntl, "fcntl", control)
    monkeypatch.setattr(os, "fsync", synced.append)
    with (tmp_path / "x").open("w") as file:
        durable.sync_data(file.fileno())
        assert (asked, synced) == ([51], [])
        answers[0] = errno.ENOTSUP
        durable.sync_data(file.fileno())
        assert (asked, synced) == ([51, 51], [file.fileno()])


def test_macos_says_there_is_no_limit_and_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """`ulimit -Hn` is unlimited there, and setrlimit refuses more than 10,240."""
    limits = [(256, resource.RLIM_INFINITY)]

    def setrlimit(_what: int, wanted: tuple[int, int]) -> None:
        if wanted[0] > 10_240:
            raise ValueError("current limit exceeds maximum limit")
        limits[0] = wanted

    monkeypatch.setattr(resource, "getrlimit", lambda _what: limits[0])
    monkeypatch.setattr(resource, "setrlimit", setrlimit)
    network.raise_file_limit(5_000)
    assert limits[0][0] == 5_256
    with pytest.raises(UsageError, match="set `concurrency` to 9,984 or less"):
        network.raise_file_limit(20_000)


@pytest.mark.parametrize("hard", [64, 100, 256, 300, 511, 512, 1024])
def test_the_concurrency_that_is_advised_is_taken(monkeypatch: pytest.MonkeyPatch, hard: int) -> None:
    """Under `ulimit -n 64` it was 1, which was refused again."""
    monkeypatch.setattr(resource, "getrlimit", lambda _what: (hard, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    with pytest.raises(UsageError) as caught:
        network.raise_file_limit(5_000)
    advised = int(str(caught.value).rpartition("`concurrency` to ")[2].split(" ")[0].replace(",", ""))
    assert advised >= 32
    network.raise_file_limit(advised)


@pytest.mark.parametrize("arguments", [[], ["run", "job.yaml"], ["--help"]])
def test_windows_is_told_of_wsl(arguments: list[str]) -> None:
    """One sentence and exit code 2, before anything is imported that is not there."""
    code = textwrap.dedent(
        """
        import sys
        sys.platform = "win32"
        class Absent:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in {"fcntl", "resource", "termios", "pty", "uvloop", "pwd", "grp"}:
                    raise ModuleNotFoundError(f"No module named {name!r}")
        sys.meta_path.insert(0, Absent())
        for name in ("fcntl", "resource", "termios", "pwd", "grp"):
            sys.modules.pop(name, None)
        import signal
        del signal.SIGHUP
        from batchchat.cli import main
        main(sys.argv[1:], prog_name="batchchat")
        """
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.count("\n") == 1
    assert "WSL" in ended.stderr
