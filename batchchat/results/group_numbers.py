"""The group of each row, by its values in some columns; distinct values are looked at once in a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.types as pt

from batchchat.results.column_arrays import Integers, integers, present
from batchchat.results.group_stats import Groups, GroupStats, check_groups, group_key
from batchchat.results.values import batch_values

__all__ = ["GroupNumbers", "distinct_rows"]


class GroupNumbers:
    """Numbers the combinations of the values of the columns `by`, in the order in which they come.

    `stats` has the figures of each by its number; they are the caller's to add to.
    """

    def __init__(self, by: Sequence[str]) -> None:
        self._by = by
        self._numbers: dict[bytes, int] = {}
        self._values: list[tuple[Any, ...]] = []
        self.stats: list[GroupStats] = []

    def by_key(self) -> Groups:
        """The figures for each combination of values."""
        return dict(zip(self._numbers, zip(self._values, self.stats, strict=True), strict=True))

    def add(self, batch: pa.RecordBatch) -> Integers:
        """The number of the group of each row of `batch`. Raises `UsageError` where there are too many groups."""
        of_rows, distinct = distinct_rows(batch, self._by)
        numbers = np.array([self._number(values) for values in distinct], np.int32)
        check_groups(self._numbers, self._by)
        of_groups: Integers = numbers[of_rows]
        return of_groups

    def _number(self, values: tuple[Any, ...]) -> int:
        key = group_key(values)
        if key not in self._numbers:
            self._numbers[key] = len(self._numbers)
            self._values.append(values)
            self.stats.append(GroupStats())
        return self._numbers[key]


def distinct_rows(batch: pa.RecordBatch, names: Sequence[str]) -> tuple[Integers, list[tuple[Any, ...]]]:
    """The combinations of values of the columns `names`, in the order of the rows, and the position of each row's.

    Some may occur more than once among them.
    """
    encoded = [_encoded(batch, name) for name in names]
    combined = np.zeros(batch.num_rows, np.int64)
    for codes, values in encoded:
        _, combined = np.unique(combined * len(values) + codes, return_inverse=True)
    _, firsts, of_rows = np.unique(combined, return_index=True, return_inverse=True)
    order = np.argsort(firsts)
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    distinct = [tuple(values[codes[first]] for codes, values in encoded) for first in firsts[order].tolist()]
    return rank[of_rows], distinct


def _encoded(batch: pa.RecordBatch, name: str) -> tuple[npt.NDArray[np.int64], list[Any]]:
    """A number for the value of each row in the column `name`, and the values by their numbers."""
    column: Any = batch.column(name)
    if not _can_be_encoded(column.type):
        return np.arange(batch.num_rows), batch_values(batch, name) or [None]
    encoded = column if pt.is_dictionary(column.type) else column.dictionary_encode()
    distinct = pa.RecordBatch.from_arrays([encoded.dictionary], names=[name])
    values = [*batch_values(distinct, name), None]
    codes = np.where(present(encoded.indices), integers(encoded.indices).astype(np.int64), len(values) - 1)
    return codes, values


def _can_be_encoded(dtype: Any) -> bool:
    """Whether Arrow tells apart all values of `dtype` that JSON tells apart; -0.0 is none of them."""
    kinds = (pt.is_dictionary, pt.is_string, pt.is_boolean, pt.is_integer, pt.is_timestamp)
    return any(is_kind(dtype) for is_kind in kinds)
