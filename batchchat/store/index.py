"""What is known of each row: its fingerprint, its journal offset, its ordinal in the input; no Python object per row.

A row is identified by a 64-bit hash of its key (see `hash_table`). It takes 38 to 42 bytes, table included, and 8 more
where rows have passthrough columns, 4 where they have samples: what is 0 in all rows is never written, and takes none.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from batchchat.core.conversation import ErrorKind, Key, Status
from batchchat.hash_table import HashTable, grown, stable_hash64, zeros
from batchchat.lossless_json import canonical

__all__ = ["Index"]

_NO_OFFSET = (1 << 64) - 1
_NOT_IN_INPUT = (1 << 32) - 1
_STATUSES = ("", Status.ANSWERED.value, Status.FAILED.value, Status.INVALID.value)
_CODES = {status: code for code, status in enumerate(_STATUSES)}
_SLICE = 10_000
_NO_VALUES = 0
_CUT_OFF = 1
# What else is known of a finished row: 0 nothing, 1 that its answer was cut off, or why it failed.
_DETAILS = ("", "", *(kind.value for kind in ErrorKind))
_DETAIL_CODES = {kind: code for code, kind in enumerate(_DETAILS) if kind}


class Index:
    """One entry per row, numbered from 0 in the order they were added."""

    def __init__(self) -> None:
        self._table = HashTable()
        self._capacity = capacity = self._table.capacity
        self._fingerprints = zeros("Q", capacity)
        self._journal_offsets = zeros("Q", capacity)
        self._ordinals = zeros("I", capacity)
        self._samples = zeros("I", capacity)
        self._statuses = zeros("B", capacity)
        self._details = zeros("B", capacity)
        self._passthrough_hashes = zeros("Q", capacity)
        self._row_offsets: memoryview[int] | None = None
        """Where a row was amended: the offsets of all rows' own records."""
        self.on_finished: Callable[[int, int], None] | None = None
        """Called with the ordinal of each row that is finished, and the journal offset of its record."""

    def __len__(self) -> int:
        return len(self._table)

    def add(self, key: Key) -> int:
        """The entry of `key`; a new key gets a new one."""
        entry, is_new = self._table.add(_hash_of_key(key))
        if is_new:
            if entry == self._capacity:
                self._set_columns(self._columns, self._table.capacity)
            self._journal_offsets[entry] = _NO_OFFSET
            self._ordinals[entry] = _NOT_IN_INPUT
            if key.sample:
                self._samples[entry] = key.sample
            if self._row_offsets is not None:
                self._row_offsets[entry] = _NO_OFFSET
        return entry

    def find(self, key: Key) -> int | None:
        """The entry of `key`, or None."""
        return self._table.find(_hash_of_key(key))

    @property
    def is_amended(self) -> bool:
        """Whether a row was amended."""
        return self._row_offsets is not None

    @property
    def arrays(self) -> list[memoryview[int]]:
        """All that the index is made of, to be written and given to `of_arrays`."""
        return [*self._table.arrays, *(column[: len(self)] for column in self._columns)]

    @classmethod
    def of_arrays(cls, arrays: Sequence[memoryview[int]]) -> Index:
        """The inverse of `arrays`. Raises `ValueError` where they are no index's."""
        index = cls()
        hashes, slots, *columns = arrays
        own = [*index.arrays, zeros("Q", 0)][: len(arrays)]
        whole = [column.format for column in arrays] == [column.format for column in own]
        if not whole or any(len(column) != len(hashes) for column in columns):
            raise ValueError("these arrays are no index's")
        index._table = HashTable.of_arrays(hashes, slots)
        index._set_columns(columns, index._table.capacity)
        return index

    @property
    def _columns(self) -> list[memoryview[int]]:
        columns = [
            self._fingerprints,
            self._journal_offsets,
            self._ordinals,
            self._samples,
            self._statuses,
            self._details,
            self._passthrough_hashes,
        ]
        return columns if self._row_offsets is None else [*columns, self._row_offsets]

    def _set_columns(self, columns: Sequence[memoryview[int]], capacity: int) -> None:
        """The entries are those of `columns`; there may be as many as `capacity`."""
        longer = [grown(column, capacity) for column in columns]
        self._fingerprints, self._journal_offsets, self._ordinals, self._samples = longer[:4]
        self._statuses, self._details, self._passthrough_hashes = longer[4:7]
        self._row_offsets = next(iter(longer[7:]), None)
        self._capacity = capacity

    def forget_ordinals(self) -> None:
        """The input is read anew: no row of it was read yet."""
        self._ordinals[: len(self)] = memoryview(array("I", [_NOT_IN_INPUT]) * len(self))

    def set_ordinal(self, entry: int, ordinal: int) -> None:
        """The row of `entry` is at `ordinal` of the input."""
        self._ordinals[entry] = ordinal

    def remove_from_input(self, entry: int) -> None:
        """The row of `entry` is not in the input."""
        self._ordinals[entry] = _NOT_IN_INPUT

    def is_in_input(self, entry: int) -> bool:
        """Whether the input, as read in this run, has the row."""
        return self._ordinals[entry] != _NOT_IN_INPUT

    def finish(
        self,
        entry: int,
        status: str,
        fingerprint: int,
        journal_offset: int,
        *,
        cut_off: bool = False,
        error_kind: str = "",
    ) -> None:
        """The row's record is at `journal_offset`; `cut_off` and `error_kind` are of an answer and of a failure."""
        self._statuses[entry] = _CODES[status]
        self._fingerprints[entry] = fingerprint
        self._journal_offsets[entry] = journal_offset
        if self._row_offsets is not None:
            self._row_offsets[entry] = journal_offset
        detail = _CUT_OFF if cut_off else _DETAIL_CODES.get(error_kind, 0)
        if self._details[entry] != detail:
            self._details[entry] = detail
        if self.on_finished is not None:
            self.on_finished(self._ordinals[entry], journal_offset)

    def move(self, source: int, target: int) -> None:
        """The finished row of `source` is now that of `target`; `source` is as if it had never been sent."""
        for column in (self._statuses, self._fingerprints, self._journal_offsets, self._details):
            column[target] = column[source]
        if self._row_offsets is not None:
            self._row_offsets[target], self._row_offsets[source] = self._row_offsets[source], _NO_OFFSET
        self._statuses[source] = self._details[source] = 0
        self._passthrough_hashes[source] = _NO_VALUES
        self._fingerprints[source], self._journal_offsets[source] = 0, _NO_OFFSET

    def amend(self, entry: int, journal_offset: int) -> None:
        """The finished row's record is now amended by the one at `journal_offset`."""
        if self._row_offsets is None:
            self._row_offsets = zeros("Q", self._capacity)
            self._row_offsets[: len(self)] = self._journal_offsets[: len(self)]
        self._journal_offsets[entry] = journal_offset

    def set_passthrough(self, entry: int, values: Mapping[str, Any]) -> None:
        """The finished row's record has `values` as passthrough columns; noted as a hash."""
        noted = _hash_of(values)
        if self._passthrough_hashes[entry] != noted:
            self._passthrough_hashes[entry] = noted

    def has_other_passthrough(self, entry: int, values: Mapping[str, Any]) -> bool:
        """Whether the finished row's record has other passthrough columns than `values`."""
        return self._passthrough_hashes[entry] != _hash_of(values)

    def status(self, entry: int) -> str:
        """The row's status; empty for an unfinished row."""
        return _STATUSES[self._statuses[entry]]

    def sample(self, entry: int) -> int:
        """Which sample of its input row the row is."""
        return self._samples[entry]

    def is_cut_off(self, entry: int) -> bool:
        """Whether the row has an answer that ended at the limit of its tokens."""
        return self._details[entry] == _CUT_OFF

    def error_kind(self, entry: int) -> str:
        """Why the row failed or is invalid; empty for another."""
        return _DETAILS[self._details[entry]]

    def fingerprint(self, entry: int) -> int:
        """The fingerprint noted in the row's record."""
        return self._fingerprints[entry]

    def journal_offset(self, entry: int) -> int:
        """The journal offset of the row's record; only of a finished row."""
        return self._journal_offsets[entry]

    def was_finished_since(self, entry: int, journal_offset: int) -> bool:
        """Whether what came of the row is in the journal at `journal_offset` or behind it; an amendment is not that."""
        offsets = self._journal_offsets if self._row_offsets is None else self._row_offsets
        return bool(self._statuses[entry]) and offsets[entry] >= journal_offset

    @property
    def has_finished(self) -> bool:
        """Whether there is an entry with a record."""
        return next(self.finished(), None) is not None

    def answered_ordinals(self) -> Iterator[int]:
        """The ordinals of the answered rows that are in the input."""
        answered = _CODES[Status.ANSWERED.value]
        for ordinal, code in zip(self._ordinals[: len(self)], self._statuses[: len(self)], strict=True):
            if code == answered and ordinal != _NOT_IN_INPUT:
                yield ordinal

    def finished(self) -> Iterator[int]:
        """Entries with a record, in the order they were added."""
        return (entry for entry, code in enumerate(self._statuses[: len(self)]) if code)

    def finished_in(self, entries: range) -> Iterator[tuple[int, int]]:
        """The ordinals and journal offsets of those of `entries` that are finished rows of the input."""
        for entry in entries:
            if self._statuses[entry] and (ordinal := self._ordinals[entry]) != _NOT_IN_INPUT:
                yield ordinal, self._journal_offsets[entry]

    def offsets_in_order(self, order: str) -> array[int]:
        """The journal offsets of the finished rows of the input, in the `order` of the output: input or completion.

        No Python object is made for a row. It takes 8 bytes a row, and 8 more meanwhile where they must be sorted: the
        rows of a first run are in the input's order as they are.
        """
        import pyarrow.compute as pc

        columns = (self._statuses, self._ordinals, self._journal_offsets)
        codes, ordinals, offsets = (_view(column[: len(self)]) for column in columns)
        unfinished, not_in_input = _view(array("B", [0]))[0], _view(array("I", [_NOT_IN_INPUT]))[0]
        rank = offsets if order == "completion" else ordinals
        entries: Any = None if _is_ascending(rank) else pc.array_sort_indices(rank)  # stable
        result = array("Q")
        for start in range(0, len(self), _SLICE):
            own_codes, own_ordinals, own_offsets = (
                column.slice(start, _SLICE) if entries is None else column.take(entries.slice(start, _SLICE))
                for column in (codes, ordinals, offsets)
            )
            is_finished = pc.not_equal(own_codes, unfinished)
            is_in_input = pc.not_equal(own_ordinals, not_in_input)
            taken: Any = own_offsets.filter(pc.and_(is_finished, is_in_input))
            if len(taken):
                result.frombytes(memoryview(taken.buffers()[1])[8 * taken.offset :][: 8 * len(taken)])
        return result


def _is_ascending(column: Any) -> bool:
    import pyarrow.compute as pc

    return pc.all(pc.less_equal(column.slice(0, max(len(column) - 1, 0)), column.slice(1)), min_count=0).as_py() is True


def _view(column: array[int] | memoryview[int]) -> Any:
    """The `column` in place, as an Arrow array."""
    import pyarrow as pa

    kind = {1: pa.uint8(), 4: pa.uint32(), 8: pa.uint64()}[column.itemsize]
    return pa.Array.from_buffers(kind, len(column), [None, pa.py_buffer(column)])


def _hash_of_key(key: Key) -> int:
    # The length of the id tells where it ends, and the last separator where the sample begins.
    id_, variant, sample = key
    return stable_hash64(f"{len(id_)} {id_}{variant}\x1f{sample}".encode("utf-8", "surrogatepass"))


def _hash_of(values: Mapping[str, Any]) -> int:
    return stable_hash64(canonical(values)) if values else _NO_VALUES
