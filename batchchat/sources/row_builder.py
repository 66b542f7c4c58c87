"""Builds rows from records: the request, the id, and the columns that pass through to the output.

One `RowBuilder` serves one pass over the input. Each record becomes exactly one row, good or bad, in order.
"""

from __future__ import annotations

from typing import Any

from batchchat.core.bad import Bad
from batchchat.core.conversation import BadRow, Key, Row
from batchchat.sources.formats import Format, RowRequest, drop_null_keys, parse_row_params
from batchchat.sources.json_value import list_columns
from batchchat.sources.row_ids import ColumnIds, ContentIds, parse_id
from batchchat.text.nearest import did_you_mean

__all__ = ["Columns", "RowBuilder"]


class Columns:
    """The roles of a record's columns. `wanted` are the columns to read, None for all."""

    def __init__(
        self, form: Format, id_column: str | None, params: str | None, passthrough: tuple[str, ...] | None
    ) -> None:
        self.form = form
        self.id = id_column
        self.params = params
        self.passthrough = passthrough
        self.structs = form.columns if params is None else (*form.columns, params)
        own = {id_column, params} - {None}
        self.excluded = frozenset(str(name) for name in own | set(form.excluded))
        self.wanted = None if passthrough is None else {*self.excluded, *form.columns, *passthrough}

    def passes_through(self, name: str) -> bool:
        """True if the column `name` goes to the output."""
        return name not in self.excluded if self.passthrough is None else name in self.passthrough

    def passthrough_of(self, record: dict[str, Any]) -> dict[str, Any]:
        """The columns of `record` that go to the output.

        Without `input.columns` the others are removed from `record` itself: a copy would take as long as parsing it.
        """
        if self.passthrough is not None:
            return {name: record.get(name) for name in self.passthrough}
        for name in self.excluded:
            record.pop(name, None)
        return record


class RowBuilder:
    """Builds the rows of one pass, in reading order; `rows` counts them."""

    def __init__(self, columns: Columns) -> None:
        self.rows = 0
        self._columns = columns
        self._column_ids = None if columns.id is None else ColumnIds()
        self._content_ids = ContentIds()

    def build(self, label: str, line: int, record: dict[str, Any] | Bad, *, sparse: bool) -> Row | BadRow:
        """The row for the record on `line` of the file `label`.

        `sparse`: null keys of structs are absent keys, as in Parquet.
        """
        ordinal, location = self.rows, f"{label}:{line}"
        self.rows += 1
        if isinstance(record, Bad):
            return BadRow(Key(self._location_id(label, line)), ordinal, location, record.sentence)
        request = self._parse(record, sparse=sparse)
        if self._column_ids is None:
            passthrough = self._columns.passthrough_of(record)
            if isinstance(request, Bad):
                return BadRow(Key(location), ordinal, location, request.sentence, passthrough)
            key = Key(self._content_ids.claim(request.messages, request.params, request.model))
            return Row(key, ordinal, location, request.messages, request.params, request.model, passthrough)
        name, problem = self._column_id(record, label, line)
        passthrough = self._columns.passthrough_of(record)
        if problem is not None:
            return BadRow(Key(name), ordinal, location, problem.sentence, passthrough)
        if isinstance(request, Bad):
            return BadRow(Key(name), ordinal, location, request.sentence, passthrough)
        return Row(Key(name), ordinal, location, request.messages, request.params, request.model, passthrough)

    def _location_id(self, label: str, line: int) -> str:
        location = f"{label}:{line}"
        # A hash of a conversation contains no colon, but an id from a column may look like a location.
        return location if self._column_ids is None else self._column_ids.claim(location, label, line)[0]

    def _column_id(self, record: dict[str, Any], label: str, line: int) -> tuple[str, Bad | None]:
        column = self._columns.id
        assert column is not None
        assert self._column_ids is not None
        if column not in record:
            sentence = f"`{column}` is missing. There is {list_columns(record)}.{did_you_mean(column, record)}"
            return self._location_id(label, line), Bad(sentence)
        id_ = parse_id(record[column], column)
        if isinstance(id_, Bad):
            return self._location_id(label, line), id_
        return self._column_ids.claim(id_, label, line)

    def _parse(self, record: dict[str, Any], *, sparse: bool) -> RowRequest | Bad:
        columns = self._columns
        if sparse:
            # Columns that pass through keep their nulls, so that their Arrow type can be restored.
            read = {name: drop_null_keys(record[name]) for name in columns.structs if name in record}
            record = {**record, **read}
        request = columns.form.parse(record)
        if columns.params is None or isinstance(request, Bad):
            return request
        own = parse_row_params(record.get(columns.params), columns.params)
        if isinstance(own, Bad):
            return own
        return RowRequest(request.messages, {**request.params, **own.params}, own.model or request.model)
