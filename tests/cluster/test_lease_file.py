"""A file of leases: what is lent by it, and what becomes of those that end without a word."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest

from batchchat.cluster import lease_file
from batchchat.cluster.lease_file import LeaseFile, leases_folder, remove_unused
from batchchat.cluster.lessor import LeaseTerms
from batchchat.cluster.messages import Ask
from batchchat.errors import MachineError, UsageError
from tests.store.given import small_disk

TERMS = LeaseTerms(10, attempt_s=60.0)


class Sharing(LeaseFile):
    """A job that shares limits, which asks when the test says."""

    def __init__(self, folder: Path, job: str, terms: LeaseTerms = TERMS) -> None:
        super().__init__(folder, "team", terms, job)
        self.number = self.heard = self.slots = 0

    def ask(self, wanted: int) -> int:
        """Ask for `wanted` slots; how many may be used."""
        self.number += 1
        grant = self.answer(Ask(self.worker, 1, self.number, self.heard, min(self.slots, wanted), wanted))
        assert grant is not None
        self.heard, self.slots = grant.number, grant.slots
        return self.slots

    def die(self) -> None:
        """What the kernel does for a process that is killed."""
        assert self._descriptor is not None
        os.close(self._descriptor)
        self._descriptor = None


def sharing(folder: Path, job: str, terms: LeaseTerms = TERMS) -> Sharing:
    one = Sharing(folder, job, terms)
    one.join()
    return one


@contextmanager
def after(seconds: float) -> Iterator[None]:
    """The machine's clock is so much later."""
    at = time.monotonic() + seconds
    with patch.object(time, "monotonic", lambda: at):
        yield


def leases(folder: Path) -> dict[str, object]:
    state: dict[str, object] = json.loads((folder / "leases.json").read_bytes())
    return state


def test_two_share_what_one_would_have(tmp_path: Path) -> None:
    """Never more than the limit together, and each its half once the first has given back what it can."""
    first = sharing(tmp_path, "a.yaml")
    assert first.ask(10) == 10
    second = Sharing(tmp_path, "b.yaml")
    assert [sharer.job for sharer in second.join()] == ["a.yaml"]
    assert second.ask(10) == 0
    assert first.ask(10) == 5
    first.ask(10)  # says what it holds by now
    assert second.ask(10) == 5


def test_who_leaves_gives_all_back(tmp_path: Path) -> None:
    first, second = sharing(tmp_path, "a.yaml"), sharing(tmp_path, "b.yaml")
    first.ask(10)
    assert second.ask(10) == 0
    first.ask(0)
    first.ask(0)
    first.leave()
    assert second.ask(10) == 10
    assert [*leases(tmp_path)["jobs"]] == [second.worker]  # type: ignore[misc]
    second.leave()
    assert {path.name for path in tmp_path.iterdir()} == {"lock", "leases.json"}


def test_a_killed_job_does_not_keep_its_slots(tmp_path: Path) -> None:
    """They are lent anew when the endpoint must have seen that its connections are closed."""
    first, second = sharing(tmp_path, "a.yaml"), sharing(tmp_path, "b.yaml")
    assert first.ask(10) == 10
    first.die()
    assert second.ask(10) == 0
    with after(3.1):
        assert second.ask(10) == 10
    assert not (tmp_path / first.worker).exists()


def test_a_job_that_hangs_keeps_them_as_long_as_an_attempt_may_take(tmp_path: Path) -> None:
    """Its lease ends, and what it had in flight may still be."""
    first, second = sharing(tmp_path, "a.yaml"), sharing(tmp_path, "b.yaml")
    first.ask(10)
    for seconds, slots in ((11.0, 0), (60.0, 0), (72.0, 10)):
        with after(seconds):
            assert second.ask(10) == slots


def test_other_limits_under_the_same_name_are_refused(tmp_path: Path) -> None:
    """As long as a job runs by them; both values are named."""
    first = sharing(tmp_path, "a.yaml")
    with pytest.raises(UsageError, match=r"a\.yaml \(pid \d+\).*`concurrency` is 10 there, and 20 here"):
        sharing(tmp_path, "b.yaml", LeaseTerms(20, 60.0))
    with pytest.raises(UsageError, match=r"`limits\.requests_per_minute` is null there, and 60 here"):
        sharing(tmp_path, "b.yaml", LeaseTerms(10, 60.0, requests_per_minute=60))
    first.leave()
    assert sharing(tmp_path, "b.yaml", LeaseTerms(20, 60.0)).ask(20) == 20


def test_slots_of_a_killed_job_are_counted_by_whoever_comes_with_other_limits(tmp_path: Path) -> None:
    first = sharing(tmp_path, "a.yaml")
    assert first.ask(10) == 10
    first.die()
    second = sharing(tmp_path, "a.yaml", LeaseTerms(12, 60.0))
    assert second.ask(12) == 2
    with after(3.1):
        assert second.ask(12) == 12


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"\0" * 400, b"\xff\xfe", b"[" * 100_000, b'{"limits": 1}'])
def test_a_file_of_garbage_is_one_that_breaks(tmp_path: Path, content: bytes) -> None:
    first = sharing(tmp_path, "a.yaml")
    assert first.ask(10) == 10
    (tmp_path / "leases.json").write_bytes(content)
    second = sharing(tmp_path, "b.yaml")
    assert second.ask(10) == 0
    assert first.ask(10) == 0  # it holds ten in flight, and is known again
    with after(10.2):
        assert second.ask(10) == 0


def test_a_file_that_is_cut_anywhere_is_one_that_breaks(tmp_path: Path) -> None:
    first = sharing(tmp_path, "a.yaml", LeaseTerms(10, 60.0, requests_per_minute=60))
    content = (tmp_path / "leases.json").read_bytes().rstrip()
    first.die()
    for end in range(len(content)):
        (tmp_path / "leases.json").write_bytes(content[:end])
        other = sharing(tmp_path, "b.yaml")
        assert other.ask(10) == 0, content[:end]
        other.die()


def test_a_file_that_breaks_lends_nothing_until_all_leases_have_ended(tmp_path: Path) -> None:
    first = sharing(tmp_path, "a.yaml")
    assert first.ask(10) == 10
    (tmp_path / "leases.json").write_bytes(b'{"limits": {}')
    second = sharing(tmp_path, "b.yaml")
    assert second.ask(10) == 0
    with after(10.2):
        assert second.ask(10) == 10


def test_leases_of_before_the_machine_was_started_anew_are_void(tmp_path: Path) -> None:
    first = sharing(tmp_path, "a.yaml")
    first.ask(10)
    state = leases(tmp_path)
    (tmp_path / "leases.json").write_text(json.dumps({**state, "at": time.monotonic() + 1e6}))
    assert sharing(tmp_path, "b.yaml").ask(10) == 10


def test_a_process_that_holds_the_lock_is_not_waited_for(tmp_path: Path) -> None:
    """An ask has no answer then, as if it were lost; one that joins waits a little, and is refused."""
    first = sharing(tmp_path, "a.yaml")
    held = os.open(tmp_path / "lock", os.O_RDWR)
    fcntl.flock(held, fcntl.LOCK_EX)
    try:
        assert first.answer(Ask(first.worker, 1, 1, 0, 0, 10)) is None
        with patch.object(lease_file, "_PATIENCE_S", 0.02), pytest.raises(UsageError, match="End it"):
            sharing(tmp_path, "b.yaml")
    finally:
        os.close(held)
    first.number = 1
    assert first.ask(10) == 10


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(UsageError, match=r"limits\.share: team`: .*state/team: Not a directory"):
        sharing(tmp_path / "state" / "team", "a.yaml")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    with small_disk(tmp_path, 64) as folder:
        yield folder


def remount(disk: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], check=True)


def test_a_read_only_folder_is_refused_before_anything_is_sent(disk: Path) -> None:
    remount(disk, "ro")
    with pytest.raises(UsageError, match=r"limits\.share: team`: .*disk/team: Read-only file system\. It is mounted"):
        sharing(disk / "team", "a.yaml")
    remount(disk, "rw")
    assert sharing(disk / "team", "a.yaml").ask(10) == 10


def test_a_full_disk_lends_nothing_and_leaves_the_leases_as_they_were(disk: Path) -> None:
    """It is said with its path. Whoever could not join is not waited for, and who leaves is seen to have left."""
    first = sharing(disk / "team", "a.yaml")
    assert first.ask(10) == 10
    before = leases(disk / "team")
    filler = disk / "filler"
    with pytest.raises(OSError, match="No space"):
        filler.write_bytes(bytes(1 << 20))
    with pytest.raises(MachineError, match=r"limits\.share: team`: .*disk/team: No space left on device\. Free space"):
        first.ask(10)
    second = Sharing(disk / "team", "b.yaml")
    with pytest.raises(MachineError, match="Free space"):
        second.join()
    assert leases(disk / "team") == before
    assert {path.name for path in (disk / "team").iterdir()} - {".leases.json"} == {"lock", "leases.json", first.worker}
    first.leave()
    filler.unlink()
    second.join()
    assert second.ask(10) == 0
    with after(3.1):
        assert second.ask(10) == 10


def test_leases_of_former_boots_are_removed_when_nobody_has_used_them_for_a_month(tmp_path: Path) -> None:
    """Not those that another machine with the same home holds, nor others of this boot."""
    limits = tmp_path / "limits"
    held = sharing(limits / "other" / "held", "a.yaml")
    for name in ("old/team", "old/more", "other/team", "other/held", "own/team", "own/more"):
        (limits / name).mkdir(parents=True, exist_ok=True)
        (limits / name / "lock").touch()
        (limits / name / "leases.json").write_bytes(b"{}\n")
        os.utime(limits / name / "leases.json", (0, 0))
    (limits / "new" / "team").mkdir(parents=True)
    (limits / "new" / "team" / "leases.json").write_bytes(b"{}\n")
    remove_unused(limits / "own" / "team")
    left = {str(path.relative_to(limits)) for path in limits.glob("*/*")}
    assert left == {"other/held", "own/team", "own/more", "new/team"}
    assert not (limits / "old").exists()
    held.leave()


def test_the_folder_is_of_one_boot_of_one_machine(tmp_path: Path) -> None:
    folder = leases_folder("team", {"XDG_STATE_HOME": str(tmp_path)})
    assert folder.is_relative_to(tmp_path / "batchchat" / "limits")
    assert folder.name == "team"
    assert leases_folder("team", {"HOME": "/home/u"}).is_relative_to("/home/u/.local/state/batchchat/limits")
    with pytest.raises(UsageError, match="set HOME, or XDG_STATE_HOME"):
        leases_folder("team", {})
