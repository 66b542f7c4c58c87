"""Records to a Parquet file or a folder of part files: declared schema, bounded memory, swapped in whole.

A row group closes at 10,000 rows or 4 MiB of journal bytes, whichever comes first, and is converted 500 rows at a
time. Measured at 2.5 KB a row: groups of 4 MiB take 50 MB of memory, of 16 MiB 90 MB.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from batchchat import lossless_json
from batchchat.arrow import cells
from batchchat.arrow.widening import Widened, arrow_type, decode_widened
from batchchat.core.output_columns import METADATA
from batchchat.core.record import RowRecord
from batchchat.errors import refuse_pipe
from batchchat.store.atomic import replacing, replacing_folder
from batchchat.store.columns import COLUMNS, passthrough_names

__all__ = [
    "GROUP_LIMITS",
    "METADATA",
    "GroupLimits",
    "PassthroughColumn",
    "batches_of",
    "files_of",
    "is_ours",
    "metadata_in",
    "metadata_of",
    "rows_in",
    "write_parquet",
    "write_parts",
]

_OF_THE_SYSTEM = (".DS_Store", "._", ".nfs")
"""Names that macOS and NFS put into a folder that somebody looks at."""


class GroupLimits(NamedTuple):
    """A row group closes at `rows` rows or `size` bytes of the journal; `slice_rows` are converted at a time."""

    rows: int = 10_000
    size: int = 4 << 20
    slice_rows: int = 500


GROUP_LIMITS = GroupLimits()
_NONE: dict[str, Any] = {}

PassthroughColumn = pa.DataType | Widened
"""The type of a passthrough column: declared by a Parquet input, or widened over the JSON values of all rows."""


def _arrow_type(kind: PassthroughColumn) -> pa.DataType:
    return kind if isinstance(kind, pa.DataType) else arrow_type(kind)


def write_parquet(
    path: Path,
    rows: Iterable[tuple[RowRecord, int]],
    passthrough: Mapping[str, PassthroughColumn],
    metadata: Mapping[str, Any],
    *,
    limits: GroupLimits = GROUP_LIMITS,
) -> None:
    """Write `rows` (each with its length in bytes in the journal) to the file `path`, atomically.

    Raises `MachineError` where the disk refuses; `path` is then unchanged.
    """
    with replacing(path) as building:
        _write_file(building, rows, _schema(passthrough, metadata), passthrough, limits)


def write_parts(
    path: Path,
    rows: Iterable[tuple[RowRecord, int]],
    passthrough: Mapping[str, PassthroughColumn],
    metadata: Mapping[str, Any],
    part_rows: int,
    *,
    limits: GroupLimits = GROUP_LIMITS,
) -> None:
    """The same to a folder: `part-00000.parquet` and so on, of `part_rows` rows each. Without rows, one empty part."""
    schema = _schema(passthrough, metadata)
    remaining = iter(rows)
    with replacing_folder(path) as building:
        first, number = next(remaining, None), 0
        while first is not None or not number:
            part = islice(chain([] if first is None else [first], remaining), part_rows)
            _write_file(building / f"part-{number:05}.parquet", part, schema, passthrough, limits)
            first, number = next(remaining, None), number + 1


def _schema(passthrough: Mapping[str, PassthroughColumn], metadata: Mapping[str, Any]) -> pa.Schema:
    names = passthrough_names(passthrough)
    return pa.schema(
        [
            *((column.name, column.type) for column in COLUMNS),
            *((names[name], _arrow_type(kind)) for name, kind in passthrough.items()),
        ],
        metadata={METADATA: lossless_json.dumps(dict(metadata))},
    )


def _write_file(
    path: Path,
    rows: Iterable[tuple[RowRecord, int]],
    schema: pa.Schema,
    passthrough: Mapping[str, PassthroughColumn],
    limits: GroupLimits,
) -> None:
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for batches, count in _groups(rows, schema, passthrough, limits):
            writer.write_table(pa.Table.from_batches(batches, schema), row_group_size=count)


def _groups(
    rows: Iterable[tuple[RowRecord, int]],
    schema: pa.Schema,
    passthrough: Mapping[str, PassthroughColumn],
    limits: GroupLimits,
) -> Iterator[tuple[list[pa.RecordBatch], int]]:
    """Row groups, each as its record batches and its count of rows."""
    max_rows, max_size, slice_rows = limits
    batches: list[pa.RecordBatch] = []
    slice_: list[RowRecord] = []
    count = size = 0
    for row, length in rows:
        slice_.append(row)
        count, size = count + 1, size + length
        full = count >= max_rows or size >= max_size
        if full or len(slice_) >= slice_rows:
            batches.append(_batch(slice_, schema, passthrough))
            slice_ = []
        if full:
            yield batches, count
            batches, count, size = [], 0, 0
    if slice_:
        batches.append(_batch(slice_, schema, passthrough))
    if batches:
        yield batches, count


def _batch(rows: list[RowRecord], schema: pa.Schema, passthrough: Mapping[str, PassthroughColumn]) -> pa.RecordBatch:
    arrays = [column.array(rows) for column in COLUMNS]
    arrays += [_passthrough_array(rows, name, kind) for name, kind in passthrough.items()]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _passthrough_array(rows: Sequence[RowRecord], name: str, kind: PassthroughColumn) -> pa.Array[Any]:
    values = [row.get("carried", _NONE).get(name) for row in rows]
    return cells.decode(values, kind) if isinstance(kind, pa.DataType) else decode_widened(values, kind)


def batches_of(
    rows: Iterable[RowRecord], passthrough: Mapping[str, PassthroughColumn], columns: Collection[str]
) -> Iterator[pa.RecordBatch]:
    """The named `columns` of `rows`, as an output has them, in batches."""
    own = [column for column in COLUMNS if column.name in columns]
    names = {name: out for name, out in passthrough_names(passthrough).items() if out in columns}
    remaining = iter(rows)
    while slice_ := list(islice(remaining, GROUP_LIMITS.slice_rows)):
        arrays = [column.array(slice_) for column in own]
        arrays += [_passthrough_array(slice_, name, passthrough[name]) for name in names]
        yield pa.RecordBatch.from_arrays(arrays, names=[*(column.name for column in own), *names.values()])


def files_of(path: Path) -> list[Path]:
    """The files of an output, in order: itself, or the parts in it."""
    return sorted(path.glob("part-*.parquet")) if path.is_dir() else [path]


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
