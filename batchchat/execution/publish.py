"""Writes the Parquet from the journal: the finished rows of the input, in input order or in order of completion."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from batchchat import lossless_json
from batchchat.core.totals import TOKEN_FIELDS
from batchchat.errors import MachineError
from batchchat.execution.early_output import EarlyOutput
from batchchat.execution.output_writer import OutputWriter
from batchchat.job import OutputSpec
from batchchat.job.expect import ExpectSpec
from batchchat.store.atomic import write_errors
from batchchat.store.ledger import Ledger
from batchchat.store.parquet import metadata_of, rows_in
from batchchat.store.parsed_columns import ParsedColumns, ParsedField, declared_text, fields_of_schema
from batchchat.store.segments import end_of
from batchchat.version import __version__

__all__ = ["content_of", "is_published", "parsed_fields", "publish"]

_SLICE = 10_000


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
    digest.update(memoryview(ledger.index.offsets_in_order(output.order)))
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
    early: EarlyOutput | None = None,
) -> None:
    """Write the output, of whose input `left` rows are to be finished (None: not known).

    `job` is what the metadata holds of it, its `content` included; `parsed` are the columns made of the parsed replies;
    `early` is what was written while the run went on: where the output begins so, only the rest is written.
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
    columns = ParsedColumns(parsed, ledger.passthrough.columns(), has_endpoints=ledger.has_endpoints)
    journal_offsets, text = ledger.index.offsets_in_order(output.order), lossless_json.dumps(metadata)
    if early is not None and (writer := early.adopted(columns, journal_offsets)) is not None:
        with suppress(MachineError):  # what another attempt does not get over is raised by that
            _complete(writer, output, journal_offsets, text)
            return
    with write_errors(output.path):
        writer = OutputWriter(output, folder, columns, ledger.passthrough.retyped())
    _complete(writer, output, journal_offsets, text)


def _complete(writer: OutputWriter, output: OutputSpec, journal_offsets: array[int], metadata: bytes) -> None:
    """Write those rows at `journal_offsets` that `writer` has not written yet, and swap the output in."""
    with write_errors(output.path):
        try:
            writer.describe(metadata)
            for start in range(writer.count, len(journal_offsets), _SLICE):
                writer.write(journal_offsets[start : start + _SLICE])
            writer.commit()
        except BaseException:
            writer.abandon()
            raise
