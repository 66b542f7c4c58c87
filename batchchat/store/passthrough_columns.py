"""The passthrough columns: input columns that rows take along to the output, with their order and their types.

A run declares the Arrow types of its input's columns where the input has types. A column that every run declared with
the same type keeps it; any other is widened over the JSON values of all rows.
"""

from __future__ import annotations

import base64
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from batchchat.arrow.widening import Kind, Widened, kind_of_state, state_of, widen

if TYPE_CHECKING:
    import pyarrow as pa

    from batchchat.store.parquet import PassthroughColumn
    from batchchat.store.retyped_columns import RetypedColumns

__all__ = ["PassthroughColumns", "schema_text", "types_of"]

_NULL, _TEXT = Kind.NULL, Kind.TEXT


def schema_text(types: Mapping[str, pa.DataType]) -> str | None:
    """The Arrow `types` of columns as text for a `run` record; None without columns."""
    if not types:
        return None
    import pyarrow as pa  # of an input that declares types; JSON lines do without

    return base64.b64encode(pa.schema(list(types.items())).serialize()).decode()


def types_of(text: str | None) -> dict[str, pa.DataType]:
    """The inverse of `schema_text`."""
    if text is None:
        return {}
    import pyarrow as pa

    return {field.name: field.type for field in pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text)))}


class PassthroughColumns:
    """Collects what the `run` records declare and what the `row` records hold, in the journal's order."""

    def __init__(self) -> None:
        self._kinds: dict[str, Widened] = {}
        """The widened kind of each column that a row has."""
        self._declarations: list[tuple[int, dict[str, pa.DataType]]] = []
        """For each run, the journal offset of its record and the types it declared."""
        self._declared: frozenset[str] = frozenset()
        """The columns that the current run declared."""
        self._undeclared: set[str] = set()
        """Columns that a row has whose run did not declare them."""
        self._first_positions: dict[str, tuple[int, int]] = {}
        """Of each column, the least (ordinal of a row that has it, position in that row)."""
        self._order_settled_at = 0
        """No row with this ordinal or a higher one can change the first positions."""

    def state(self) -> dict[str, Any]:
        """All that the rows taught, as JSON values; what the runs declared is in their records."""
        return {
            "kinds": [[name, state_of(kind)] for name, kind in self._kinds.items()],
            "undeclared": sorted(self._undeclared),
            "first_positions": [[name, list(position)] for name, position in self._first_positions.items()],
            "order_settled_at": self._order_settled_at,
        }

    @classmethod
    def of_state(cls, state: Mapping[str, Any], runs: Iterable[tuple[int, Mapping[str, Any]]]) -> PassthroughColumns:
        """The inverse of `state`; `runs` are the `run` records so far, with their journal offsets."""
        columns = cls()
        for journal_offset, run in runs:
            columns.declare(journal_offset, run.get("columns"))
        columns._kinds = {name: kind_of_state(kind) for name, kind in state["kinds"]}
        columns._undeclared = set(state["undeclared"])
        columns._first_positions = {name: (ordinal, at) for name, (ordinal, at) in state["first_positions"]}
        columns._order_settled_at = state["order_settled_at"]
        return columns

    def declare(self, journal_offset: int, schema: str | None) -> None:
        """A run begins at `journal_offset` and declares `schema`, the text of its column types."""
        self._declare(journal_offset, types_of(schema))

    def _declare(self, journal_offset: int, types: dict[str, pa.DataType]) -> None:
        self._declarations.append((journal_offset, types))
        self._declared = frozenset(types)

    def recounted(self, rows: Iterable[tuple[int, Mapping[str, Any], int]]) -> PassthroughColumns:
        """The columns of `rows` alone: journal offset, passthrough values and ordinal of each, by ascending offset.

        Where rows were amended, what they held before no longer counts.
        """
        counted, declarations, last = PassthroughColumns(), self._declarations, -1
        starts = [start for start, _ in declarations]
        for journal_offset, values, ordinal in rows:
            run = bisect_right(starts, journal_offset) - 1
            if run > last:
                counted._declare(*declarations[run])
                last = run
            counted.add(values, ordinal)
        if last < len(declarations) - 1:
            counted._declare(*declarations[-1])
        return counted

    def add(self, values: Mapping[str, Any], ordinal: int) -> None:
        """Widen the columns by the passthrough `values` of the row at `ordinal`."""
        kinds, declared = self._kinds, self._declared
        for name, value in values.items():
            if (kind := kinds.get(name, _NULL)) is not _TEXT:
                kinds[name] = widen(kind, value)
            if name not in declared:
                self._undeclared.add(name)
        # Rows finish in any order; after the first few of an input none changes where a column came first.
        first = self._first_positions
        if ordinal < self._order_settled_at or len(kinds) > len(first):
            for position, name in enumerate(values):
                first[name] = min(first.get(name, (ordinal, position)), (ordinal, position))
            self._order_settled_at = max(row_ordinal for row_ordinal, _ in first.values())

    def columns(self) -> dict[str, PassthroughColumn]:
        """How each column is typed: as all runs declared it, else as widened over the rows' values.

        Declared columns come first, in their order, whether or not a finished row has them; then the others, in the
        order of the input's rows.
        """
        typed, rewritten = self._typed(), self.retyped().names
        columns: dict[str, PassthroughColumn] = {}
        declared = (name for _, types in self._declarations for name in types)
        for name in (*declared, *sorted(self._kinds, key=self._first_positions.__getitem__)):
            if name in typed:
                columns[name] = typed[name]
            elif name in self._kinds:
                columns[name] = _TEXT if name in rewritten else self._kinds[name]
        return columns

    def retyped(self) -> RetypedColumns:
        """How to write cells of earlier runs whose column has lost its declared type."""
        from batchchat.store.retyped_columns import RetypedColumns

        return RetypedColumns(self._declarations, frozenset(self._typed()))

    def _typed(self) -> dict[str, pa.DataType]:
        """The columns that every run which had them declared, as the same type."""
        types: dict[str, list[pa.DataType]] = {}
        for _, declared in self._declarations:
            for name, kind in declared.items():
                types.setdefault(name, []).append(kind)
        return {
            name: kinds[0]
            for name, kinds in types.items()
            if name not in self._undeclared and all(kind == kinds[0] for kind in kinds)
        }
