"""Which of a journal's records of rows count: the last one of each key, after amendments; and which were replaced.

It is what `Index` and `Ledger` come to record by record, worked out of arrays. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from batchchat.results.column_arrays import Bools

__all__ = ["LatestRecords", "RowAmendment", "RowRecords", "latest_records"]

Positions = npt.NDArray[np.int64]
_NONE = -1


class RowRecords(NamedTuple):
    """Records of rows, in any order: the number of each one's key, its offset, its ordinal, and how the row ended."""

    keys: Positions
    offsets: Positions
    ordinals: Positions
    is_answered: Bools
    is_invalid: Bools


class RowAmendment(NamedTuple):
    """An amendment: its offset, the numbers of the key now and of the key before, and its ordinal.

    `fits` says whether the record at a position is of the request that the amendment is about.
    """

    offset: int
    key: int
    before: int
    ordinal: int
    fits: Callable[[int], bool]


class LatestRecords(NamedTuple):
    """What counts.

    `rows` are the positions of the records that do, in the order of the input, and `amendments` the number of the
    amendment of each, -1 where there is none. `replaced` are those of records whose cost no other includes.
    """

    rows: Positions
    amendments: Positions
    replaced: Positions


def latest_records(records: RowRecords, amendments: Sequence[RowAmendment], key_count: int) -> LatestRecords:
    """What counts of `records`; `amendments` are in the journal's order, keys numbered up to `key_count`."""
    fold = _Fold(records, key_count)
    order = np.argsort(records.offsets, kind="stable")
    starts = np.searchsorted(records.offsets[order], [amendment.offset for amendment in amendments]).tolist()
    done = 0
    for number, (amendment, start) in enumerate(zip(amendments, starts, strict=True)):
        fold.add(order[done:start])
        fold.amend(number, amendment)
        done = start
    fold.add(order[done:])
    return fold.result()


class _Fold:
    """The state after some of the records: by key, the position of its record and the number of its amendment."""

    def __init__(self, records: RowRecords, key_count: int) -> None:
        self._records = records
        self._row_of = np.full(key_count, _NONE, np.int64)
        self._amendment_of = np.full(key_count, _NONE, np.int64)
        self._ordinals = np.zeros(key_count, np.int64)
        self._first_offsets = np.full(key_count, np.iinfo(np.int64).max)
        self._replaced = list[Positions]()

    def add(self, rows: Positions) -> None:
        """The records at the positions `rows`, which are in the journal's order."""
        if not len(rows):
            return
        order = np.argsort(self._records.keys[rows], kind="stable")
        rows = rows[order]
        keys = self._records.keys[rows]
        is_first = np.concatenate(([True], keys[1:] != keys[:-1]))
        is_last = np.concatenate((is_first[1:], [True]))
        before = np.where(is_first, self._row_of[keys], np.concatenate(([_NONE], rows[:-1])))
        self._replace(before, rows)
        self._row_of[keys[is_last]] = rows[is_last]
        self._amendment_of[keys[is_last]] = _NONE
        self._ordinals[keys[is_last]] = self._records.ordinals[rows[is_last]]
        firsts = keys[is_first]
        offsets = self._records.offsets[rows[is_first]]
        self._first_offsets[firsts] = np.minimum(self._first_offsets[firsts], offsets)

    def amend(self, number: int, amendment: RowAmendment) -> None:
        """The amendment of that `number`. Where its row's own record is damaged there is nothing to amend."""
        key, before = amendment.key, amendment.before
        self._ordinals[key] = amendment.ordinal
        self._first_offsets[key] = min(int(self._first_offsets[key]), amendment.offset)
        row = int(self._row_of[before])
        if row == _NONE or not amendment.fits(row):
            return
        if key != before:
            self._replace(self._row_of[[key]], np.array([row]))
            self._row_of[key], self._row_of[before] = row, _NONE
        self._amendment_of[key] = number

    def _replace(self, before: Positions, rows: Positions) -> None:
        """Note the records `before`, -1 for none, that `rows` replace, where these do not include what they cost.

        A failed row's next record includes its cost, but an invalid one was never sent and includes none.
        """
        old, new = before[before != _NONE], rows[before != _NONE]
        records = self._records
        is_lost = records.is_answered[old] | (~records.is_invalid[old] & records.is_invalid[new])
        self._replaced.append(old[is_lost])

    def result(self) -> LatestRecords:
        """What counts now."""
        keys = np.nonzero(self._row_of != _NONE)[0]
        keys = keys[np.lexsort((self._first_offsets[keys], self._ordinals[keys]))]
        replaced = np.concatenate([np.zeros(0, np.int64), *self._replaced])
        return LatestRecords(self._row_of[keys], self._amendment_of[keys], replaced)
