"""Journals put behind one another: every record is found, and amendments lead to their rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from batchchat.core.conversation import Key
from batchchat.errors import OutputError
from batchchat.store import records
from batchchat.store.amendments import amendment, read_row
from batchchat.store.journal_copy import copy_journal, survey_journal
from batchchat.store.ledger import Ledger
from batchchat.store.line_reader import LineReader
from batchchat.store.segments import journal_offset, scan, segment_path
from tests.store.given import answered

RUN = {"kind": "run", "format": 1, "name": "j"}


def write(folder: Path, *segments: list[Any], first: int = 1) -> None:
    """A segment of each list of records; bytes are written as they are."""
    folder.mkdir(exist_ok=True)
    for number, content in enumerate(segments, first):
        lines = (item if isinstance(item, bytes) else records.encode(item) for item in content)
        segment_path(folder, number).write_bytes(b"".join(lines))


def amended(at: int, name: str = "b") -> dict[str, Any]:
    """The row of `a`, recorded at `at`, is that of `name` now."""
    return amendment(Key(name), 0xFF, of=Key("a"), row=at, place="in.jsonl:9", ordinal=8, passthrough={"topic": "soup"})


def rows_of(folder: Path) -> dict[str, Any]:
    """The finished rows by id, as a ledger finds them."""
    ledger = Ledger(folder)
    for at, record in scan(folder):
        ledger.apply(at, record)
    rows = [ledger.read(entry) for entry in ledger.index.finished()]
    ledger.close()
    return {row["id"]: row for row in rows}


def test_a_survey(tmp_path: Path) -> None:
    """The latest `run` record, whether a row was amended; nothing of a journal without one."""
    write(tmp_path, [RUN, answered()], [{**RUN, "name": "k"}])
    assert survey_journal(tmp_path).last_run["name"] == "k"
    assert not survey_journal(tmp_path).is_amended
    write(tmp_path, [amended(journal_offset(1, 0))], first=3)
    assert survey_journal(tmp_path).is_amended
    assert survey_journal(tmp_path / "gone").last_run == {}


def test_another_format_is_refused(tmp_path: Path) -> None:
    write(tmp_path, [{**RUN, "format": 2}])
    with pytest.raises(OutputError, match="is a journal of format 2"):
        survey_journal(tmp_path)


def test_segments_follow_one_another(tmp_path: Path) -> None:
    """Under new numbers; a closed segment is linked, and the last one, which its run may continue, is not."""
    source, target = tmp_path / "s", tmp_path / "t"
    write(source, [RUN, answered("a")], [answered("b")], first=3)
    write(target, [RUN, answered("z")])
    assert copy_journal(source, target, 2, is_amended=False) == 4
    assert set(rows_of(target)) == {"z", "a", "b"}
    assert segment_path(target, 2).samefile(segment_path(source, 3))
    assert not segment_path(target, 3).samefile(segment_path(source, 4))


def test_amendments_lead_to_their_rows(tmp_path: Path) -> None:
    """Their offsets have more digits in a higher segment, so that all that follows moves: each is led to its row."""
    source, target = tmp_path / "s", tmp_path / "t"
    first = records.encode(RUN)
    write(source, [first, answered("a")])
    chain: list[Any] = [amended(journal_offset(1, len(first)))]
    for n in range(3):  # a row after an amendment, which is amended itself
        offset = sum(map(len, map(records.encode, chain)))
        chain += [answered(f"x{n}"), {**amended(journal_offset(2, offset), f"y{n}"), "of": [f"x{n}", "", 0]}]
    write(source, chain, first=2)
    before = rows_of(source)
    assert set(before) == {"b", "y0", "y1", "y2"}
    target.mkdir()
    assert copy_journal(source, target, 123_456, is_amended=True) == 123_458
    assert rows_of(target) == before
    assert before["b"]["carried"] == {"topic": "soup"}
    assert not scan(target).damages


def test_what_is_damaged_is_left_out_or_taken_along(tmp_path: Path) -> None:
    """A torn tail stays one; of lines that a damaged newline joined, each is written on its own."""
    source, target = tmp_path / "s", tmp_path / "t"
    first, row = records.encode(RUN), records.encode(answered("a"))
    joined = row.removesuffix(b"\n") + b"\x00" + records.encode(amended(journal_offset(1, len(first))))
    write(source, [first, joined, answered("c"), b'{"kind":"row","id":"torn'])
    target.mkdir()
    copy_journal(source, target, 5, is_amended=True)
    assert set(rows_of(target)) == {"b", "c"}
    lines = LineReader(target)
    assert [read_row(lines, at)[0]["id"] for at, record in scan(target) if record["kind"] == "amend"] == ["b"]
    lines.close()


def test_too_many_segments(tmp_path: Path) -> None:
    write(tmp_path / "s", [RUN], [RUN])
    with pytest.raises(OutputError, match="at most 999,999 segments"):
        copy_journal(tmp_path / "s", tmp_path, 999_998, is_amended=False)
