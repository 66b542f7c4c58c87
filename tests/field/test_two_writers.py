"""A second process at the same journal: a lock file that somebody removed, a lock that another host does not see."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batchchat.errors import OutputError
from batchchat.store import lock as lock_module
from batchchat.store import segment_file
from batchchat.store.segments import scan
from tests.acceptance.job import Job, Running, rows, until
from tests.field.endpoint import Endpoint, endpoint, ok


@pytest.fixture
def slow() -> Iterator[Endpoint]:
    """Each answer takes 50 ms."""
    with endpoint(lambda _: [0.05, ok()]) as server:
        yield server


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process sees no lock of another one, as on a network file system."""
    monkeypatch.setattr(fcntl, "flock", lambda _descriptor, _operation: None)


def started(job: Job, server: Endpoint, count: int = 300) -> Running:
    """A run in its own process, with answers in its journal."""
    job.write(rows(count), endpoint__base_url=server.url, concurrency=4)
    running = job.start("--progress", "none")
    until(lambda: job.run_folder.exists() and job.acknowledged() > 10, "some rows")
    return running


def answered(job: Job) -> set[str]:
    return {str(record["id"]) for _, record in scan(job.run_folder) if record["kind"] == "row"}


def test_a_lock_file_that_was_removed(job: Job, slow: Endpoint) -> None:
    """The journal itself is locked: a second run is refused and names the first; status sees it running."""
    running = started(job, slow)
    (job.run_folder / lock_module.NAME).unlink()
    ended = job.run()
    assert ended.code == 2
    assert f"out.parquet is in use by pid {running.process.pid} on {socket.gethostname()}" in ended.err
    assert '"state": "running"' in job.run("status", "job.yaml", "--json").out.replace('":"', '": "')
    kept = answered(job)
    running.signal(15)
    assert running.end().code == 143
    assert kept <= answered(job)


@pytest.mark.usefixtures("blind")
def test_a_second_run_that_sees_no_lock_cuts_nothing(job: Job, slow: Endpoint) -> None:
    """One of the two notices, or both do at the same instant: it keeps all its answers and ends with exit 6 or 2."""
    running = started(job, slow)
    before = answered(job)
    ended = job.run("--progress", "none")
    first = running.end()
    assert (first.code, ended.code) in {(0, 2), (0, 6), (6, 0), (6, 6)}, (first, ended)
    for one in (first, ended):
        assert ("another process" in one.err + one.out) == (one.code != 0), one
    assert "defect" not in first.err + ended.err
    assert before <= answered(job)
    assert job.run().code == 0
    assert [row["id"] for row in job.table()] == [row["id"] for row in rows(300)]
    reading = scan(job.run_folder)
    assert len(list(reading)) > 300
    assert reading.damages == []


@pytest.mark.usefixtures("blind")
def test_a_second_run_on_another_host(job: Job, slow: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """It begins a segment of its own, whatever its file system shows it; the first one sees that, and stops."""
    running = started(job, slow)
    before = job.journal_file.read_bytes()
    monkeypatch.setattr(socket, "gethostname", lambda: "another-host")
    ended = job.run("--progress", "none")
    first = running.end()
    assert (first.code, ended.code) == (6, 0), (first, ended)
    assert "another process has begun" in first.err + first.out
    assert job.journal_file.read_bytes().startswith(before)
    assert (job.run_folder / "journal-000002.jsonl").exists()
    # What the first had acknowledged is kept: a third run has it all, and sends nothing.
    sent = len(slow.asked)
    assert job.run().code == 0
    assert len(slow.asked) == sent
    assert [row["id"] for row in job.table()] == [row["id"] for row in rows(300)]


@pytest.mark.parametrize("what", ["removed", "replaced", "folder removed", "moved"])
def test_a_journal_that_goes_away_under_a_run(job: Job, slow: Endpoint, what: str) -> None:
    """The run says so, exits 6, and what it had acknowledged is in a segment of its own."""
    running = started(job, slow)
    before = answered(job)
    folder = job.run_folder
    if what == "removed":
        job.journal_file.unlink()
    elif what == "replaced":
        shutil.copy(job.journal_file, folder / "copy")
        (folder / "copy").replace(job.journal_file)
    elif what == "folder removed":
        shutil.rmtree(folder)
    else:
        folder = job.folder / "elsewhere.run"
        job.run_folder.rename(folder)
    first = running.end()
    assert first.code == 6, first
    assert "while the run wrote to it" in first.err + first.out
    assert before <= {str(record["id"]) for _, record in scan(folder) if record["kind"] == "row"}


def test_what_was_written_since_it_was_replayed_is_never_cut(tmp_path: Path) -> None:
    """A segment that grew, shrank or is another file is refused; its torn tail is cut only as it was replayed."""
    path = tmp_path / "journal-000001.jsonl"
    path.write_bytes(b"whole\ntorn")
    reading = scan(tmp_path)
    assert list(reading) == []

    def opened() -> Any:
        point = segment_file.ResumePoint(reading.end, reading.last)
        return segment_file.SegmentFile(tmp_path, point, os.write, os.fsync)

    for content in (b"whole\ntorn and more\n", b"whole\n", b""):
        path.write_bytes(content)
        with pytest.raises(OutputError, match="another process writes"):
            opened()
        assert path.read_bytes() == content
    path.write_bytes(b"whole\ntorn")
    opened().close()
    assert path.read_bytes() == b""
    other = tmp_path / "other"
    other.write_bytes(b"whole\ntorn")
    other.replace(path)
    with pytest.raises(OutputError, match="another process writes"):
        opened()
    assert path.read_bytes() == b"whole\ntorn"


def test_two_writers_in_one_segment(tmp_path: Path) -> None:
    """Whatever the order of their writes: the first keeps its lines and offsets, then in a segment of its own."""
    written: list[tuple[int, int, bytes]] = []
    mine = segment_file.SegmentFile(tmp_path, segment_file.ResumePoint(), os.write, os.fsync)
    written.append((*mine.append(b"one\n"), b"one\n"))
    with (tmp_path / "journal-000001.jsonl").open("ab") as theirs:
        theirs.write(b"theirs\n")
    written.append((*mine.append(b"two\n"), b"two\n"))
    assert mine.intrusion is not None
    written.append((*mine.append(b"three\n"), b"three\n"))
    mine.close()
    assert (tmp_path / "journal-000001.jsonl").read_bytes() == b"one\ntheirs\n"
    for number, at, line in written:
        assert (tmp_path / f"journal-{number:06}.jsonl").read_bytes()[at:].startswith(line)


def test_a_write_at_the_same_instant(tmp_path: Path) -> None:
    """Theirs comes between our look and our write: ours is written once more where its offset is known."""
    path = tmp_path / "journal-000001.jsonl"

    def write(descriptor: int, data: Any) -> int:
        if not mine.intrusion:
            with path.open("ab") as theirs:
                theirs.write(b"theirs\n")
        return os.write(descriptor, data)

    mine = segment_file.SegmentFile(tmp_path, segment_file.ResumePoint(), write, os.fsync)
    number, at = mine.append(b"ours\n")
    mine.close()
    assert number == 2
    assert (tmp_path / "journal-000002.jsonl").read_bytes()[at:] == b"ours\n"
    assert path.read_bytes().startswith(b"theirs\n")


def test_a_failed_write_cuts_only_what_is_ours(tmp_path: Path) -> None:
    """Theirs stays where ours could not be written."""
    path = tmp_path / "journal-000001.jsonl"

    def write(_descriptor: int, _data: Any) -> int:
        with path.open("ab") as theirs:
            theirs.write(b"a long line of theirs\n")
        raise OSError(28, os.strerror(28))

    mine = segment_file.SegmentFile(tmp_path, segment_file.ResumePoint(), write, os.fsync)
    with pytest.raises(OSError, match="No space"):
        mine.append(b"ours\n")
    mine.close()
    assert path.read_bytes() == b"a long line of theirs\n"
