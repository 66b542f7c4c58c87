"""The results so far of any run, going on, stopped or killed: read from its journal, which is not touched."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

from batchchat import __version__, jsontext
from batchchat.errors import OutputError
from batchchat.job import load_job
from batchchat.record import RowRecord, key_of
from batchchat.run.publish import rows_in_order
from batchchat.store.atomic import replacing
from batchchat.store.columns import COLUMNS, carried_names
from batchchat.store.folder import folder_of
from batchchat.store.ledger import Ledger
from batchchat.store.parquet import write_parquet
from batchchat.store.segments import LineReader, scan, segments

__all__ = ["export_run", "output_of"]


def output_of(source: Path, environ: Mapping[str, str]) -> Path:
    """The output that `source`, a job file or the output itself, means."""
    if source.suffix in {".yaml", ".yml"}:
        return load_job(source, environ=environ, sends=False).output.path
    return source


def export_run(output: Path, target: Path, form: str) -> int:
    """Write the finished rows of the run behind `output` to `target`; how many there are.

    Rows stand in the order of the input as it was read when they were sent. Raises `OutputError`, `MachineError`.
    """
    folder = folder_of(output)
    if not segments(folder):
        raise OutputError(f"{output} has no run: there is no journal in {folder}. Give the job file or its output.")
    if target.exists() and output.exists() and target.samefile(output):
        raise OutputError(f"{target} is the run's own output. Name another file.")
    if not target.parent.is_dir():
        raise OutputError(f"{target} can't be written: {target.parent} is no folder.")
    ledger, lines = Ledger(folder), LineReader(folder)
    try:
        for at, record in scan(folder):
            ledger.fold(at, record)
            if record["kind"] == "row":
                row = cast("RowRecord", record)
                ledger.index.place_in_input(ledger.index.add(key_of(row)), row["ordinal"])
        if form == "jsonl":
            _write_jsonl(target, ledger, lines)
        else:
            metadata = {"version": __version__, "export_of": output.name}
            write_parquet(target, rows_in_order(ledger, lines), ledger.carried_columns(), metadata)
    finally:
        lines.close()
        ledger.close()
    return ledger.totals.finished


def _write_jsonl(target: Path, ledger: Ledger, lines: LineReader) -> None:
    """One object a line, keys as the Parquet's columns."""
    names = carried_names(ledger.carried_columns())
    with replacing(target) as building, building.open("wb") as file:
        for row, _ in rows_in_order(ledger, lines):
            values = {column.name: column.json(row) for column in COLUMNS}
            carried = row.get("carried", {})
            values |= {names[name]: carried.get(name) for name in names}
            file.write(jsontext.dumps(values) + b"\n")
