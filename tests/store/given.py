"""Records, journals and small disks for the tests of the store."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from batchchat.core.record import RowRecord
from batchchat.store import records
from batchchat.store.segments import journal_offset, scan, segment_path

COST = 0.000123


def answered(id_: str = "a", **fields: Any) -> RowRecord:
    """An answered row, whole; `fields` take the place of its own, None takes one out."""
    row: dict[str, Any] = {
        "kind": "row",
        "id": id_,
        "variant": "",
        "sample": 0,
        "fp": "00000000000000ff",
        "place": "in.jsonl:1",
        "ordinal": 0,
        "status": "answered",
        "model": "asked/model",
        "messages": [{"role": "user", "content": "What is a roux?"}],
        "attempts": 1,
        "possibly_billed": 0,
        "started_at": 1_700_000_000.25,
        "finished_at": 1_700_000_001.75,
        "latency_s": 1.5,
        "wait_s": 0.125,
        "reply": {"text": "Flour and butter.", "finish_reason": "stop", "model": "served/model", "response_id": "r-1"},
        "usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12, "cached_tokens": 2},
        "cost_usd": COST,
        "cost_source": "reported",
        "http_status": 200,
        "carried": {"topic": "sauce"},
    }
    return _row(row, fields)


def failed(id_: str = "a", **fields: Any) -> RowRecord:
    """A failed row that cost nothing."""
    lacking: dict[str, Any] = dict.fromkeys(("reply", "usage", "cost_usd", "cost_source"))
    why: dict[str, Any] = {"error_kind": "timeout", "error": "no answer in 600 s", "http_status": None}
    return answered(id_, **({"status": "failed"} | lacking | why | fields))


def invalid(id_: str = "a", **fields: Any) -> RowRecord:
    """A row that could not be sent."""
    row: dict[str, Any] = {
        "kind": "row",
        "id": id_,
        "variant": "",
        "sample": 0,
        "fp": "0000000000000001",
        "place": "in.jsonl:1",
        "ordinal": 0,
        "status": "invalid",
        "error_kind": "invalid_input",
        "error": "the line is a list. It takes an object.",
    }
    return _row(row, fields)


def _row(row: dict[str, Any], fields: dict[str, Any]) -> RowRecord:
    made: RowRecord = {name: value for name, value in (row | fields).items() if value is not None}  # type: ignore[assignment]
    return made


def run_record(**fields: Any) -> dict[str, Any]:
    """A `run` record."""
    return {"kind": "run", "format": records.FORMAT, "version": "0.1", "mock": True, "columns": None} | fields


def write_segment(folder: Path, number: int, written: Sequence[Any]) -> list[int]:
    """Write `written` as a segment; their locations."""
    lines = [records.encode(record) for record in written]
    segment_path(folder, number).write_bytes(b"".join(lines))
    places, offset = [], 0
    for line in lines:
        places.append(journal_offset(number, offset))
        offset += len(line)
    return places


def bare(record: Any) -> dict[str, Any]:
    """`record` without what the journal adds to it."""
    return {name: value for name, value in record.items() if name not in {"crc", "lenient"}}


def read_all(folder: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """What a scan finds, and what it says of damage."""
    reading = scan(folder)
    found = [bare(record) for _, record in reading]
    return found, [str(damage) for damage in reading.damages]


def open_files() -> int:
    """How many descriptors this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@contextmanager
def small_disk(folder: Path, kib: int) -> Iterator[Path]:
    """A file system of `kib` KiB; skips the test where none can be mounted."""
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(disk)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount(8)")
    if done.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
