"""The ids of rows, unique over good and bad rows of one pass, and independent of a row's position in its file.

An id from a column is used unchanged; where it repeats, the first row keeps it and a later row gets `#<file>:<line>`
appended. A row without an id column gets a hash of its request: its conversation, with the parameters and the model of
its own where it has any. The job's parameters and model are no part of it, so that a row keeps its id where the job
changes. Where a template makes the conversation it is a hash of the row's columns, for the same reason. Rows equal in
that get -2, -3 and so on appended, in reading order. Neither class keeps an object per row.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from typing import TYPE_CHECKING, Any

from batchchat.core.bad import Bad
from batchchat.hash_table import HashTable, process_hash, stable_hash64
from batchchat.lossless_json import canonical
from batchchat.sources.json_value import describe, short_json

if TYPE_CHECKING:
    from batchchat.core.conversation import Message

__all__ = ["ColumnIds", "ContentIds", "columns_digest", "parse_id", "request_digest"]


def parse_id(value: Any, where: str) -> str | Bad:
    """The id in `value`, a cell of the column `where`; `Bad` if it is not a non-empty text or an integer."""
    if type(value) is int:
        return str(value)
    if type(value) is not str:
        return Bad(f"`{where}` is {describe(value)}. It takes text or a whole number.")
    if not value:
        return Bad(f"`{where}` is empty. It takes text or a whole number.")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            return Bad(f"`{where}` is {short_json(value)}, which holds half of a surrogate pair.")
    return value


class ColumnIds:
    """Ids from a column. Each row claims exactly one, in reading order, so a number in the table is that of a row."""

    def __init__(self) -> None:
        self._table = HashTable()
        self._locations = _Locations()

    def claim(self, wanted: str, label: str, line: int) -> tuple[str, Bad | None]:
        """The id of the row at `label`:`line`, and a problem if an earlier row already has the id `wanted`."""
        number, is_new = self._table.add(process_hash(wanted))
        if is_new:
            self._locations.add(number, label, line)
            return wanted, None
        problem = Bad(f"duplicate id {short_json(wanted)}, first used at {self._locations.of(number)}")
        free = wanted
        # The longer id may also be in the column.
        while not is_new:
            free = f"{free}#{label}:{line}"
            number, is_new = self._table.add(process_hash(free))
        self._locations.add(number, label, line)
        return free, problem


class _Locations:
    """The locations (`file:line`) of rows by their numbers. Has one entry for each run of lines without a gap."""

    def __init__(self) -> None:
        self._labels: list[str] = []
        self._first_numbers = array("Q")
        self._files = array("L")
        self._deltas = array("q")
        self._last_run: tuple[str, int] | None = None

    def add(self, number: int, label: str, line: int) -> None:
        run = (label, line - number)
        if run != self._last_run:
            if self._last_run is None or self._last_run[0] != label:
                self._labels.append(label)
            self._first_numbers.append(number)
            self._files.append(len(self._labels) - 1)
            self._deltas.append(line - number)
            self._last_run = run

    def of(self, number: int) -> str:
        at = bisect_right(self._first_numbers, number) - 1
        return f"{self._labels[self._files[at]]}:{number + self._deltas[at]}"


def request_digest(messages: list[Message], params: dict[str, Any], model: str | None) -> int:
    """The hash of a row's request. `params` and `model` are its own; without them it is that of `messages` alone."""
    return columns_digest({"messages": messages, "params": params, "model": model} if params or model else messages)


def columns_digest(columns: Any) -> int:
    """The hash of a row whose conversation a template makes, of its columns: a template may change."""
    return stable_hash64(canonical(columns))


class ContentIds:
    """Ids from requests, for good rows. A bad row's id is its location, which no such id can equal."""

    def __init__(self) -> None:
        self._table = HashTable()
        self._repeated = HashTable()
        self._counts = array("L")

    def claim(self, digest: int) -> str:
        """The `digest` of a row in 16 hex digits; from its second occurrence on with `-` and the count appended."""
        _, is_new = self._table.add(digest)
        if is_new:
            return f"{digest:016x}"
        number, is_new = self._repeated.add(digest)
        if is_new:
            self._counts.append(1)
        self._counts[number] += 1
        return f"{digest:016x}-{self._counts[number]}"
