"""A record of a file made a row: what it asks, what it is called, what it carries.

One `RowBuilder` serves one reading. Each record becomes exactly one row, good or bad, in order.
"""

from __future__ import annotations

from typing import Any

from batchchat.core.conversation import BadRow, Key, Row
from batchchat.sources.formats import Format, RowRequest, row_params, without_absent
from batchchat.sources.json_value import listed
from batchchat.sources.row_ids import GivenIds, HashedIds, id_of
from batchchat.text.nearest import did_you_mean

__all__ = ["Columns", "RowBuilder"]


class Columns:
    """Which column of a record is what. `wanted` are those that are read at all, None where all are."""

    def __init__(
        self, form: Format, id_column: str | None, params: str | None, carried: tuple[str, ...] | None
    ) -> None:
        self.form = form
        self.id = id_column
        self.params = params
        self.carried = carried
        self.structs = form.columns if params is None else (*form.columns, params)
        own = {id_column, params} - {None}
        self.left_out = frozenset(str(name) for name in own | set(form.left_out))
        self.wanted = None if carried is None else {*self.left_out, *form.columns, *carried}

    def carries(self, name: str) -> bool:
        """Whether `name` goes to the output."""
        return name not in self.left_out if self.carried is None else name in self.carried

    def carried_of(self, record: dict[str, Any]) -> dict[str, Any]:
        """What of `record` goes to the output.

        Takes the rest out of it: a copy would cost as much as parsing it.
        """
        if self.carried is not None:
            return {name: record.get(name) for name in self.carried}
        for name in self.left_out:
            record.pop(name, None)
        return record


class RowBuilder:
    """Records to rows, in the order of reading."""

    def __init__(self, columns: Columns) -> None:
        self.rows = 0
        self._columns = columns
        self._given = None if columns.id is None else GivenIds()
        self._hashed = HashedIds()

    def row(self, label: str, line: int, record: dict[str, Any] | str, *, sparse: bool) -> Row | BadRow:
        """The row for one record, of `sparse` structs if it is of Parquet."""
        ordinal, place = self.rows, f"{label}:{line}"
        self.rows += 1
        if isinstance(record, str):
            return BadRow(Key(self._place_id(label, line)), ordinal, place, record)
        asked = self._asked(record, sparse=sparse)
        if self._given is None:
            carried = self._columns.carried_of(record)
            if isinstance(asked, str):
                return BadRow(Key(place), ordinal, place, asked, carried)
            key = Key(self._hashed.claim(asked.messages))
            return Row(key, ordinal, place, asked.messages, asked.params, asked.model, carried)
        name, error = self._given_id(record, label, line)
        carried = self._columns.carried_of(record)
        if error is not None:
            return BadRow(Key(name), ordinal, place, error, carried)
        if isinstance(asked, str):
            return BadRow(Key(name), ordinal, place, asked, carried)
        return Row(Key(name), ordinal, place, asked.messages, asked.params, asked.model, carried)

    def _place_id(self, label: str, line: int) -> str:
        place = f"{label}:{line}"
        # No hash of a conversation holds a colon, but a given id may look like a place.
        return place if self._given is None else self._given.claim(place, label, line)[0]

    def _given_id(self, record: dict[str, Any], label: str, line: int) -> tuple[str, str | None]:
        column = self._columns.id
        assert column is not None
        assert self._given is not None
        if column not in record:
            error = f"`{column}` is missing. There is {listed(record)}.{did_you_mean(column, record)}"
            return self._place_id(label, line), error
        wanted, fault = id_of(record[column], column)
        if wanted is None:
            return self._place_id(label, line), fault
        return self._given.claim(wanted, label, line)

    def _asked(self, record: dict[str, Any], *, sparse: bool) -> RowRequest | str:
        columns = self._columns
        if sparse:
            # What is carried keeps its nulls, so that its Arrow type can be made again.
            read = {name: without_absent(record[name]) for name in columns.structs if name in record}
            record = {**record, **read}
        asked = columns.form.ask(record)
        if columns.params is None or isinstance(asked, str):
            return asked
        own = row_params(record.get(columns.params), columns.params)
        if isinstance(own, str):
            return own
        params, model = own
        return RowRequest(asked.messages, {**asked.params, **params}, model or asked.model)
