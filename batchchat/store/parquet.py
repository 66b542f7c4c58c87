"""Rows to a Parquet file or a folder of them, in bounded memory; and what a file of ours says of itself."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from batchchat import lossless_json
from batchchat.core.output_columns import METADATA
from batchchat.core.record import RowRecord
from batchchat.errors import refuse_pipe
from batchchat.store.atomic import write_errors
from batchchat.store.columns import COLUMNS, arrays_of, passthrough_names
from batchchat.store.output_builder import OutputBuilder
from batchchat.store.output_files import files_of
from batchchat.store.parquet_file import (
    GROUP_LIMITS,
    GroupLimits,
    PassthroughColumn,
    SizedRow,
    passthrough_array,
)

__all__ = [
    "GROUP_LIMITS",
    "METADATA",
    "GroupLimits",
    "PassthroughColumn",
    "batches_of",
    "is_ours",
    "metadata_in",
    "metadata_of",
    "rows_in",
    "write_parquet",
]

_OF_THE_SYSTEM = (".DS_Store", "._", ".nfs")
"""Names that macOS and NFS put into a folder that somebody looks at."""


def write_parquet(
    path: Path,
    rows: Iterable[SizedRow],
    passthrough: Mapping[str, PassthroughColumn],
    metadata: Mapping[str, Any],
    *,
    part_rows: int | None = None,
    limits: GroupLimits = GROUP_LIMITS,
) -> None:
    """Write `rows` to the file `path`, or with `part_rows` to a folder of part files of so many rows each, atomically.

    Raises `MachineError` where the disk refuses; `path` is then unchanged.
    """
    with write_errors(path):
        output = OutputBuilder(path, passthrough, part_rows, limits)
        try:
            output.describe(lossless_json.dumps(dict(metadata)))
            for row, length in rows:
                output.add(row, length)
            output.commit()
        except BaseException:
            output.abandon()
            raise


def batches_of(
    rows: Iterable[RowRecord], passthrough: Mapping[str, PassthroughColumn], columns: Collection[str]
) -> Iterator[pa.RecordBatch]:
    """The named `columns` of `rows`, as an output has them, in batches."""
    own = [column for column in COLUMNS if column.name in columns]
    names = {name: out for name, out in passthrough_names(passthrough).items() if out in columns}
    remaining = iter(rows)
    while slice_ := list(islice(remaining, GROUP_LIMITS.slice_rows)):
        arrays = arrays_of(slice_, own)
        arrays += [passthrough_array(slice_, name, passthrough[name]) for name in names]
        yield pa.RecordBatch.from_arrays(arrays, names=[*(column.name for column in own), *names.values()])


def rows_in(path: Path) -> int:
    """How many rows the output's files have, by their footers."""
    return sum(pq.read_metadata(file).num_rows for file in files_of(path))


def metadata_of(path: Path) -> dict[str, Any] | None:
    """The metadata that the run wrote in the output, or None where it is not ours."""
    files = files_of(path)
    if not files:
        return None
    try:
        refuse_pipe(files[0])
        return metadata_in(pq.read_schema(files[0]).metadata)
    except (OSError, pa.ArrowException):
        return None


def metadata_in(footer: Mapping[bytes, bytes] | None) -> dict[str, Any] | None:
    """The metadata that the run wrote, of all that a file has in its footer; None where it is not ours."""
    if not footer or METADATA not in footer:
        return None
    try:
        value = lossless_json.loads(footer[METADATA])
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def is_ours(path: Path) -> bool:
    """Whether `path` is an output of batchchat; a folder is one if it has nothing else in it."""
    if path.is_dir():
        children = (child for child in path.iterdir() if not child.name.startswith(_OF_THE_SYSTEM))
        return all(child.is_file() and metadata_of(child) is not None for child in children)
    return metadata_of(path) is not None
