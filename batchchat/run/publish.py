"""The journal to the Parquet: every finished row that is in the input, in its order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any, cast

from batchchat import __version__
from batchchat.record import RowRecord
from batchchat.store.ledger import Ledger
from batchchat.store.parquet import metadata_of, write_parquet
from batchchat.store.segments import LineReader

__all__ = ["content_of", "is_published", "publish"]


def content_of(ledger: Ledger) -> str:
    """A hash of which records stand in the output, in which order."""
    digest = blake2b(digest_size=16)
    for entry in ledger.index.in_input_order():
        digest.update(ledger.index.at(entry).to_bytes(8, "little"))
    return digest.hexdigest()


def is_published(output: Path, content: str) -> bool:
    """Whether `output` holds just that content already."""
    metadata = metadata_of(output) if output.exists() else None
    return metadata is not None and metadata.get("content") == content


def publish(output: Path, folder: Path, ledger: Ledger, job: Mapping[str, Any]) -> None:
    """Write `output`. `job` is what the metadata holds of it, its `content` included. Raises `MachineError`."""
    totals = ledger.totals
    cost = totals.known_cost_usd
    metadata = {
        "version": __version__,
        **job,
        "totals": {
            "rows": {"answered": totals.answered, "failed": totals.failed, "invalid": totals.invalid},
            **{name: totals.tokens[name] for name in ("prompt_tokens", "completion_tokens", "cached_tokens")},
            "cost_usd": None if cost is None else str(cost),
            "cost_unknown_rows": totals.unknown_cost_rows,
            "superseded_cost_usd": str(ledger.superseded.cost_usd + ledger.gone.cost_usd),
            "possibly_billed_attempts": totals.possibly_billed,
            "possibly_billed_usd": None if totals.unbounded else str(totals.possibly_billed_usd * ledger.dearest),
        },
    }
    lines = LineReader(folder)
    try:
        write_parquet(output, rows_in_order(ledger, lines), ledger.carried_columns(), metadata)
    finally:
        lines.close()


def rows_in_order(ledger: Ledger, lines: LineReader) -> Iterator[tuple[RowRecord, int]]:
    """The records of the output with their lengths in bytes."""
    for entry in ledger.index.in_input_order():
        record, length = lines.read(ledger.index.at(entry))
        yield cast("RowRecord", record), length
