"""Writes the Parquet from the journal: the finished rows of the input, in input order or in order of completion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from batchchat.core.record import RowRecord
from batchchat.core.totals import TOKEN_FIELDS
from batchchat.job import OutputSpec
from batchchat.job.expect import ExpectSpec
from batchchat.store.amendments import read_row
from batchchat.store.ledger import Ledger
from batchchat.store.parquet import metadata_of, rows_in, write_parquet, write_parts
from batchchat.store.parquet_file import SizedRow
from batchchat.store.parsed_columns import ParsedColumns, ParsedField, declared_text, fields_of_schema
from batchchat.store.records import ROW_START
from batchchat.store.segments import LineReader, end_of
from batchchat.version import __version__

__all__ = ["content_of", "is_published", "parsed_fields", "publish", "rows_in_order"]


def parsed_fields(expect: ExpectSpec) -> list[ParsedField]:
    """The columns that are made of the parsed replies, where the job wants them."""
    return fields_of_schema(expect.json_schema) if expect.columns and expect.json_schema is not None else []


def content_of(ledger: Ledger, output: OutputSpec, parsed: Sequence[ParsedField] = ()) -> str:
    """A hash of which records are in the output, in which order, how it is split, and of its further columns."""
    digest = blake2b((declared_text(parsed) or "").encode(), digest_size=16)
    if ledger.has_endpoints:
        digest.update(b"endpoint")
    if output.is_folder:
        digest.update(output.part_rows.to_bytes(8, "little"))
    for entry in _entries(ledger, output.order):
        digest.update(ledger.index.journal_offset(entry).to_bytes(8, "little"))
    return digest.hexdigest()


def is_published(output: Path, folder: Path, content: str, rows: int) -> bool:
    """True if `output` has this content already, with no part missing, and all that the journal in `folder` has.

    A run that finished no row may have paid for attempts, and a reader goes by the journal where that is longer: there
    the rows that are no longer in the input can't be told from the others.
    """
    metadata = metadata_of(output) if output.exists() else None
    return (
        metadata is not None
        and metadata.get("content") == content
        and metadata.get("journal_end") == end_of(folder)
        and rows_in(output) == rows
    )


def publish(
    output: OutputSpec,
    folder: Path,
    ledger: Ledger,
    job: Mapping[str, Any],
    left: int | None,
    *,
    parsed: Sequence[ParsedField] = (),
) -> None:
    """Write the output, of whose input `left` rows are to be finished (None: not known).

    `job` is what the metadata holds of it, its `content` included; `parsed` are the columns made of the parsed replies.
    Raises `MachineError`.
    """
    totals = ledger.totals
    cost = totals.known_cost_usd
    metadata = {
        "version": __version__,
        **job,
        # Where the journal stood: one that is longer knows more than this file.
        "journal_end": end_of(folder),
        "totals": {
            "rows": {"answered": totals.answered, "failed": totals.failed, "invalid": totals.invalid},
            **{name: totals.tokens.get(name) for name in TOKEN_FIELDS},
            "cost_usd": None if cost is None else str(cost),
            "cost_unknown_rows": totals.unknown_cost_rows,
            "possibly_billed_attempts": totals.possibly_billed,
            "possibly_billed_usd": None
            if totals.unbounded
            else str(totals.possibly_billed_usd * ledger.max_price_ratio),
        },
        "sessions": [list(session) for session in ledger.sessions],
        "beside": replace(ledger.off_row_costs, left=left).fields(),
    }
    ledger.recount_passthrough()
    lines = LineReader(folder)
    try:
        columns = ParsedColumns(parsed, ledger.passthrough.columns(), has_endpoints=ledger.has_endpoints)
        rows, carried = _sized_rows(ledger, lines, columns, output.order), columns.columns
        if output.is_folder:
            write_parts(output.path, rows, carried, metadata, output.part_rows)
        else:
            write_parquet(output.path, rows, carried, metadata)
    finally:
        lines.close()


def rows_in_order(
    ledger: Ledger, lines: LineReader, columns: ParsedColumns, order: str = "input"
) -> Iterator[tuple[RowRecord, int]]:
    """The records of the output with their lengths in bytes and `columns`; `order` is the job's `output.order`."""
    spelling = ledger.passthrough.retyped()
    for entry in _entries(ledger, order):
        at = ledger.index.journal_offset(entry)
        row, length = read_row(lines, at)
        yield columns.of(spelling.of(at, row)), length


def _sized_rows(ledger: Ledger, lines: LineReader, columns: ParsedColumns, order: str) -> Iterator[SizedRow]:
    """As `rows_in_order`; a row whose line in the journal has it as it is published is given as that line."""
    if columns.changes_rows or ledger.passthrough.retyped().names:
        yield from rows_in_order(ledger, lines, columns, order)
        return
    for entry in _entries(ledger, order):
        at = ledger.index.journal_offset(entry)
        line = lines.line(at)
        if line is not None and line.startswith(ROW_START):
            yield line, len(line)
        else:
            yield read_row(lines, at)


def _entries(ledger: Ledger, order: str) -> Iterator[int]:
    return ledger.index.in_completion_order() if order == "completion" else ledger.index.in_input_order()
