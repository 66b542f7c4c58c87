"""A look at an input's first rows before all are read: which column has the ids, what the rows have, how many."""

from __future__ import annotations

import time
from itertools import islice
from typing import TYPE_CHECKING, Any

from batchchat.core.bad import Bad
from batchchat.job.spec import AUTO
from batchchat.sources.column_selection import ColumnSelection
from batchchat.sources.readers import read_records
from batchchat.sources.row_ids import parse_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from batchchat.job.spec import InputSpec
    from batchchat.sources.column_selection import ParquetFooter
    from batchchat.sources.files import InputFile
    from batchchat.sources.formats import Format
    from batchchat.sources.unsent_fields import UnsentFields

__all__ = ["count_if_small", "id_column_of", "look_at_first_rows"]

_ROWS = 1_000
_BYTES = 8 << 20
_COUNTED_BYTES = 4 << 20
_COUNT_WITHIN_S = 0.2
_ID_COLUMNS = ("id", "custom_id")


def id_column_of(
    spec: InputSpec, form: Format, files: tuple[InputFile, ...], footers: list[ParquetFooter]
) -> str | None:
    """The column of ids: the job's, or else the one that the format or the first row has; None for hashes."""
    if spec.id != AUTO or form.id_column is not None:
        return form.id_column if spec.id == AUTO else spec.id
    first = next(_first_columns(files, set(_ID_COLUMNS)), {})
    for name in _ID_COLUMNS:
        if name not in first or name in form.columns or not _can_be_ids(name, footers):
            continue
        if not isinstance(parse_id(first[name], name), Bad):
            return name
    return None


def _can_be_ids(name: str, footers: list[ParquetFooter]) -> bool:
    """Whether the type of the column `name` lets it hold ids in each Parquet file that has it."""
    types = [footer.types[name] for footer in footers if name in footer.types]
    if not types:
        return True
    from batchchat.sources.unify import makes_ids

    return all(map(makes_ids, types))


def look_at_first_rows(spec: InputSpec, unsent: UnsentFields, files: tuple[InputFile, ...]) -> None:
    """Let `unsent` take note of the first rows, and of the columns of `input.params` that none of them has."""
    params = (spec.params,) if isinstance(spec.params, str) else spec.params or ()
    missing, count = dict.fromkeys(params), 0
    if not unsent.fields and not missing:
        return
    for columns in islice(_first_columns(files, {*unsent.fields, *params}), _ROWS):
        count += 1
        unsent.note(columns)
        for name in [name for name in missing if columns.get(name) is not None]:
            del missing[name]
    unsent.note_missing(missing, count)


def count_if_small(
    files: tuple[InputFile, ...],
    first: int | None,
    selection: ColumnSelection,
    holds: Callable[[dict[str, Any]], bool | Bad],
) -> int | None:
    """How many rows there are, of which the job takes the `first`; None where that takes more than a moment to find.

    Rows of which `holds` is false are left out; it is given the columns of `selection`.
    """
    deadline = time.monotonic() + _COUNT_WITHIN_S
    rows = bytes_read = 0

    def on_progress(of_this_file: int) -> None:
        nonlocal bytes_read
        bytes_read = bytes_before + of_this_file

    bytes_before = 0
    for file in files:
        for _, columns in read_records(file, selection, on_progress):
            rows += isinstance(columns, Bad) or holds(columns) is not False
            if rows == first:
                return rows
            if bytes_read > _COUNTED_BYTES or time.monotonic() > deadline:
                return None
        bytes_before += file.size
    return rows


def _first_columns(files: tuple[InputFile, ...], wanted: set[str]) -> Iterator[dict[str, Any]]:
    """The columns of the first rows that can be read, as far as 8 MiB go; of Parquet those that are `wanted`."""
    bytes_before = bytes_read = 0

    def on_progress(of_this_file: int) -> None:
        nonlocal bytes_read
        bytes_read = bytes_before + of_this_file

    for file in files:
        for _, columns in read_records(file, ColumnSelection(wanted), on_progress):
            if not isinstance(columns, Bad):
                yield columns
            if bytes_read > _BYTES:
                return
        bytes_before = bytes_read
