"""The finished rows of a journal, read in one pass over its lines: their figures as columns, the rest by offset.

Records of other kinds than rows, which are few, go to a `Ledger`, and what it would add up of rows is worked out of
their columns. About 160 bytes a row.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from batchchat.arrow import cells
from batchchat.core.conversation import Key, Status
from batchchat.core.record import RowRecord, key_of
from batchchat.results.column_arrays import Coder, Floats, decimal_sum, floats, integers, number_array
from batchchat.results.journal_columns import (
    FINISHED_S,
    ORDINAL,
    PLACE,
    POSSIBLY_BILLED_USD,
    RECORDED,
    TYPES,
    UNREPORTED_USD,
    Columns,
    columns_of_lines,
    columns_of_records,
    id_bytes,
    id_text,
    texts_of_ids,
)
from batchchat.results.latest_records import LatestRecords, RowAmendment, RowRecords, latest_records
from batchchat.store.amendments import previous_key
from batchchat.store.journal_blocks import JournalBlock, blocks_of_journal
from batchchat.store.ledger import Ledger, PaidElsewhere
from batchchat.store.line_reader import LineReader

__all__ = ["JournalRows", "read_journal_rows"]

Offsets = npt.NDArray[np.int64]
_ANSWERED, _INVALID = Status.ANSWERED.value, Status.INVALID.value
_AHEAD = 2
"""Blocks that wait for each thread."""
_BATCH = 1 << 16
_MONEY = ("cost_usd", POSSIBLY_BILLED_USD, UNREPORTED_USD)


class JournalRows:
    """The rows that count, in the order of the input.

    `offsets` are those of the records to read them by, which may be amendments; `all_offsets` are those of all `row`
    records, in the journal's order.
    """

    def __init__(self, columns: Columns, offsets: Offsets, all_offsets: Offsets, *, is_amended: bool) -> None:
        self._columns = columns
        self.offsets = offsets
        self.all_offsets = all_offsets
        self.is_amended = is_amended

    def columns(self, names: Collection[str], max_rows: int = _BATCH) -> Iterator[pa.RecordBatch]:
        """Those of `names` that are figures, as batches; what only a journal has is left out where no row has it."""
        arrays = {
            name: array
            for name, array in self._columns.items()
            if name in names and (array is not None or not name.startswith(RECORDED))
        }
        for start in range(0, len(self.offsets), max_rows):
            parts = {name: None if array is None else array.slice(start, max_rows) for name, array in arrays.items()}
            count = min(max_rows, len(self.offsets) - start)
            yield pa.RecordBatch.from_arrays(
                [_column(name, part, count) for name, part in parts.items()], names=list(parts)
            )


def _column(name: str, part: Any, count: int) -> Any:
    if name == "id":
        return texts_of_ids(part)
    return pa.nulls(count, TYPES[name]) if part is None else part


def read_journal_rows(folder: Path, ledger: Ledger, lines: LineReader) -> JournalRows:
    """The rows in the journal of `folder`; `ledger` gets its other records, and what was paid for answers replaced.

    `lines` reads single lines of it.

    Raises `OutputError` for a journal of another format, `MachineError` for a failing disk.
    """
    reading = _Reading(ledger, lines)
    threads = min(4, os.cpu_count() or 1)
    waiting: deque[tuple[JournalBlock, Any]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for block in blocks_of_journal(folder):
            waiting.append((block._replace(lines=b""), pool.submit(columns_of_lines, block.lines, len(block.offsets))))
            if len(waiting) > threads * _AHEAD:
                ready, columns = waiting.popleft()
                reading.add(ready, columns.result())
        for ready, columns in waiting:
            reading.add(ready, columns.result())
    return reading.rows()


class _Reading:
    """Collects columns of blocks that come in the journal's order."""

    def __init__(self, ledger: Ledger, lines: LineReader) -> None:
        self._ledger = ledger
        self._lines = lines
        self._parts: list[tuple[Offsets, dict[str, Any]]] = []
        self._amendments: list[tuple[int, dict[str, Any]]] = []
        self._unfinished: set[Key] = set()
        """The rows of which the ledger has steps."""

    def add(self, block: JournalBlock, columns: Columns) -> None:
        """Add a block, of whose lines the columns were read."""
        parts = [(np.array(block.offsets, np.int64), columns)] if len(block.offsets) else []
        if records := [(at, cast("RowRecord", record)) for at, record in block.others if record["kind"] == "row"]:
            offsets = np.array([at for at, _ in records], np.int64)
            parts.append((offsets, columns_of_records([record for _, record in records])))
        others = [(at, record) for at, record in block.others if record["kind"] != "row"]
        self._apply(parts, others)
        self._parts += [(offsets, {**own, FINISHED_S: None}) for offsets, own in parts]

    def _apply(self, parts: list[tuple[Offsets, Columns]], others: list[tuple[int, dict[str, Any]]]) -> None:
        """Apply the records `others` to the ledger, and between them what it needs to know of the rows in `parts`."""
        nothing: Offsets = np.zeros(0, np.int64)
        offsets = np.concatenate([nothing, *(own for own, _ in parts)])
        ended_at = np.concatenate([nothing.astype(np.float64), *(_ended_at(*part) for part in parts)])
        has_steps = self._unfinished or any(record["kind"] == "step" for _, record in others)
        sent = deque(sorted(key for part in parts for key in _sent_keys(*part)) if has_steps else ())
        since = 0
        for at, record in others:
            kind = record["kind"]
            if kind == "amend":
                self._amendments.append((at, record))
                continue
            if kind == "run":
                self._ran(ended_at[(offsets >= since) & (offsets < at)])
                since = at
            elif kind == "step":
                self._end_rows(sent, before=at)
                self._unfinished.add(key_of(cast("RowRecord", record)))
            self._ledger.apply(at, record)
        self._ran(ended_at[offsets >= since])
        self._end_rows(sent)

    def _ran(self, ended_at: Floats) -> None:
        ended_at = ended_at[np.isfinite(ended_at)]
        if len(ended_at):
            self._ledger.note_rows(float(ended_at.max()))

    def _end_rows(self, sent: deque[tuple[int, Key]], before: int | None = None) -> None:
        """Rows of `sent`, with the offsets of their records, that have one before the offset `before` are finished."""
        while sent and (before is None or sent[0][0] < before):
            _, key = sent.popleft()
            if key in self._unfinished:
                self._unfinished.discard(key)
                self._ledger.note_rows(None, [key])

    def rows(self) -> JournalRows:
        """What all that was added comes to."""
        amendments = [record for _, record in self._amendments]
        keys, key_count = self._numbered_keys(amendments)
        offsets = np.concatenate([np.zeros(0, np.int64), *(own for own, _ in self._parts)])
        count = len(offsets)
        records = self._row_records(keys[:count], offsets)
        latest = latest_records(records, self._amended(amendments, keys[count:], offsets), key_count)
        self._count_replaced(latest)
        read_at = offsets[latest.rows]
        is_amended = latest.amendments >= 0
        if is_amended.any():
            amended_at = np.array([at for at, _ in self._amendments], np.int64)
            read_at[is_amended] = amended_at[latest.amendments[is_amended]]
        columns = self._taken(latest, amendments, count)
        return JournalRows(columns, read_at, np.sort(offsets), is_amended=bool(is_amended.any()))

    def _numbered_keys(self, amendments: list[dict[str, Any]]) -> tuple[Offsets, int]:
        """A number for the key of each row, then for the keys before of the amendments, then for those now."""
        keys = [*map(previous_key, amendments), *(key_of(cast("RowRecord", record)) for record in amendments)]
        ids = [columns["id"] for _, columns in self._parts] + [id_bytes([key.id for key in keys])]
        encoded = pa.chunked_array(ids).dictionary_encode()  # its chunks have one dictionary
        indices = [integers(cast("Any", chunk).indices) for chunk in encoded.chunks]
        numbers = np.concatenate([np.zeros(0, np.int32), *indices]).astype(np.int64)
        coder = Coder()
        variants = [coder.add(columns["variant"]) for _, columns in self._parts]
        variants.append(coder.add(cells.decode([key.variant for key in keys], pa.string())))
        samples = [integers(columns["sample"]) for _, columns in self._parts]
        samples.append(np.array([key.sample for key in keys], np.int32))
        for more in (np.concatenate(variants), np.concatenate(samples)):
            if len(more) and more.max() > 0:
                combined = numbers * (int(more.max()) + 1) + more
                numbers = np.unique(combined, return_inverse=True)[1].astype(np.int64)
        return numbers, int(numbers.max(initial=-1)) + 1

    def _row_records(self, keys: Offsets, offsets: Offsets) -> RowRecords:
        coder = Coder()
        statuses = [coder.add(columns["status"]) for _, columns in self._parts]
        status = np.concatenate([np.zeros(0, np.int32), *statuses])
        ordinals = [integers(columns[ORDINAL]) for _, columns in self._parts]
        return RowRecords(
            keys,
            offsets,
            np.concatenate([np.zeros(0, np.int64), *ordinals]),
            status == coder.code(_ANSWERED),
            status == coder.code(_INVALID),
        )

    def _amended(self, amendments: list[dict[str, Any]], keys: Offsets, offsets: Offsets) -> list[RowAmendment]:
        before, now = keys[: len(amendments)].tolist(), keys[len(amendments) :].tolist()
        return [
            RowAmendment(at, now[number], before[number], record["ordinal"], partial(self._fits, offsets, record))
            for number, (at, record) in enumerate(self._amendments)
        ]

    def _fits(self, offsets: Offsets, amendment: dict[str, Any], row: int) -> bool:
        record, _ = self._lines.read(int(offsets[row]))
        return int(record["fp"], 16) == int(amendment["fp"], 16)

    def _count_replaced(self, latest: LatestRecords) -> None:
        """Note in the ledger what was paid for records that were replaced."""
        lost = {name: self._chunked(name).take(number_array(latest.replaced, pa.int64())) for name in _MONEY}
        amounts = {name: _known(column) for name, column in lost.items()}
        self._ledger.superseded = PaidElsewhere(
            len(latest.replaced),
            decimal_sum(amounts["cost_usd"]),
            decimal_sum(amounts[POSSIBLY_BILLED_USD]) + decimal_sum(amounts[UNREPORTED_USD]),
        )

    def _chunked(self, name: str, more: Any = None) -> Any:
        """The column `name` of all rows that were added, and `more` behind it."""
        dtype = TYPES[name]
        chunks = [
            pa.nulls(len(offsets), dtype) if columns[name] is None else columns[name]
            for offsets, columns in self._parts
        ]
        return pa.chunked_array(chunks if more is None else [*chunks, more], dtype)

    def _taken(self, latest: LatestRecords, amendments: list[dict[str, Any]], count: int) -> dict[str, Any]:
        """The columns of the rows that count, None where one has no value; what an amendment says goes first."""
        is_amended = latest.amendments >= 0
        amended = np.where(is_amended, count + latest.amendments, latest.rows)
        changed = _changed_columns(amendments) if amendments else {}
        columns: dict[str, Any] = {}
        for name in [name for name in TYPES if name != FINISHED_S]:
            if name not in changed and all(own[name] is None for _, own in self._parts):
                columns[name] = None
                continue
            positions = amended if name in changed else latest.rows
            chunked = self._chunked(name, changed.get(name)).unify_dictionaries()
            whole = chunked.combine_chunks()
            for _, own in self._parts:
                own[name] = None
            is_in_order = len(positions) == len(whole) and bool((np.diff(positions) == 1).all())
            columns[name] = whole if is_in_order else whole.take(number_array(positions, pa.int64()))
        return columns


def _changed_columns(amendments: list[dict[str, Any]]) -> dict[str, Any]:
    """What the amendments say in place of their rows' records."""
    return {
        "id": id_bytes([record["id"] for record in amendments]),
        "variant": cells.decode([record["variant"] for record in amendments], pa.string()).dictionary_encode(),
        "sample": cells.decode([record["sample"] for record in amendments], pa.int32()),
        PLACE: cells.decode([record["place"] for record in amendments], pa.string()),
    }


def _known(amounts: Any) -> Floats:
    numbers = floats(amounts.combine_chunks())
    finite: Floats = numbers[np.isfinite(numbers)]
    return finite


def _ended_at(offsets: Offsets, columns: Columns) -> Floats:
    ended_at = columns[FINISHED_S]
    return np.full(len(offsets), np.nan) if ended_at is None else floats(ended_at)


def _sent_keys(offsets: Offsets, columns: Columns) -> Iterator[tuple[int, Key]]:
    """The offset and the key of each record of a row that was sent."""
    names = ("id", "variant", "sample", "status")
    values = [columns[name].to_pylist() for name in names]
    for at, id_, variant, sample, status in zip(offsets.tolist(), *values, strict=True):
        if status != _INVALID:
            yield at, Key(id_text(id_), variant, sample)
