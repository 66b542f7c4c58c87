"""The journal read back: cut anywhere, hurt anywhere."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from batchchat.errors import MachineError, OutputError
from batchchat.store import records
from batchchat.store.journal import Journal
from batchchat.store.line_reader import LineReader
from batchchat.store.segment_file import ResumePoint
from batchchat.store.segments import journal_offset, offset_of, scan, segment_of, segment_path, segments
from tests.store.given import answered, bare, open_files, read_all, run_record, write_segment

ROWS: list[dict[str, Any]] = [{"kind": "row", "n": n} for n in range(4)]
LINES = [records.encode(row) for row in ROWS]
STARTS = [sum(map(len, LINES[:n])) for n in range(len(LINES))]
WHOLE = b"".join(LINES)
NEXT = {"kind": "row", "n": 99}
NAME = "journal-000001.jsonl"


def go_on(folder: Path) -> None:
    """Open the journal where a scan says, and append one record."""
    reading = scan(folder)
    for _ in reading:
        pass

    async def append() -> None:
        journal = Journal(folder, ResumePoint(reading.end), lambda _: None, sync=lambda _: None)
        journal.append(NEXT)
        await journal.settled()
        journal.close()

    asyncio.run(append())


def torn(length: int) -> str:
    return (
        f"{NAME}: the last {length} bytes were torn when the run was killed and are cut off; what they held is sent"
        " again"
    )


def damaged(offset: int, length: int) -> str:
    return f"{NAME}: {length} bytes at offset {offset} are damaged and not used; what they held is sent again"


def one_byte(offset: int) -> str:
    return f"{NAME}: 1 byte at offset {offset} is damaged; no finished row is lost"


@pytest.mark.parametrize("cut", range(STARTS[2], len(WHOLE) + 1))
def test_a_journal_cut_anywhere_goes_on(tmp_path: Path, cut: int) -> None:
    """A journal cut at any byte of its last two records keeps each whole record, says what it lost, and goes on."""
    path = segment_path(tmp_path, 1)
    path.write_bytes(WHOLE[:cut])
    whole = [n for n in range(len(ROWS)) if STARTS[n] + len(LINES[n]) - 1 <= cut]
    reached = STARTS[len(whole)] if len(whole) < len(ROWS) else len(WHOLE)
    rest = max(0, cut - reached)
    found, said = read_all(tmp_path)
    assert found == ROWS[: len(whole)]
    assert said == ([] if not rest else [one_byte(reached)] if rest == 1 else [torn(rest)])
    go_on(tmp_path)
    assert read_all(tmp_path) == ([*ROWS[: len(whole)], NEXT], [])


@pytest.mark.parametrize("how", ["low bit", "high bit", "newline"])
def test_a_byte_hurt_anywhere_costs_its_record_alone(tmp_path: Path, how: str) -> None:
    """A byte changed at any place loses the record it stands in, and only that; a hurt newline loses none."""
    for at in range(len(WHOLE)):
        hurt = bytearray(WHOLE)
        hurt[at] = {"low bit": hurt[at] ^ 1, "high bit": hurt[at] ^ 128, "newline": 10}[how]
        if hurt[at] == WHOLE[at]:
            continue
        folder = tmp_path / f"{at}"
        folder.mkdir()
        segment_path(folder, 1).write_bytes(hurt)
        line = max(n for n in range(len(ROWS)) if STARTS[n] <= at)
        newline, last = WHOLE[at] == 10, line == len(ROWS) - 1
        left = [row for n, row in enumerate(ROWS) if newline or n != line]
        said = damaged(STARTS[line], len(LINES[line]))
        said = one_byte(at) if newline else torn(len(LINES[line])) if last else said
        assert read_all(folder) == (left, [said]), at
        go_on(folder)
        assert read_all(folder) == ([*left, NEXT], [] if last else [said]), at


def test_garbage_at_the_end_is_one_damage(tmp_path: Path) -> None:
    """Several torn lines that are no UTF-8 are told once, with all their bytes, and cut off."""
    garbage = b"\xff\xfe\n\x00\x80\n\n" * 10
    segment_path(tmp_path, 1).write_bytes(WHOLE + garbage)
    assert read_all(tmp_path) == (ROWS, [torn(70)])
    go_on(tmp_path)
    assert segment_path(tmp_path, 1).read_bytes() == WHOLE + records.encode(NEXT)


def test_a_journal_of_garbage_alone_is_begun_anew(tmp_path: Path) -> None:
    """Where nothing is intact, writing begins at the file's beginning."""
    segment_path(tmp_path, 1).write_bytes(b"\xff" * 5000)
    found, said = read_all(tmp_path)
    assert found == []
    assert said == [torn(5000).replace("5000", "5,000")]
    go_on(tmp_path)
    assert read_all(tmp_path) == ([NEXT], [])


@pytest.mark.parametrize("rest", [b"", b'{"kind":"ro', b"\xff\xff\n"])
def test_writing_goes_on_in_the_last_segment_though_it_is_empty(tmp_path: Path, rest: bytes) -> None:
    """A segment that was begun when the run was killed is the one that is written, whatever was in it."""
    write_segment(tmp_path, 1, ROWS)
    segment_path(tmp_path, 2).write_bytes(rest)
    reading = scan(tmp_path)
    assert [bare(record) for _, record in reading] == ROWS
    assert reading.end == journal_offset(2, 0)
    assert [damage.torn for damage in reading.damages] == [True] * bool(rest)
    go_on(tmp_path)
    assert segment_path(tmp_path, 1).read_bytes() == WHOLE
    assert segment_path(tmp_path, 2).read_bytes() == records.encode(NEXT)
    assert read_all(tmp_path) == ([*ROWS, NEXT], [])


def test_damage_at_the_end_of_an_earlier_segment_is_not_cut_off(tmp_path: Path) -> None:
    """Only the last segment has a torn tail; elsewhere bytes are damaged, told, and left alone."""
    segment_path(tmp_path, 1).write_bytes(WHOLE[:-5])
    write_segment(tmp_path, 2, [NEXT])
    said = damaged(STARTS[3], len(LINES[3]) - 5)
    assert read_all(tmp_path) == ([*ROWS[:3], NEXT], [said])
    go_on(tmp_path)
    assert read_all(tmp_path) == ([*ROWS[:3], NEXT, NEXT], [said])


def test_a_torn_tail_of_one_of_several_writers(tmp_path: Path) -> None:
    """It is reported once, by the session behind it, and left as it is; nothing of others is lost."""
    write_segment(tmp_path, 1, [{**run_record(), "workers": 3}])
    segment_path(tmp_path, 2).write_bytes(WHOLE[:-5])
    segment_path(tmp_path, 3).write_bytes(LINES[3][:-5])
    write_segment(tmp_path, 4, [NEXT])
    length = len(LINES[3]) - 5
    said = [
        f"journal-00000{number}.jsonl: the last {length} bytes were torn when the run was killed and are not used; what"
        " they held is sent again"
        for number in (2, 3)
    ]
    assert read_all(tmp_path)[1] == said
    write_segment(tmp_path, 5, [run_record()])
    kept, damages = read_all(tmp_path)
    assert (damages, kept[-2]) == ([], NEXT)


def test_an_empty_folder_begins_with_segment_one(tmp_path: Path) -> None:
    """No journal is a journal of nothing, and so is a folder that is not there."""
    assert scan(tmp_path).end == journal_offset(1, 0)
    assert segments(tmp_path / "nowhere") == []
    assert read_all(tmp_path / "nowhere") == ([], [])


def test_segments_are_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    """Ten comes after two; other files are no segments."""
    for number in (10, 2, 1):
        write_segment(tmp_path, number, [{"kind": "row", "n": number}])
    (tmp_path / "journal-000003.jsonl.bak").write_bytes(WHOLE)
    (tmp_path / "run.json").write_bytes(b"{}")
    assert segments(tmp_path) == [1, 2, 10]
    assert [record["n"] for record in read_all(tmp_path)[0]] == [1, 2, 10]


def test_a_journal_of_another_format_is_refused(tmp_path: Path) -> None:
    """A journal this version can't read is left alone, with the way out."""
    write_segment(tmp_path, 1, [run_record(format=7, version="3.1"), *ROWS])
    with pytest.raises(OutputError) as caught:
        list(scan(tmp_path))
    assert str(caught.value) == (
        f"{tmp_path / NAME} is a journal of format 7, of batchchat 3.1; this version reads format 1."
        " Use that version, or set the run aside with --fresh."
    )


def test_a_segment_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """The disk's refusal names the file."""
    segment_path(tmp_path, 1).mkdir()
    with pytest.raises(MachineError) as caught:
        list(scan(tmp_path))
    assert str(caught.value) == f"{tmp_path / NAME} can't be read: Is a directory."


def test_a_location_holds_segment_and_offset() -> None:
    """Both come out of the integer as they went in."""
    at = journal_offset(123_456, (1 << 40) - 1)
    assert (segment_of(at), offset_of(at)) == (123_456, (1 << 40) - 1)


def test_lines_are_read_back_in_any_order(tmp_path: Path) -> None:
    """Every journal offset a scan gives reads back equal with its length, long lines and several segments too."""
    long = "x" * (3 << 20)
    rows: list[Any] = [answered(f"{n}", messages=[{"role": "user", "content": long[: n**8]}]) for n in range(7)]
    places = [*write_segment(tmp_path, 1, rows[:4]), *write_segment(tmp_path, 2, rows[4:])]
    reader = LineReader(tmp_path)
    for n in (6, 0, 5, 1, 4, 2, 3, 3, 6):
        record, length = reader.read(places[n])
        assert bare(record) == rows[n]
        assert length == len(records.encode(rows[n])) - 1
    reader.close()


def test_lines_whose_newlines_are_hurt_are_read_back(tmp_path: Path) -> None:
    """A line joined to the next, and a last one without an end, are read as a scan read them."""
    segment_path(tmp_path, 1).write_bytes(LINES[0][:-1] + b"x" + LINES[1] + LINES[2][:-1])
    reader = LineReader(tmp_path)
    reading = scan(tmp_path)
    assert [(bare(reader.read(at)[0]), bare(record)) for at, record in reading] == [(row, row) for row in ROWS[:3]]
    reader.close()


def test_a_line_is_read_though_what_stood_there_was_read_ahead(tmp_path: Path) -> None:
    """A torn tail that was read ahead, cut off and written over does not hide the new line."""
    path = segment_path(tmp_path, 1)
    path.write_bytes(LINES[0] + b"\xff" * 20 + b"\n" + b"\xff" * 200)
    reader = LineReader(tmp_path)
    assert bare(reader.read(journal_offset(1, 0))[0]) == ROWS[0]
    go_on(tmp_path)
    assert bare(reader.read(journal_offset(1, len(LINES[0])))[0]) == NEXT
    reader.close()


def test_a_line_damaged_since_is_told(tmp_path: Path) -> None:
    """A line that was intact and is not any more stops the run with its place."""
    (at, second, *_) = write_segment(tmp_path, 1, ROWS)
    hurt = bytearray(WHOLE)
    hurt[STARTS[1] + 12] ^= 1
    segment_path(tmp_path, 1).write_bytes(hurt)
    reader = LineReader(tmp_path)
    assert bare(reader.read(at)[0]) == ROWS[0]
    with pytest.raises(MachineError) as caught:
        reader.read(second)
    assert str(caught.value) == (
        f"{tmp_path / NAME}: the line at offset {STARTS[1]} was intact when the run began and is damaged now."
        " The disk may be failing; run the same command again to send that row again."
    )
    reader.close()


def test_a_segment_that_vanished_is_told(tmp_path: Path) -> None:
    """A journal deleted under a run ends it as a fault of this machine."""
    with pytest.raises(MachineError) as caught:
        LineReader(tmp_path).read(journal_offset(1, 0))
    assert str(caught.value) == f"{tmp_path / NAME} can't be read: No such file or directory."


def test_closing_gives_the_files_back(tmp_path: Path) -> None:
    """No descriptor stays open."""
    before = open_files()
    (at, *_) = write_segment(tmp_path, 1, ROWS)
    reader = LineReader(tmp_path)
    reader.read(at)
    reader.close()
    assert open_files() == before
    assert bare(reader.read(at)[0]) == ROWS[0]
    reader.close()
