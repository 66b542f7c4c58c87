"""A folder of input files, opened and read as a job does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from batchchat.job.spec import InputSpec
from batchchat.sources import Source, open_source
from batchchat.sources.files import InputFile, find_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from batchchat.core.conversation import BadRow, Row
    from batchchat.sources.files import Record

    Rows = list[Row | BadRow]


def the_file(path: Path, content: bytes) -> InputFile:
    """A file of `content`, found as an input is."""
    path.write_bytes(content)
    (file,) = find_files([str(path)], [path.name]).files
    return file


def records_told(read: Callable[[Callable[[int], None]], Iterator[Record]], size: int) -> list[Record]:
    """What `read` yields; it must tell how far it is, never backwards, and come to `size` bytes."""
    heard: list[int] = [0]
    found = list(read(heard.append))
    assert heard == sorted(heard)
    assert heard[-1] == size
    return found


class Folder:
    """A folder with input files."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, name: str, content: bytes | list[Any] | pa.Table) -> str:
        """A file of bytes, or of one line of JSON or one Parquet row for each value."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, pa.Table):
            pq.write_table(content, path)
        elif name.endswith(".parquet"):
            pq.write_table(pa.Table.from_pylist(content), path)
        else:
            path.write_bytes(b"".join(json.dumps(value).encode() + b"\n" for value in content))
        return name

    def open(self, *typed: str, **given: Any) -> Source:
        return open_source(InputSpec(tuple(str(self.path / name) for name in typed), typed, **given))

    def rows(self, *typed: str, **given: Any) -> Rows:
        return list(self.open(*typed, **given).read())


def user(text: str) -> list[dict[str, Any]]:
    """A conversation of one message."""
    return [{"role": "user", "content": text}]


def told(rows: Rows) -> list[tuple[str, str]]:
    """The id of each row with its error, empty for a good one."""
    return [(row.key.id, getattr(row, "error", "")) for row in rows]
