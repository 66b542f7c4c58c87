"""The columns that `chat_frame` adds to a frame, and which of a run's rows belongs to which of the frame's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from batchchat.errors import UsageError
from batchchat.lossless_json import scrub
from batchchat.store.columns import COLUMNS
from batchchat.store.parsed_columns import ParsedColumns, fields_of_schema

if TYPE_CHECKING:
    import pyarrow as pa

    from batchchat.api.frame_kinds import FrameLike
    from batchchat.job import JobSpec

__all__ = ["JoinedResults", "ResultColumns", "join_results", "positions_of_all"]

_ALWAYS = (
    "response",
    "status",
    "error_kind",
    "error",
    "finish_reason",
    "prompt_tokens",
    "completion_tokens",
    "cost_usd",
)
_WHERE_ANY = ("reasoning", "tool_calls", "refusal", "logprobs")


class ResultColumns:
    """The columns of the output of the job `spec` that a frame gets, with `prefix` before their names."""

    def __init__(self, spec: JobSpec, prefix: str) -> None:
        import pyarrow as pa

        types: dict[str, Any] = {column.name: column.type for column in COLUMNS}
        axes = spec.matrix or ()
        repeats = spec.samples > 1 or bool(axes)
        names = [*(["variant", "sample"] if repeats else []), *_ALWAYS]
        self._types = {name: types[name] for name in names}
        self._types.update({f"variant_{axis.name}": None for axis in axes})
        schema = spec.expect.json_schema
        if schema is not None and spec.expect.columns and (fields := fields_of_schema(schema)):
            self._types.update(ParsedColumns(fields, {}).columns)
        elif schema is not None:
            self._types["parsed"] = types["parsed"]
        self._optional = {name: types[name] for name in _WHERE_ANY}
        self._prefix = prefix
        self._string = pa.string()
        self.names = [*self._types, *self._optional]
        """The columns of the output that are read."""

    def check(self, frame: FrameLike) -> None:
        """Raise `UsageError` where `frame` has a column of a name that is added, or may be."""
        taken = [name for name in (f"{self._prefix}{name}" for name in self.names) if name in frame.names]
        if taken:
            raise UsageError(
                f"the frame has the columns {', '.join(f'`{scrub(name)}`' for name in taken)}, which the result adds."
                " Pass prefix='llm_' to add them under other names, or, where an earlier call added them, pass the"
                " frame without them."
            )

    def empty(self) -> pa.Table:
        """The columns without a row."""
        import pyarrow as pa

        fields = [pa.field(f"{self._prefix}{name}", kind or self._string) for name, kind in self._types.items()]
        return pa.schema(fields).empty_table()

    def of(self, rows: pa.Table) -> pa.Table:
        """These columns of `rows`, those of the output; of some only where there is a value in any row."""
        names = [*self._types, *(name for name in self._optional if rows.column(name).null_count < rows.num_rows)]
        return rows.select(names).rename_columns([f"{self._prefix}{name}" for name in names])


class JoinedResults(NamedTuple):
    """A row of `results` for each row of `positions`, which are the frame's rows from 0; None: all, in their order."""

    results: pa.Table
    positions: pa.Array[Any] | None


def positions_of_all(results: int, rows: int) -> pa.ChunkedArray[Any]:
    """The frame's row of each of so many `results`, where each of its `rows` has as many, in their order."""
    import pyarrow as pa
    import pyarrow.compute as pc

    repeats, remainder = divmod(results, rows)
    assert repeats > 0 == remainder, f"{results} results for {rows} rows"
    return pa.chunked_array([pc.divide(pa.array(range(results), pa.int64()), repeats)])


def join_results(results: pa.Table, positions: pa.ChunkedArray[Any], rows: int) -> JoinedResults:
    """`results` in the order of a frame's `rows`, with nulls for those that have none.

    `positions` are the frame's row of each of them. A row may have several, which keep their order.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    every = pa.array(range(rows), pa.int64())
    at = positions.combine_chunks()
    if at.equals(every):
        return JoinedResults(results, None)
    missing = every.filter(pc.invert(pc.is_in(every, value_set=at)))
    indices = pa.concat_arrays([pa.array(range(results.num_rows), pa.int64()), pa.nulls(len(missing), pa.int64())])
    all_at = pa.concat_arrays([at, missing])
    order = pc.sort_indices(all_at)
    ordered = all_at.take(order)
    return JoinedResults(results.take(indices.take(order)), None if ordered.equals(every) else ordered)
