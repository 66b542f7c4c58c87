"""Rows read from a journal in columns: the same as a ledger and its records, one by one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchchat import lossless_json
from batchchat.core.conversation import Key
from batchchat.core.record import RowRecord, key_of
from batchchat.core.totals import Example
from batchchat.results.columnar import TALLIED_OF_RECORDS, tally_batches
from batchchat.results.group_stats import GroupStats, tally_by
from batchchat.results.journal_columns import columns_of_lines, columns_of_records
from batchchat.results.journaled import JournaledRows
from batchchat.store import journal_blocks, records
from batchchat.store.amendments import amendment, read_row
from batchchat.store.ledger import Ledger
from batchchat.store.line_reader import LineReader
from batchchat.store.parquet import batches_of
from batchchat.store.parsed_columns import ParsedColumns
from batchchat.store.segments import journal_offset, scan, segment_path
from tests.store.given import answered, failed, invalid, run_record

SCALARS = ["id", "variant", "sample", "status", "model", "model_requested", "finish_reason", "error", "attempts",
           "started_at", "finished_at", "cost_usd", "re_asks", "total_tokens"]  # fmt: skip
IDS = st.sampled_from(["a", "b", "é", "\ud800", "\ud801"])
KEYS = st.tuples(IDS, st.sampled_from(["", "", "v"]), st.sampled_from([0, 0, 1]))
MICRO_USD = st.integers(0, 10**9).map(lambda nano: nano / 1e9)
TIMES = st.integers(0, 10**10).map(lambda micro: 1_700_000_000 + micro / 1e6)


@st.composite
def rows(draw: st.DrawFn) -> dict[str, Any]:
    """A record of a row, but for its fingerprint."""
    id_, variant, sample = draw(KEYS)
    fields: dict[str, Any] = {"variant": variant, "sample": sample, "ordinal": draw(st.integers(0, 3))}
    fields["place"] = f"in.jsonl:{draw(st.integers(1, 9))}"
    fields["carried"] = draw(st.none() | st.fixed_dictionaries({"topic": st.sampled_from(["x", 1, 1.5, None])}))
    kind = draw(st.sampled_from(["answered", "answered", "failed", "invalid"]))
    if kind == "invalid":
        return cast("dict[str, Any]", invalid(id_, **fields))
    fields["finished_at"] = draw(st.none() | TIMES)
    fields["cost_usd"] = draw(st.none() | MICRO_USD)
    fields["cost_source"] = None if fields["cost_usd"] is None else draw(st.sampled_from([None, "job", "shared"]))
    fields["attempts"] = draw(st.integers(0, 4))
    fields["possibly_billed"] = draw(st.integers(0, 2))
    fields |= draw(
        st.fixed_dictionaries(
            {},
            optional={
                "possibly_billed_usd": MICRO_USD,
                "unbounded": st.integers(0, 2),
                "unreported_usd": MICRO_USD,
                "retries": st.dictionaries(st.sampled_from(["timeout", "rate_limit"]), st.integers(1, 3), min_size=1),
                "re_asks": st.integers(1, 2),
                "mock": st.just(True),
                "http_status": st.just(200),
            },
        )
    )
    if kind == "failed":
        return cast("dict[str, Any]", failed(id_, error_kind=draw(st.sampled_from(["timeout", "quota"])), **fields))
    text = draw(st.sampled_from(["plain", 'with "quotes", {"crc":', "\ud800", "é"]))
    reply = {"text": text, "finish_reason": draw(st.sampled_from(["stop", "length"]))}
    reply |= draw(st.sampled_from([{}, {"parsed": {"a": 1}}, {"tool_calls": [{"id": 1 << 70}]}, {"model": "served"}]))
    if "parsed" in reply and draw(st.booleans()):
        fields["parse_repaired"] = True
    fields["usage"] = draw(st.none() | st.just({"prompt_tokens": 3}) | st.just({"reasoning_tokens": 2}))
    return cast("dict[str, Any]", answered(id_, reply=reply, latency_s=draw(st.none() | st.floats(0.1, 9)), **fields))


@st.composite
def steps(draw: st.DrawFn) -> dict[str, Any]:
    """A record of an attempt that did not finish its row."""
    id_, variant, sample = draw(KEYS)
    spend: dict[str, Any] = {
        "attempts": draw(st.integers(0, 1)),
        "possibly_billed": draw(st.integers(0, 1)),
        "cost_usd": None,
    }
    spend["cost_usd"] = draw(st.none() | MICRO_USD)
    head = {"kind": "step", "id": id_, "variant": variant, "sample": sample, "fp": "00000000000000ff", "step": 0}
    return {**head, **spend, "why": draw(st.sampled_from(["timeout", "sent", "accepted"])), "at": draw(TIMES)}


RUNS = st.builds(lambda at: run_record(at=at, endpoint="e"), st.none() | TIMES)
HOLDS = st.builds(
    lambda requests, usd, at: {"kind": "hold", "requests": requests, "usd": usd, "price": "p", "at": at},
    st.integers(0, 3),
    st.none() | st.sampled_from(["0.25", "1"]),
    TIMES,
)
AMENDMENTS = st.tuples(KEYS, KEYS, st.integers(0, 3), st.fixed_dictionaries({"topic": st.sampled_from(["y", 2])}))
EVENTS = st.lists(rows() | rows() | rows() | steps() | HOLDS | RUNS | AMENDMENTS, max_size=14)


def write(folder: Path, events: list[Any], damaged: set[int]) -> None:
    """Write a journal of `events`; a byte of the lines that are `damaged` is another."""
    lines = [records.encode(run_record(at=1_600_000_000.0, endpoint="e"))]
    size, latest = len(lines[0]), dict[Key, tuple[str, int]]()
    for number, event in enumerate(events):
        if isinstance(event, tuple):
            now, before, ordinal, carried = Key(*event[0]), Key(*event[1]), event[2], event[3]
            if before not in latest:
                continue
            fp, at = latest.pop(before)
            latest[now] = fp, at
            record = amendment(now, int(fp, 16), of=before, row=at, place="p:1", ordinal=ordinal, passthrough=carried)
        else:
            record = event
            if record["kind"] == "row":
                record = {**record, "fp": f"{number:016x}"}
                latest[key_of(cast("RowRecord", record))] = record["fp"], journal_offset(1, size)
        line = records.encode(record)
        if number in damaged:
            at = (number * 7 + len(line) // 2) % (len(line) - 1)
            line = line[:at] + bytes([line[at] ^ 1]) + line[at + 1 :]
        lines.append(line)
        size += len(line)
    segment_path(folder, 1).write_bytes(b"".join(lines))


def reference(folder: Path) -> tuple[Ledger, ParsedColumns]:
    """The state of the journal, record by record."""
    ledger = Ledger(folder)
    for at, record in scan(folder):
        ledger.apply(at, record)
        if record["kind"] in {"row", "amend"}:
            row = cast("RowRecord", record)
            ledger.index.set_ordinal(ledger.index.add(key_of(row)), row["ordinal"])
    ledger.end_session()
    ledger.recount_passthrough()
    return ledger, ParsedColumns([], ledger.passthrough.columns())


def figures(tallied: tuple[GroupStats, list[tuple[Any, GroupStats]]]) -> list[Any]:
    """All that a report says of them, and the sums behind it."""
    whole, groups = tallied
    return [
        (
            values,
            stats.json(),
            [+stats.totals.rows, +stats.totals.retries, stats.totals.mock_answers, stats.totals.cut_off],
            [stats.totals.unbounded, stats.totals.possibly_billed_usd, stats.totals.unreported_usd],
            [stats.totals.examples, list(stats.totals.failures), +stats.totals.latency_buckets],
        )
        for values, stats in [(None, whole), *sorted(groups, key=lambda group: repr(group[0]))]
    ]


def cells_of(batches: Iterator[pa.RecordBatch], names: list[str]) -> dict[str, list[Any]]:
    """The values of columns."""
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for batch in batches:
        for name in names:
            values: Any = batch.column(name)
            columns[name] += values.to_pylist()
    return columns


def published_rows(ledger: Ledger, lines: LineReader, columns: ParsedColumns) -> Iterator[tuple[RowRecord, int]]:
    """The rows of the output, each read by its offset, with their lengths."""
    retyped = ledger.passthrough.retyped()
    for at in ledger.index.offsets_in_order("input"):
        row, length = read_row(lines, at)
        yield columns.of(retyped.of(at, row)), length


@settings(max_examples=30, deadline=None)
@given(EVENTS, st.sets(st.integers(0, 13), max_size=2), st.sampled_from([60, 700, 1 << 20]))
def test_the_same_as_record_by_record(events: list[Any], damaged: set[int], block: int) -> None:
    """Whatever a journal has been through: rows, figures, costs outside the rows, sessions and columns."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        write(folder, events, damaged)
        ledger, columns = reference(folder)
        patch.setattr(journal_blocks, "_BLOCK", block)
        journaled = JournaledRows(folder)
        expected = list(published_rows(ledger, LineReader(folder), columns))
        assert list(journaled.rows()) == expected
        assert journaled.passthrough == columns.columns
        assert journaled.ledger.off_row_costs == ledger.off_row_costs
        assert journaled.ledger.superseded == ledger.superseded
        assert journaled.ledger.paid_usd == ledger.paid_usd
        assert journaled.ledger.sessions == ledger.sessions
        assert journaled.ledger.runs == ledger.runs
        records_ = [row for row, _ in expected]
        for by in ([], ["status"], ["variant", "sample"]):
            tallied = tally_batches(journaled.columns(TALLIED_OF_RECORDS.union(by)), by)
            assert scrubbed(figures(tallied)) == scrubbed(figures(tally_by(records_, columns.columns, by)))
        names = [*SCALARS, "parse_repaired", "response", *(["topic"] if "topic" in columns.columns else [])]
        for asked in (SCALARS, names):
            assert cells_of(journaled.columns(asked), asked) == cells_of(
                batches_of(records_, columns.columns, asked), asked
            )
        positions = list(range(0, len(expected), 2))
        assert list(journaled.rows_at(positions)) == [(at, expected[at][0]) for at in positions]
        journaled.close()


def scrubbed(value: Any) -> Any:
    """`value` as it is shown: a lone surrogate of an id is U+FFFD, as an output has it."""
    if isinstance(value, str):
        return lossless_json.scrub(value)
    if isinstance(value, Example):
        return scrubbed([value.id, value.name, value.place, value.text])
    if isinstance(value, dict):
        return {scrubbed(name): scrubbed(part) for name, part in value.items()}
    return [scrubbed(part) for part in value] if isinstance(value, list | tuple) else value


@settings(max_examples=20, deadline=None)
@given(st.lists(rows(), min_size=1, max_size=4))
def test_lines_and_records_become_the_same_columns(drawn: list[dict[str, Any]]) -> None:
    """What Arrow reads of lines is what records hold."""
    lines = [records.encode({**row, "fp": "0"}) for row in drawn]
    lines = [line for line in lines if b'"lenient"' not in line]
    decoded = [cast("RowRecord", records.decode(line[:-1])) for line in lines]
    if lines:
        by_lines, by_records = columns_of_lines(b"".join(lines), len(lines)), columns_of_records(decoded)
        assert {name: column and column.to_pylist() for name, column in by_lines.items()} == {
            name: column and column.to_pylist() for name, column in by_records.items()
        }


def test_a_whole_number_is_a_float_too() -> None:
    """JSON has one kind of number."""
    columns = columns_of_lines(records.encode(answered("a", latency_s=2, cost_usd=1)), 1)
    assert columns["latency_s"].to_pylist() == [2.0]
    assert columns["cost_usd"].to_pylist() == [1.0]
