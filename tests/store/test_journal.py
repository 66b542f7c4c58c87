"""Appending: groups, order, failures of the disk, SIGKILL."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest

from batchchat.errors import MachineError
from batchchat.store import records
from batchchat.store.journal import Journal
from batchchat.store.line_reader import LineReader
from batchchat.store.segment_file import ResumePoint, SegmentFile
from batchchat.store.segments import journal_offset, scan, segment_path, segments
from tests.store.given import bare, open_files, read_all, small_disk


def row(n: int) -> dict[str, Any]:
    return {"kind": "row", "n": n}


ROWS = [row(n) for n in range(6)]


class Ears:
    """What the journal's owner hears."""

    def __init__(self) -> None:
        self.groups: list[list[tuple[int, Any]]] = []
        self.broke = 0

    def committed(self, placed: Sequence[tuple[int, Any]]) -> None:
        self.groups.append(list(placed))

    def break_(self) -> None:
        self.broke += 1

    @property
    def sizes(self) -> list[int]:
        return [len(group) for group in self.groups]

    @property
    def rows(self) -> list[Any]:
        return [record for group in self.groups for _, record in group]


class GatedSync:
    """A sync that takes as long as the test wants."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.entered = threading.Semaphore(0)

    def __call__(self, descriptor: int) -> None:
        self.entered.release()
        assert self.gate.wait(10)

    async def is_under_way(self) -> None:
        assert await asyncio.to_thread(self.entered.acquire, timeout=10)


def told(folder: Path, why: str) -> str:
    return (
        f"the journal in {folder} can't be written: {why}."
        " Every row reported as done is kept. Free space or repair the disk, then run the same command again."
    )


def play(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run `scene` in a loop where whatever asyncio would only log is an error."""
    complaints: list[dict[str, Any]] = []

    async def watched() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        await scene()
        await asyncio.sleep(0.01)

    asyncio.run(watched())
    assert complaints == []


def test_what_comes_during_a_sync_is_one_group(tmp_path: Path) -> None:
    """While a group is synced the next gathers; order is kept, and each journal offset reads back its record."""
    ears, sync = Ears(), GatedSync()

    async def scene() -> None:
        journal = Journal(tmp_path, ResumePoint(), ears.committed, ears.break_, sync=sync)
        journal.append(ROWS[0])
        await sync.is_under_way()
        for record in ROWS[1:]:
            journal.append(record)
        assert journal.unsynced == 6
        assert ears.groups == []
        sync.gate.set()
        await journal.settled()
        assert journal.unsynced == 0
        journal.close()

    play(scene)
    assert ears.sizes == [1, 5]
    assert ears.rows == ROWS
    assert ears.broke == 0
    reader = LineReader(tmp_path)
    assert [bare(reader.read(at)[0]) for group in ears.groups for at, _ in group] == ROWS
    reader.close()


def test_room_waits_until_few_enough_are_unsynced(tmp_path: Path) -> None:
    """Each waiter wakes when its own bound is met, not before; one who went away holds nobody up."""
    ears, sync = Ears(), GatedSync()

    async def scene() -> None:
        journal = Journal(tmp_path, ResumePoint(), ears.committed, sync=sync)
        await journal.room(0)
        journal.append(ROWS[0])
        await sync.is_under_way()
        for record in ROWS[1:4]:
            journal.append(record)
        await journal.room(4)
        waits = [asyncio.create_task(journal.room(most)) for most in (3, 0, 0)]
        await asyncio.sleep(0.01)
        assert not any(wait.done() for wait in waits)
        waits[2].cancel()
        sync.gate.set()
        await waits[0]
        assert journal.unsynced == 3
        assert not waits[1].done()
        await waits[1]
        assert journal.unsynced == 0
        journal.close()

    play(scene)
    assert ears.sizes == [1, 3]


def test_long_lines_are_written_without_a_copy_of_all(tmp_path: Path) -> None:
    """Short lines of a group are one write, long ones each their own, in their order and with their offsets."""
    ears, sync, sizes = Ears(), GatedSync(), list[int]()
    long = [{**row, "messages": [{"role": "user", "content": "x" * 100_000}]} for row in ROWS]

    def write(descriptor: int, data: memoryview) -> int:
        sizes.append(len(data))
        return os.write(descriptor, data)

    async def scene() -> None:
        journal = Journal(tmp_path, ResumePoint(), ears.committed, write=write, sync=sync)
        for rows in (ROWS, long):
            sync.gate.clear()
            for record in rows:
                journal.append(record)
            sync.gate.set()
            await journal.settled()
        journal.close()

    play(scene)
    first, *group = (len(records.encode(row)) for row in ROWS)
    assert sizes == [first, sum(group), *(len(records.encode(row)) for row in long)]
    reader = LineReader(tmp_path)
    assert [bare(reader.read(at)[0]) for group in ears.groups for at, _ in group] == [*ROWS, *long]
    reader.close()


def test_what_is_written_in_pieces_is_whole(tmp_path: Path) -> None:
    """A write that takes a few bytes at a time loses none."""
    ears = Ears()

    async def scene() -> None:
        journal = Journal(tmp_path, ResumePoint(), ears.committed, write=lambda fd, data: os.write(fd, data[:3]))
        for record in ROWS:
            journal.append(record)
        await journal.settled()
        journal.close()

    play(scene)
    assert read_all(tmp_path) == (ROWS, [])


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("where", ["write", "short write", "sync"])
def test_a_disk_that_refuses_stops_the_journal(tmp_path: Path, where: str, number: int) -> None:
    """After ENOSPC or EIO the file ends with its last synced group, the run learns why, and nothing more is taken."""
    ears = Ears()
    refuses = False

    def write(descriptor: int, data: Any) -> int:
        if refuses and where == "write":
            raise OSError(number, os.strerror(number))
        if refuses and where == "short write":
            if len(data) < 20:
                raise OSError(number, os.strerror(number))
            return os.write(descriptor, data[:10])
        return os.write(descriptor, data)

    def sync(_: int) -> None:
        if refuses and where == "sync":
            raise OSError(number, os.strerror(number))

    async def scene() -> None:
        nonlocal refuses
        journal = Journal(tmp_path, ResumePoint(), ears.committed, ears.break_, write=write, sync=sync)
        journal.append(ROWS[0])
        await journal.settled()
        refuses = True
        waits = [asyncio.create_task(journal.room(0)) for _ in range(2)]
        journal.append(ROWS[1])
        journal.append(ROWS[2])
        for wait in (*waits, journal.room(0), journal.room(1000)):
            with pytest.raises(MachineError) as caught:
                await wait
            assert str(caught.value) == told(tmp_path, os.strerror(number))
        assert journal.failed is caught.value
        refuses = False
        journal.append(ROWS[3])
        await asyncio.sleep(0.01)
        journal.close()

    play(scene)
    assert ears.broke == 1
    assert ears.rows == ROWS[:1]
    assert segment_path(tmp_path, 1).read_bytes() == records.encode(ROWS[0])


async def fill(journal: Journal) -> None:
    for n in range(1000):
        journal.append({"kind": "row", "n": n, "text": "x" * 500})
        await journal.room(8)


def test_a_full_disk_keeps_what_was_synced(tmp_path: Path) -> None:
    """On a real disk that fills up, every acknowledged record is there and the file ends with one."""
    ears = Ears()
    with small_disk(tmp_path, 64) as disk:

        async def scene() -> None:
            journal = Journal(disk, ResumePoint(), ears.committed, ears.break_)
            with pytest.raises(MachineError) as caught:
                await fill(journal)
            assert str(caught.value) == told(disk, "No space left on device")
            journal.close()

        play(scene)
        found, said = read_all(disk)
    assert said == []
    assert len(ears.rows) > 50
    assert found == ears.rows
    assert ears.broke == 1


def test_closing_writes_what_waits(tmp_path: Path) -> None:
    """Closing in the midst of a sync writes the group that waits, and tells of both."""
    ears, sync = Ears(), GatedSync()

    async def scene() -> None:
        journal = Journal(tmp_path, ResumePoint(), ears.committed, ears.break_, sync=sync)
        journal.append(ROWS[0])
        await sync.is_under_way()
        journal.append(ROWS[1])
        journal.append(ROWS[2])
        threading.Timer(0.02, sync.gate.set).start()
        journal.close()
        assert journal.unsynced == 0

    play(scene)
    assert ears.sizes == [1, 2]
    assert ears.broke == 0
    assert read_all(tmp_path) == (ROWS[:3], [])


def test_closing_after_the_group_under_way_failed_writes_nothing_more(tmp_path: Path) -> None:
    """A failure that nobody has heard of yet is raised by close, and what waited is not written behind a hole."""
    ears, sync = Ears(), GatedSync()
    refused = iter([True])

    def failing(descriptor: int) -> None:
        sync(descriptor)
        if next(refused, False):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    async def scene() -> None:
        before = open_files()
        journal = Journal(tmp_path, ResumePoint(), ears.committed, ears.break_, sync=failing)
        journal.append(ROWS[0])
        await sync.is_under_way()
        journal.append(ROWS[1])
        sync.gate.set()
        with pytest.raises(MachineError) as caught:
            journal.close()
        assert str(caught.value) == told(tmp_path, "Input/output error")
        assert open_files() == before

    play(scene)
    assert ears.groups == []
    assert read_all(tmp_path) == ([], [])


def test_a_defect_of_the_listener_stops_the_run(tmp_path: Path) -> None:
    """An exception of `committed` is not only logged: it is what `room` raises, once told."""
    ears = Ears()

    def committed(_: Sequence[tuple[int, Any]]) -> None:
        raise ZeroDivisionError

    async def scene() -> None:
        journal = Journal(tmp_path, ResumePoint(), committed, ears.break_)
        for record in ROWS:
            journal.append(record)
        with pytest.raises(ZeroDivisionError):
            await journal.settled()
        await asyncio.sleep(0.01)
        journal.close()

    play(scene)
    assert ears.broke == 1


def test_segments_roll(tmp_path: Path) -> None:
    """A segment that is long enough is followed by another; locations and order hold over them."""
    ears = Ears()

    async def scene() -> None:
        journal = Journal(tmp_path, ResumePoint(), ears.committed, segment_bytes=60)
        for record in ROWS:
            journal.append(record)
            await journal.settled()
        journal.close()

    play(scene)
    assert segments(tmp_path) == [1, 2, 3]
    assert read_all(tmp_path) == (ROWS, [])
    reader = LineReader(tmp_path)
    assert [bare(reader.read(at)[0]) for group in ears.groups for at, _ in group] == ROWS
    reader.close()
    reading = scan(tmp_path)
    list(reading)
    assert reading.end == journal_offset(3, segment_path(tmp_path, 3).stat().st_size)


def test_a_segment_that_cannot_be_begun_stops_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the next segment can't be made, the run learns of it, and what there is stays and is closed."""

    def broken(_file: SegmentFile) -> tuple[int, int]:
        raise IsADirectoryError(21, "Is a directory")

    monkeypatch.setattr(SegmentFile, "_new_segment", broken)
    ears = Ears()

    async def scene() -> None:
        before = open_files()
        journal = Journal(tmp_path, ResumePoint(), ears.committed, ears.break_, segment_bytes=1)
        journal.append(ROWS[0])
        await journal.settled()
        journal.append(ROWS[1])
        with pytest.raises(MachineError) as caught:
            await journal.settled()
        assert str(caught.value) == told(tmp_path, "Is a directory")
        journal.close()
        assert open_files() == before

    play(scene)
    assert ears.broke == 1
    assert segment_path(tmp_path, 1).read_bytes() == records.encode(ROWS[0])


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    """A journal that can't be opened is a fault of this machine."""

    async def scene() -> None:
        with pytest.raises(MachineError) as caught:
            Journal(tmp_path / "gone", ResumePoint(), lambda _: None)
        assert str(caught.value) == told(tmp_path / "gone", "No such file or directory")

    play(scene)


CHILD = """
import asyncio, sys
from pathlib import Path
from batchchat.store.journal import Journal
from batchchat.store.segment_file import ResumePoint
from batchchat.store.segments import scan

folder = Path(sys.argv[1])
reading = scan(folder)
last = max([record["n"] for _, record in reading], default=-1)

def committed(placed):
    for _, record in placed:
        print(record["n"], flush=True)

async def main():
    journal = Journal(folder, ResumePoint(reading.end), committed, segment_bytes=20_000)
    n = last
    while True:
        n += 1
        journal.append({"kind": "row", "n": n, "text": "x" * (n % 400)})
        await journal.room(16)

asyncio.run(main())
"""


def test_nothing_acknowledged_is_lost_to_sigkill(tmp_path: Path) -> None:
    """After each of 20 kills of a real process all it acknowledged is there, once, in order."""
    dice = random.Random(8)
    acknowledged = -1
    for _ in range(20):
        command = [sys.executable, "-c", CHILD, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            for _ in range(dice.randrange(1, 200)):
                acknowledged = int(child.stdout.readline())
            child.send_signal(signal.SIGKILL)
            rest = [line for line in child.stdout.read().split("\n")[:-1] if line]
            acknowledged = int(rest[-1]) if rest else acknowledged
        found, _ = read_all(tmp_path)
        assert [record["n"] for record in found] == list(range(len(found)))
        assert len(found) > acknowledged
    assert len(segments(tmp_path)) > 1


def test_the_journal_needs_neither_pandas_nor_pyarrow() -> None:
    """Writing and reading the journal imports no heavy library."""
    code = (
        "import sys; from batchchat.store import journal, segments;"
        "sys.exit(str([name for name in ('pandas', 'pyarrow', 'numpy') if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "[]"
