"""The rows of an output as arrays, one number a row: the data of the page's charts. About 80 bytes a row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from batchchat import lossless_json
from batchchat.results.column_arrays import Floats, floats, integers
from batchchat.results.group_numbers import distinct_rows

__all__ = ["READ", "Codes", "Floats", "RowColumns", "read_row_columns"]

_NUMBERS = ("prompt_tokens", "completion_tokens", "cost_usd", "attempts", "latency_s", "wait_s")
_TIMES = ("started_at", "finished_at")
_NAMES = ("status", "model", "error_kind")
READ = frozenset({*_NUMBERS, *_TIMES, *_NAMES, "model_requested", "sample"})
"""The columns that are read, but for those to group by."""


@dataclass(frozen=True, slots=True)
class Codes:
    """A dictionary-encoded column: `of` has each row's index in `names`, -1 where the row has no value."""

    of: npt.NDArray[np.int32]
    names: list[str]

    def are(self, name: str) -> npt.NDArray[np.bool_]:
        """A mask of the rows that have the value `name`."""
        mask: npt.NDArray[np.bool_] = self.of == (self.names.index(name) if name in self.names else -2)
        return mask


@dataclass(frozen=True, slots=True)
class RowColumns:
    """NaN is unknown; times are seconds since the epoch. `model` is as served, else as asked for.

    `samples` is how many an input row has at most.
    """

    status: Codes
    model: Codes
    error_kind: Codes
    by: Codes | None
    samples: int
    prompt_tokens: Floats
    completion_tokens: Floats
    cost_usd: Floats
    attempts: Floats
    latency_s: Floats
    wait_s: Floats
    started_at: Floats
    finished_at: Floats

    @property
    def rows(self) -> int:
        """How many there are."""
        return len(self.cost_usd)


def read_row_columns(batches: Iterable[pa.RecordBatch], by: Sequence[str]) -> RowColumns:
    """The columns `READ`, and those of `by` as one, of `batches` that have them."""
    numbers: dict[str, list[Floats]] = {name: [] for name in (*_NUMBERS, *_TIMES)}
    coders = {name: _Coder() for name in _NAMES}
    by_coder, max_sample = _Coder(), 0
    for batch in batches:
        for name in _NUMBERS:
            numbers[name].append(floats(batch.column(name)))
        for name in _TIMES:
            numbers[name].append(floats(batch.column(name)) / 1e6)
        for name in ("status", "error_kind"):
            codes, texts = distinct_rows(batch, [name])
            coders[name].add(codes, [text for (text,) in texts])
        codes, models = distinct_rows(batch, ["model", "model_requested"])
        coders["model"].add(codes, [served or requested for served, requested in models])
        max_sample = max(max_sample, int(integers(batch.column("sample")).max(initial=0)))
        if by:
            codes, values = distinct_rows(batch, by)
            by_coder.add(codes, [" · ".join(map(_written, of_row)) for of_row in values])
    arrays: dict[str, Any] = {name: _joined(parts) for name, parts in numbers.items()}
    arrays |= {name: coder.codes() for name, coder in coders.items()}
    return RowColumns(**arrays, by=by_coder.codes() if by else None, samples=max_sample + 1)


def _written(value: Any) -> str:
    if value is None:
        return "(null)"
    return value if isinstance(value, str) else lossless_json.dumps(value).decode()


def _joined(parts: list[Floats]) -> Floats:
    return np.concatenate(parts) if parts else np.empty(0)


class _Coder:
    def __init__(self) -> None:
        self._places: dict[str, int] = {}
        self._parts: list[npt.NDArray[np.int32]] = []

    def add(self, of_rows: npt.NDArray[Any], values: list[str | None]) -> None:
        """Add rows, each by its position in `values`, which are in the order in which rows have them."""
        places = self._places
        codes = [-1 if value is None else places.setdefault(value, len(places)) for value in values]
        self._parts.append(np.array(codes, dtype=np.int32)[of_rows])

    def codes(self) -> Codes:
        joined = np.concatenate(self._parts) if self._parts else np.empty(0, dtype=np.int32)
        return Codes(joined, list(self._places))
