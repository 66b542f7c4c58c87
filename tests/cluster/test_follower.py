"""Segments of workers, read as they grow."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from batchchat.cluster.follower import JournalFollower
from batchchat.store import records
from batchchat.store.segments import scan, segment_path
from tests.store.given import answered, write_segment

ROWS = [answered(f"{n}", ordinal=n) for n in range(6)]


class Followed:
    """A follower of `folder` whose segment 1 was there before, and what it has applied."""

    def __init__(self, folder: Path) -> None:
        self.applied: list[tuple[int, Any]] = []
        write_segment(folder, 1, [{"kind": "run", "format": 1}])
        self.follower = JournalFollower(folder, lambda location, record: self.applied.append((location, record)))
        assert self.follower.begin() == [1]

    @property
    def ids(self) -> list[str]:
        return [record["id"] for _, record in self.applied]


def test_no_more_than_is_synced_is_applied(tmp_path: Path) -> None:
    """Lines behind the location that a worker told of wait; each is applied once, where a scan finds it."""
    followed = Followed(tmp_path)
    places = write_segment(tmp_path, 2, ROWS[:4])

    async def play() -> None:
        for place in (places[1], places[0], places[1], places[3]):
            await followed.follower.follow(1, place)
            if place == places[1]:
                assert followed.ids == ["0", "1"]

    asyncio.run(play())
    assert followed.ids == ["0", "1", "2", "3"]
    assert followed.applied == [*scan(tmp_path)][1:]
    assert followed.follower.row_counts[1] == 4


def test_a_worker_goes_on_in_another_segment(tmp_path: Path) -> None:
    """What is left of the segment before is applied first."""
    followed = Followed(tmp_path)
    first = write_segment(tmp_path, 2, ROWS[:3])
    second = write_segment(tmp_path, 4, ROWS[3:])

    async def play() -> None:
        await followed.follower.follow(1, first[0])
        await followed.follower.follow(1, second[0])

    asyncio.run(play())
    assert followed.ids == ["0", "1", "2", "3"]
    assert followed.follower.segments_of(1) == [2, 4]


def test_what_a_killed_worker_left(tmp_path: Path) -> None:
    """All that is intact counts, synced or not, of a segment that it never told of, too; a torn line does not."""
    followed = Followed(tmp_path)
    hold = {"kind": "hold", "requests": 4, "usd": None, "writer": 7}
    write_segment(tmp_path, 2, [hold, *ROWS[:2]])
    with segment_path(tmp_path, 2).open("ab") as file:
        file.write(records.encode(ROWS[2])[:-9])
    assert followed.follower.unknown() == [2]
    asyncio.run(followed.follower.end(7))
    assert [record.get("id") for _, record in followed.applied] == [None, "0", "1"]
    assert followed.follower.segments_of(7) == [2]
    assert followed.follower.unknown() == []


def test_two_that_die_at_once_keep_their_own_segments(tmp_path: Path) -> None:
    """Neither has told of its segment: the hold at its head says whose it is, and so who does not pay again."""
    followed = Followed(tmp_path)
    for writer in (1, 2):
        hold = {"kind": "hold", "requests": 4, "usd": None, "writer": writer}
        write_segment(tmp_path, 1 + writer, [hold, ROWS[writer]])
    asyncio.run(followed.follower.end(2))
    asyncio.run(followed.follower.end(1))
    assert (followed.follower.segments_of(1), followed.follower.segments_of(2)) == ([2], [3])


def test_a_segment_of_the_run_itself_is_no_workers(tmp_path: Path) -> None:
    """The run applies what it writes, though it has just begun another segment, of which it has not told yet."""
    followed = Followed(tmp_path)
    write_segment(tmp_path, 2, ROWS[:1])
    asyncio.run(followed.follower.end(1))
    assert (followed.applied, followed.follower.unknown()) == ([], [2])
    followed.follower.add_own(2)
    assert followed.follower.unknown() == []
