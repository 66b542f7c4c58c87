"""Rows of an output as numpy arrays: what their figures are summed from, column by column. About 130 bytes a row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from batchchat.core.conversation import Key
from batchchat.core.key_spelling import spelled_key
from batchchat.core.totals import TOKEN_FIELDS, Example
from batchchat.results.column_arrays import Bools, Coder, Floats, Integers, floats, integers, present
from batchchat.results.journal_columns import (
    MOCK,
    PLACE,
    POSSIBLY_BILLED_USD,
    REPAIRED,
    RETRIES,
    UNBOUNDED,
    UNREPORTED_USD,
)

__all__ = ["TALLIED", "TALLIED_OF_RECORDS", "RowBlock", "blocks_of"]

_USAGE = ("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "reasoning_tokens")
_CODED = ("status", "finish_reason", "cost_source", "error_kind")
_WHOLE = ("attempts", "possibly_billed_attempts", "re_asks", "parse_repaired", *TOKEN_FIELDS)
_FLOATS = ("cost_usd", "latency_s")
TALLIED = frozenset({"id", "variant", "sample", "error", *_CODED, *_WHOLE, *_FLOATS, *_USAGE})
"""The columns that are read of an output."""
_RECORDED_WHOLE = (MOCK, REPAIRED, UNBOUNDED, *RETRIES.values())
_RECORDED_FLOATS = (POSSIBLY_BILLED_USD, UNREPORTED_USD)
TALLIED_OF_RECORDS = TALLIED.difference({"parse_repaired"}).union({*_RECORDED_WHOLE, *_RECORDED_FLOATS, PLACE})
"""The columns that are read of a journal, which knows more of a row; those that no row has are left out."""
_OF_EXAMPLES = ("id", "variant", "sample", "error", PLACE)
_HAS_USAGE, _GROUP = "has_usage", "group"
_MAX_ROWS = 1 << 17


@dataclass(frozen=True, slots=True)
class RowBlock:
    """Some rows, an array for each of their figures, and the `batches` they are from, for what no figure says.

    `selection` are the positions of the rows in the arrays, None for all: nothing is copied until it is asked for.
    """

    arrays: Mapping[str, npt.NDArray[Any]]
    coders: Mapping[str, Coder]
    batches: Sequence[pa.RecordBatch]
    selection: Integers | None = None

    def take(self, mask: Bools) -> RowBlock:
        """The rows for which `mask` is true."""
        if mask.all():
            return self
        rows = np.nonzero(mask)[0]
        return replace(self, selection=rows if self.selection is None else self.selection[rows])

    def array(self, name: str) -> npt.NDArray[Any]:
        """The array called `name` of these rows."""
        array = self.arrays[name]
        return array if self.selection is None else array[self.selection]

    def by_group(self) -> Iterator[tuple[int, RowBlock]]:
        """The rows of each group."""
        groups = self.array(_GROUP)
        order = np.argsort(groups, kind="stable")
        numbers, starts = np.unique(groups[order], return_index=True)
        for number, rows in zip(numbers.tolist(), np.split(order, starts[1:]), strict=True):
            yield number, replace(self, selection=rows)

    def are(self, name: str, value: str) -> Bools:
        """A mask of the rows whose text in the column `name` is `value`."""
        mask: Bools = self.array(name) == self.coders[name].code(value)
        return mask

    def firsts(self, name: str) -> list[tuple[str, int, int]]:
        """Each text of the column `name`, how many rows have it, and the first of them; in the order of these."""
        codes, rows, counts = np.unique(self.array(name), return_index=True, return_counts=True)
        names = self.coders[name].names
        present_ = [
            (first, names[code], count)
            for code, first, count in zip(codes.tolist(), rows.tolist(), counts.tolist(), strict=True)
            if code >= 0
        ]
        return [(text, count, first) for first, text, count in sorted(present_)]

    def whole(self, name: str) -> Integers:
        """The whole numbers of the column `name`, 0 where there is none."""
        return self.array(name)

    def floats(self, name: str) -> Floats:
        """The numbers of the column `name`, NaN where there is none."""
        return self.array(name)

    def has(self, name: str) -> bool:
        """Whether any of the rows has a value in the column `name`, which is one of `TOKEN_FIELDS`."""
        return bool(self.array(f"has_{name}").any())

    @property
    def recorded(self) -> set[str]:
        """The names of the columns that only a journal has, as far as any of its rows has them."""
        return {name for name in (*_RECORDED_WHOLE, *_RECORDED_FLOATS) if name in self.arrays}

    @property
    def has_usage(self) -> Bools:
        """A mask of the rows for which any count of tokens was reported."""
        return self.array(_HAS_USAGE)

    def example(self, row: int) -> Example:
        """The row at position `row`, as one of its kind of failure. An output has an id in place of its place."""
        position = row if self.selection is None else int(self.selection[row])
        for batch in self.batches:
            if position < batch.num_rows:
                break
            position -= batch.num_rows
        values = {name: batch.column(name)[position].as_py() for name in batch.schema.names}
        key = Key(values["id"], values.get("variant") or "", values.get("sample") or 0)
        return Example(key.id, spelled_key(key), values.get(PLACE) or key.id, values["error"] or "")


def blocks_of(
    batches: Iterable[pa.RecordBatch], groups_of: Callable[[pa.RecordBatch], Integers] | None = None
) -> Iterator[RowBlock]:
    """The rows of `batches`, which have the columns `TALLIED`; `groups_of` numbers the group of each row."""
    coders = {name: Coder() for name in _CODED}
    parts: list[dict[str, npt.NDArray[Any]]] = []
    read: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        part = _arrays(batch, coders)
        if groups_of is not None:
            part[_GROUP] = groups_of(batch)
        parts.append(part)
        read.append(batch.select([name for name in batch.schema.names if name in _OF_EXAMPLES]))
        rows += batch.num_rows
        if rows >= _MAX_ROWS:
            yield _joined(parts, coders, read)
            parts, read, rows = [], [], 0
    if rows:
        yield _joined(parts, coders, read)


def _joined(
    parts: Sequence[Mapping[str, npt.NDArray[Any]]], coders: Mapping[str, Coder], batches: Sequence[pa.RecordBatch]
) -> RowBlock:
    return RowBlock({name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, coders, batches)


def _arrays(batch: pa.RecordBatch, coders: Mapping[str, Coder]) -> dict[str, npt.NDArray[Any]]:
    names = batch.schema.names
    arrays: dict[str, npt.NDArray[Any]] = {name: coders[name].add(batch.column(name)) for name in _CODED}
    for name in _WHOLE:  # an output of an earlier version has not all
        arrays[name] = integers(batch.column(name)) if name in names else np.zeros(batch.num_rows, np.int32)
    arrays |= {name: integers(batch.column(name)) for name in _RECORDED_WHOLE if name in names}
    arrays |= {name: floats(batch.column(name)) for name in _RECORDED_FLOATS if name in names}
    arrays |= {name: floats(batch.column(name)) for name in _FLOATS}
    has_usage = np.zeros(batch.num_rows, np.bool_)
    for name in _USAGE:
        column = batch.column(name)
        is_present = present(column) if column.null_count < batch.num_rows else None
        if is_present is not None:
            has_usage |= is_present
        if name in TOKEN_FIELDS:
            arrays[f"has_{name}"] = np.zeros(batch.num_rows, np.bool_) if is_present is None else is_present
    arrays[_HAS_USAGE] = has_usage
    return arrays
