"""A frame's rows as the Parquet file that a run reads: the columns that it needs, and each row's position."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchchat.errors import MachineError, UsageError, error_of_machine
from batchchat.lossless_json import scrub
from batchchat.sources.json_value import list_columns
from batchchat.sources.rendering import Rendering
from batchchat.text.nearest import did_you_mean

if TYPE_CHECKING:
    from batchchat.api.frame_kinds import ArrowColumn, FrameLike
    from batchchat.job import JobSpec

__all__ = ["ColumnUse", "column_use", "free_name", "write_frame"]

_ROW_GROUP = 10_000


@dataclass(frozen=True, slots=True)
class ColumnUse:
    """The columns that the rows of a job are made of.

    `arguments` names what asks for each that must be there; `optional` ones are read where they are there; `as_json`
    are messages and parameters, which JSON text holds whatever their shapes are.
    """

    arguments: Mapping[str, str]
    optional: frozenset[str]
    as_json: frozenset[str]
    reads_all: bool

    def among(self, names: list[str]) -> list[str]:
        """Those of `names` that are needed, in the same order. Raises `UsageError` for one that lacks or is twice."""
        for name, argument in self.arguments.items():
            if name not in names:
                raise UsageError(
                    f"{argument}: the frame has no column `{scrub(name)}`. It has {list_columns(names)}."
                    f"{did_you_mean(name, names)}"
                )
        needed = [name for name in names if self.reads_all or name in self.arguments or name in self.optional]
        for name in needed:
            if (count := needed.count(name)) > 1:
                raise UsageError(f"the frame has {count} columns called `{scrub(name)}`. Rename all but one of them.")
        return needed


def column_use(spec: JobSpec) -> ColumnUse:
    """The columns that the rows of the job `spec` are made of. Raises `InputError` for a template that is none."""
    source = spec.input
    rendering = Rendering(spec.template, spec.systems, source.where)
    arguments = {name: key for key, name in rendering.required}
    if source.column is not None:
        arguments[source.column] = source.format
    if source.id is not None:
        arguments[source.id] = "id"
    params = source.params
    own = () if params is None else (params,) if isinstance(params, str) else tuple(params)
    arguments.update(dict.fromkeys(own, "input.params"))
    conversation = [source.column] if source.column is not None and source.format == "messages" else []
    names = rendering.names
    return ColumnUse(arguments, names.read, frozenset([*own, *conversation]) - names.read, names.reads_row)


def free_name(wanted: str, names: Iterable[str]) -> str:
    """`wanted`, or with underscores after it as many as make it none of `names`."""
    taken = set(names)
    while wanted in taken:
        wanted += "_"
    return wanted


def write_frame(frame: FrameLike, use: ColumnUse, position: str, path: Path) -> None:
    """Write the columns of `frame` that are needed, and the rows' numbers from 0 as the column `position`, to `path`.

    Memory holds one copy of these columns meanwhile. Raises `UsageError` for a column that Parquet can't hold,
    `MachineError` or `UsageError` where the file can't be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Any] = dict(_columns(frame, use))
    columns[position] = pa.array(range(frame.rows), pa.int64())
    try:
        pq.write_table(pa.table(columns), path, row_group_size=_ROW_GROUP, compression="zstd", compression_level=1)
    except pa.ArrowException as error:
        raise UsageError(f"the frame can't be written as Parquet: {error}.") from None
    except OSError as error:
        raise error_of_machine(error, sent=False) or MachineError(f"{path} can't be written: {error}.") from None


def _columns(frame: FrameLike, use: ColumnUse) -> Iterator[tuple[str, ArrowColumn]]:
    import pyarrow as pa

    from batchchat.arrow.cells import decode

    for name in use.among(frame.names):
        try:
            column = frame.json_column(name) if name in use.as_json else frame.column(name)
            decode([], column.type)  # a type that is not read back is refused here, where its frame is known
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            reason = str(error).split("\n", 1)[0][:150].rstrip(".")
            raise UsageError(
                f"the column `{scrub(name)}` can't be sent: {reason}. Convert it first, for example with"
                f" frame[{name!r}].astype(str)."
            ) from None
        yield name, column
