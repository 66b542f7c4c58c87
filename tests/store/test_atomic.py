"""Files and folders that are swapped in whole."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from batchchat.errors import MachineError
from batchchat.store import atomic
from batchchat.store.atomic import replacing_folder
from tests.store.given import small_disk


@pytest.fixture(params=["exchanged", "renamed aside"])
def swap(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """As the file system can exchange two names, and as it can't (overlay and network file systems)."""
    if request.param == "renamed aside":
        monkeypatch.setattr(atomic, "_exchanged", lambda _one, _other: False)
    return str(request.param)


def fill(path: Path, *names: str) -> None:
    with replacing_folder(path) as building:
        for name in names:
            (building / name).write_text(name)


def names_in(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_a_folder_takes_the_place_of_a_full_one(tmp_path: Path, swap: str) -> None:
    """What stood there is gone, what was built is there, and nothing is left beside it."""
    path = tmp_path / "out"
    fill(path, "a", "b", "c")
    fill(path, "b", "d")
    assert (names_in(path), names_in(tmp_path)) == (["b", "d"], ["out"])


def test_a_failure_half_way_changes_nothing(tmp_path: Path, swap: str) -> None:
    """The old folder stays as it was, and the half-built one goes."""
    path = tmp_path / "out"
    fill(path, "a")
    with pytest.raises(ZeroDivisionError), replacing_folder(path) as building:
        (building / "b").write_text(str(1 // 0))
    assert (names_in(path), names_in(tmp_path)) == (["a"], ["out"])


def test_no_reader_finds_it_missing_where_names_can_be_exchanged(tmp_path: Path) -> None:
    """Someone who lists the folder all the time sees the old content or the new, never none."""
    path = tmp_path / "out"
    fill(path, "a")
    seen: set[tuple[str, ...]] = set()
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            try:
                seen.add(tuple(names_in(path)))
            except FileNotFoundError:
                seen.add(("missing",))

    reader = threading.Thread(target=look)
    reader.start()
    for number in range(200):
        fill(path, "ab"[number % 2])
    ended.set()
    reader.join()
    # A folder that was just exchanged away may be listed while it is taken down: then it is empty.
    assert seen <= {("a",), ("b",), ()}


KILLED = """
import os, sys
from pathlib import Path
from batchchat.store import atomic
path = Path(sys.argv[1])
atomic._exchanged = lambda one, other: False
rename = Path.rename
def killed_after_the_first(self, target):
    rename(self, target)
    os.kill(os.getpid(), 9)
Path.rename = killed_after_the_first
with atomic.replacing_folder(path) as building:
    (building / "new").write_text("new")
"""


def test_killed_between_two_renames(tmp_path: Path) -> None:
    """The old folder, which stands aside then, is put back before it is replaced."""
    path = tmp_path / "out"
    fill(path, "old")
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == -9
    assert names_in(tmp_path) == [".out.aside", ".out.building"]
    with pytest.raises(ZeroDivisionError), replacing_folder(path):
        raise ZeroDivisionError
    assert (names_in(path), names_in(tmp_path)) == (["old"], ["out"])


def test_a_full_disk_changes_nothing(tmp_path: Path) -> None:
    """ENOSPC is told with the way out; the old folder stays."""
    with small_disk(tmp_path, 128) as disk:
        path = disk / "out"
        fill(path, "a")
        with pytest.raises(MachineError, match="No space left on device"), replacing_folder(path) as building:
            (building / "b").write_bytes(os.urandom(200_000))
        assert (names_in(path), names_in(disk)) == (["a"], ["out"])
