"""An input of JSON lines, opened, and a ledger to hold it against."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from batchchat.job.spec import InputSpec
from batchchat.sources import Source, open_source

__all__ = ["opened"]


def opened(folder: Path, *rows: dict[str, Any] | str) -> Source:
    """`rows` as the lines of `in.jsonl`; a string is written as it is."""
    path = folder / "in.jsonl"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return open_source(InputSpec((str(path),), ("in.jsonl",), id="id"))
