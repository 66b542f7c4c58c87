"""What is known of each row: its fingerprint, its journal offset, its ordinal in the input; no Python object per row.

A row is identified by a 64-bit hash of its key (see `hash_table`). About 45 bytes a row, table included.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from batchchat.core.conversation import Key, Status
from batchchat.hash_table import HashTable, process_hash

__all__ = ["Index"]

_NO_OFFSET = (1 << 64) - 1
_NOT_IN_INPUT = -1
_STATUSES = ("", Status.ANSWERED.value, Status.FAILED.value, Status.INVALID.value)
_CODES = {status: code for code, status in enumerate(_STATUSES)}
_SLICE = 10_000


class Index:
    """One entry per row, numbered from 0 in the order they were added."""

    def __init__(self) -> None:
        self._table = HashTable()
        self._fingerprints = array("Q")
        self._journal_offsets = array("Q")
        self._ordinals = array("q")
        self._statuses = bytearray()

    def __len__(self) -> int:
        return len(self._table)

    def add(self, key: Key) -> int:
        """The entry of `key`; a new key gets a new one."""
        entry, is_new = self._table.add(process_hash(key))
        if is_new:
            self._fingerprints.append(0)
            self._journal_offsets.append(_NO_OFFSET)
            self._ordinals.append(_NOT_IN_INPUT)
            self._statuses.append(0)
        return entry

    def find(self, key: Key) -> int | None:
        """The entry of `key`, or None."""
        return self._table.find(process_hash(key))

    def set_ordinal(self, entry: int, ordinal: int) -> None:
        """The row of `entry` is at `ordinal` of the input."""
        self._ordinals[entry] = ordinal

    def is_in_input(self, entry: int) -> bool:
        """Whether the input, as read in this run, has the row."""
        return self._ordinals[entry] != _NOT_IN_INPUT

    def finish(self, entry: int, status: str, fingerprint: int, journal_offset: int) -> None:
        """The row's record is at `journal_offset`."""
        self._statuses[entry] = _CODES[status]
        self._fingerprints[entry] = fingerprint
        self._journal_offsets[entry] = journal_offset

    def status(self, entry: int) -> str:
        """The row's status; empty for an unfinished row."""
        return _STATUSES[self._statuses[entry]]

    def fingerprint(self, entry: int) -> int:
        """The fingerprint noted in the row's record."""
        return self._fingerprints[entry]

    def journal_offset(self, entry: int) -> int:
        """The journal offset of the row's record; only of a finished row."""
        return self._journal_offsets[entry]

    def finished(self) -> Iterator[int]:
        """Entries with a record, in the order they were added."""
        return (entry for entry, code in enumerate(self._statuses) if code)

    def in_input_order(self) -> Iterator[int]:
        """The finished entries of the input, in its order."""
        return self._sorted_by(self._ordinals, pa.int64())

    def in_completion_order(self) -> Iterator[int]:
        """The finished entries of the input, in the order in which their records were written."""
        return self._sorted_by(self._journal_offsets, pa.uint64())

    def _sorted_by(self, column: array[int], arrow_type: pa.DataType) -> Iterator[int]:
        # Arrow reads the column's memory in place; its sort is stable and takes 8 bytes a row.
        view = pa.Array.from_buffers(arrow_type, len(self), [None, pa.py_buffer(column)])
        order: Any = pc.array_sort_indices(view)
        del view  # an array with an exported buffer can't grow
        for start in range(0, len(order), _SLICE):
            for entry in order.slice(start, _SLICE).to_pylist():
                if self._ordinals[entry] != _NOT_IN_INPUT and self._statuses[entry]:
                    yield entry
