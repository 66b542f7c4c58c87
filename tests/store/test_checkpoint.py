"""A replay with a checkpoint is the replay without one, whatever the journal holds and whatever became of the files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchchat.core.conversation import Key
from batchchat.store import checkpoint, records
from batchchat.store.checkpoint import CHECKPOINT, Replay, publish_checkpoint, replay, write_checkpoint
from batchchat.store.ledger import Ledger
from batchchat.store.ledger_state import state_of_ledger
from batchchat.store.segment_sums import SegmentSums
from batchchat.store.segments import journal_offset, segment_path
from tests.store.given import answered, failed, invalid, run_record, write_segment

READING = {"id": "abc", "total": 3, "notes": ["rows have `tools`, not sent."]}

_ids = st.sampled_from(["a", "b", "c", "d\ud800"])
_costs = st.none() | st.integers(0, 10**12).map(lambda n: n / 10**12)
_values = st.sampled_from(
    [None, True, 7, 0.5, 2**70, "x", [1, None], [], {"n": 1, "of": [0.5]}, {"n": "\ud800"}, float("nan")]
)
_carried = st.none() | st.dictionaries(st.sampled_from(["topic", "score", "é"]), _values, max_size=3)


def step(id_: str, **fields: Any) -> dict[str, Any]:
    key = {"kind": "step", "id": id_, "variant": "", "sample": 0}
    return key | {"fp": "00000000000000ff", "attempts": 1, "possibly_billed": 0, "cost_usd": None} | fields


def hold(requests: int, usd: str | None, price: str) -> dict[str, Any]:
    return {"kind": "hold", "requests": requests, "usd": usd, "price": price, "answers": requests, "dearest": "1.25"}


def amendment(id_: str, of: str, carried: dict[str, Any] | None) -> dict[str, Any]:
    key = {"kind": "amend", "id": id_, "variant": "", "sample": 0, "fp": "00000000000000ff"}
    return key | {"of": [of, "", 0], "row": 0, "place": "in.jsonl:9", "ordinal": 8, "carried": carried or {}}


_records = st.one_of(
    st.builds(
        answered,
        _ids,
        cost_usd=_costs,
        sample=st.integers(0, 1),
        carried=_carried,
        ordinal=st.integers(0, 9),
        possibly_billed=st.integers(0, 2),
        retries=st.none() | st.just({"rate_limit": 2}),
        reply=st.just({"text": "Flour.", "finish_reason": "length"}),
        latency_s=st.none() | st.floats(0, 1e3),
    ),
    st.builds(failed, _ids, cost_usd=_costs, unreported_usd=st.none() | st.just(0.25), carried=_carried),
    st.builds(invalid, _ids, carried=_carried),
    st.builds(step, _ids, cost_usd=_costs, why=st.sampled_from(["sent", "cut", "timeout", ""]), error=st.just("slow")),
    st.builds(
        step,
        _ids,
        why=st.just("accepted"),
        step=st.integers(1, 3),
        reply=st.just({"text": "One."}),
        usage=st.none() | st.just({"prompt_tokens": 2}),
        at=st.floats(1e9, 2e9),
    ),
    st.builds(hold, st.integers(0, 9), st.none() | st.just("0.125"), st.sampled_from(["p", "q"])),
    st.builds(amendment, _ids, _ids, _carried),
    st.builds(lambda host: run_record(endpoint=host, at=1.5), st.sampled_from(["x", "y"])),
)
_journals = st.lists(_records, max_size=12)


def state(ledger: Ledger) -> tuple[Any, ...]:
    """All that a ledger is, to be compared."""
    return repr(state_of_ledger(ledger)), [column.tolist() for column in ledger.index.arrays]


def write_journal(folder: Path, journal: Sequence[Any], segments: int, rows: dict[Any, int] | None = None) -> None:
    """Write `journal` over so many segments; `rows` gets the offsets of the rows' own records."""
    rows = {} if rows is None else rows
    for segment in range(1, segments + 1):
        segment_path(folder, segment).touch()
    for number, record in enumerate(journal):
        append(folder, 1 + number * segments // len(journal), record, rows)


def append(folder: Path, segment: int, record: Any, rows: dict[Any, int]) -> None:
    key = (record.get("id"), record.get("sample"))
    with segment_path(folder, segment).open("ab") as file:
        if record["kind"] == "row":
            rows[key] = journal_offset(segment, file.tell())
        elif record["kind"] == "amend":
            at = rows.get((record["of"][0], 0))
            record = record | {"row": at or 0}
            if at is not None:  # else there is nothing to amend, and a ledger passes it over
                rows[key] = at
        file.write(records.encode(record))


def replayed(folder: Path) -> tuple[Ledger, Replay]:
    ledger = Ledger(folder)
    result = replay(ledger, folder)
    ledger.close()
    return ledger, result


def plain(folder: Path) -> tuple[Any, ...]:
    """The state and the damages of a replay without the checkpoint."""
    kept = (folder / CHECKPOINT).rename(folder / "aside") if (folder / CHECKPOINT).exists() else None
    ledger, result = replayed(folder)
    if kept is not None:
        kept.rename(folder / CHECKPOINT)
    return state(ledger), result.tail.damages, result.tail.end


def with_checkpoint(folder: Path) -> tuple[Any, ...]:
    ledger, result = replayed(folder)
    return state(ledger), result.tail.damages, result.tail.end


def write(folder: Path, ledger: Ledger, end: int) -> bool:
    building = write_checkpoint(folder, ledger, end, SegmentSums(folder), READING)
    if building is not None:
        publish_checkpoint(building)
    return building is not None


@given(_journals, _journals, st.integers(1, 3))
@settings(max_examples=60)
def test_only_the_tail_is_folded(before: list[Any], after: list[Any], segments: int) -> None:
    """At any point of any journal, over any number of segments: the sums, the index, the columns, the open hold."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        rows: dict[Any, int] = {}
        write_journal(folder, before, segments, rows)
        ledger, first = replayed(folder)
        assert write(folder, ledger, first.tail.end)
        for record in after:
            append(folder, segments, record, rows)
        again, result = replayed(folder)
        assert result.start == first.tail.end
        assert (state(again), result.tail.damages, result.tail.end) == plain(folder)
        again.end_session()


@given(_journals)
@settings(max_examples=30)
def test_what_a_run_knows_besides_changes_no_sum(journal: list[Any]) -> None:
    """Rows that were read and have no record yet are in the index of a live run, with their ordinals."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_journal(folder, journal, 1)
        ledger, result = replayed(folder)
        for ordinal in range(100):
            ledger.index.set_ordinal(ledger.index.add(Key(f"new-{ordinal}")), ordinal)
        assert write(folder, ledger, result.tail.end)
        again, _ = replayed(folder)
        assert repr(state_of_ledger(again)) == repr(state_of_ledger(ledger))
        assert list(again.index.finished()) == list(ledger.index.finished())
        assert again.index.find(Key("new-99")) == ledger.index.find(Key("new-99"))


JOURNAL = [
    run_record(endpoint="x"),
    hold(3, "0.5", "p"),
    answered("a", carried={"topic": "soup", "score": 0.5}),
    step("b", why="accepted", step=1, reply={"text": "One."}),
    failed("c", cost_usd=0.25),
]


def test_a_damaged_byte_changes_nothing(tmp_path: Path) -> None:
    """In the checkpoint, in the journal before it, and behind it."""
    write_journal(tmp_path, JOURNAL, 2)
    ledger, result = replayed(tmp_path)
    assert write(tmp_path, ledger, result.tail.end)
    path = segment_path(tmp_path, 2)
    path.write_bytes(path.read_bytes() + write_and_read(tmp_path / "other", [answered("d")]))
    files = [tmp_path / CHECKPOINT, segment_path(tmp_path, 1), path]
    for file in files:
        whole = file.read_bytes()
        arrays = whole.index(b"]]}") if file.name == CHECKPOINT else len(whole)
        for at in (*range(0, arrays, 7), *range(arrays, len(whole), 501)):
            file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            assert with_checkpoint(tmp_path) == plain(tmp_path), (file.name, at)
        file.write_bytes(whole)
    assert replayed(tmp_path)[1].start == result.tail.end


def write_and_read(folder: Path, journal: Sequence[Any]) -> bytes:
    folder.mkdir()
    write_segment(folder, 1, journal)
    return segment_path(folder, 1).read_bytes()


@pytest.mark.parametrize(
    "change", ["shorter", "longer", "replaced", "no first", "cut off", "grown", "version", "folder"]
)
def test_one_that_does_not_fit_is_as_if_it_were_not_there(
    tmp_path: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A segment is shorter, longer, another or gone; the checkpoint is cut off, of another version, or no file."""
    write_journal(tmp_path, JOURNAL, 2)
    ledger, result = replayed(tmp_path)
    assert write(tmp_path, ledger, result.tail.end)
    first, own = segment_path(tmp_path, 1), tmp_path / CHECKPOINT
    if change == "shorter":
        write_segment(tmp_path, 2, JOURNAL[2:4])
    elif change == "longer":
        first.write_bytes(first.read_bytes() + write_and_read(tmp_path / "other", [answered("d")]))
    elif change == "replaced":
        write_segment(tmp_path, 2, [*JOURNAL[2:4], failed("c", cost_usd=0.75)])
    elif change == "no first":
        first.unlink()
    elif change == "cut off":
        own.write_bytes(own.read_bytes()[:-1])
    elif change == "grown":
        own.write_bytes(own.read_bytes() + b"\0")
    elif change == "version":
        monkeypatch.setattr(checkpoint, "__version__", "0.0")
    else:
        own.unlink()
        own.mkdir()
    ledger, result = replayed(tmp_path)
    assert result.start == 0
    assert result.reading is None
    assert (state(ledger), result.tail.damages, result.tail.end) == plain(tmp_path)


def test_the_reading_holds_while_sessions_name_it(tmp_path: Path) -> None:
    """What is known of the input is known no more once a run was made of another one, or rows were amended."""
    write_journal(tmp_path, JOURNAL, 1)
    ledger, result = replayed(tmp_path)
    assert write(tmp_path, ledger, result.tail.end)
    path = segment_path(tmp_path, 1)
    whole = path.read_bytes()
    tails: list[tuple[list[Any], bool]] = [
        ([answered("d")], True),
        ([run_record(reading="abc"), answered("d")], True),
        ([run_record(reading="xyz")], False),
        ([run_record()], False),
        ([amendment("d", "a", {})], False),
    ]
    for number, (tail, holds) in enumerate(tails):
        path.write_bytes(whole + write_and_read(tmp_path / str(number), tail))
        assert (replayed(tmp_path)[1].reading == READING) is holds
        assert replayed(tmp_path)[1].start == result.tail.end


def test_none_is_written_of_what_the_journal_does_not_say(tmp_path: Path) -> None:
    """A session that was ended, rows dropped since the input lacks them, a bound given to requests, half a line."""
    write_journal(tmp_path, JOURNAL, 1)
    ended, result = replayed(tmp_path)
    end = result.tail.end
    ended.end_session()
    assert not write(tmp_path, ended, end)
    ended.apply(end, run_record())
    assert ended.is_of_journal, "the journal says it now"
    dropped, _ = replayed(tmp_path)
    dropped.index.forget_ordinals()
    dropped.drop_rows_not_in_input()
    assert not write(tmp_path, dropped, end)
    dropped.apply(end, run_record())
    assert not write(tmp_path, dropped, end)
    assert not write(tmp_path, replayed(tmp_path)[0], end - 1)
    assert not write(tmp_path, replayed(tmp_path)[0], journal_offset(2, 0))


def test_a_bound_given_to_requests_at_risk_is_not_kept(tmp_path: Path) -> None:
    """It is of the cap that this run has."""
    write_journal(tmp_path, [run_record(), hold(3, None, "p"), run_record()], 1)
    ledger, result = replayed(tmp_path)
    ledger.set_bound_for_unpriced("p", ledger.paid_usd + 1)
    assert not write(tmp_path, ledger, result.tail.end)


def test_a_kill_while_it_is_written_leaves_the_one_before(tmp_path: Path) -> None:
    """What was written so far is beside it, and the next one replaces that."""
    write_journal(tmp_path, JOURNAL, 1)
    ledger, result = replayed(tmp_path)
    assert write(tmp_path, ledger, result.tail.end)
    before = (tmp_path / CHECKPOINT).read_bytes()
    building = write_checkpoint(tmp_path, ledger, result.tail.end, SegmentSums(tmp_path), None)
    assert building is not None
    building.write_bytes(building.read_bytes()[:99])
    assert replayed(tmp_path)[1].reading == READING
    assert (tmp_path / CHECKPOINT).read_bytes() == before
    assert write(tmp_path, ledger, result.tail.end)
    assert not building.exists()
