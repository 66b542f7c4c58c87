"""The figures of rows as columns, from their lines in the journal: Arrow's JSON reader takes them and skips all texts.

Lines that it can't read so are decoded, and their records become the same columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as pt

from batchchat import lossless_json
from batchchat.arrow import cells
from batchchat.arrow.buffers import bytes_array
from batchchat.arrow.json_lines import read_json_lines
from batchchat.core.conversation import ErrorKind, Status
from batchchat.core.record import RowRecord
from batchchat.results.column_arrays import floats, integers, number_array, present

__all__ = [
    "FINISHED_S",
    "MOCK",
    "ORDINAL",
    "PLACE",
    "POSSIBLY_BILLED_USD",
    "RECORDED",
    "REPAIRED",
    "RETRIES",
    "TYPES",
    "UNBOUNDED",
    "UNREPORTED_USD",
    "Columns",
    "columns_of_lines",
    "columns_of_records",
    "id_bytes",
    "id_text",
    "texts_of_ids",
]

Columns = Mapping[str, Any]
"""An Arrow array for each of `TYPES`, None where it would be all null."""
RECORDED = "record:"
"""How the names of columns begin that no output has: what only the journal says of a row."""
RETRIES = {kind.value: f"{RECORDED}retries {kind.value}" for kind in ErrorKind}
"""By kind, the column of how many attempts followed such a failure."""
ORDINAL, FINISHED_S, PLACE = f"{RECORDED}ordinal", f"{RECORDED}finished_s", f"{RECORDED}place"
POSSIBLY_BILLED_USD, UNREPORTED_USD = f"{RECORDED}possibly_billed_usd", f"{RECORDED}unreported_usd"
MOCK, REPAIRED, UNBOUNDED = f"{RECORDED}mock", f"{RECORDED}parse_repaired", f"{RECORDED}unbounded"
_TEXT, _INT, _SMALL, _FLOAT = pa.string(), pa.int64(), pa.int32(), pa.float64()
_FEW: Any = pa.dictionary(_SMALL, _TEXT)
_TIME = pa.timestamp("us", "UTC")
_USAGE = ("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "reasoning_tokens")
_ANSWERED = Status.ANSWERED.value

_PATHS: dict[str, tuple[tuple[str, ...], Any]] = {
    "id": (("id",), pa.binary()),
    "variant": (("variant",), _FEW),
    "sample": (("sample",), _SMALL),
    "status": (("status",), _FEW),
    "finish_reason": (("reply", "finish_reason"), _FEW),
    "model": (("reply", "model"), _FEW),
    "model_requested": (("model",), _FEW),
    **{name: (("usage", name), _INT) for name in _USAGE},
    "cost_usd": (("cost_usd",), _FLOAT),
    "cost_source": (("cost_source",), _FEW),
    "attempts": (("attempts",), _SMALL),
    "possibly_billed_attempts": (("possibly_billed",), _SMALL),
    "re_asks": (("re_asks",), _SMALL),
    "latency_s": (("latency_s",), _FLOAT),
    "wait_s": (("wait_s",), _FLOAT),
    "started_at": (("started_at",), _TIME),
    "finished_at": (("finished_at",), _TIME),
    "error_kind": (("error_kind",), _FEW),
    "error": (("error",), _TEXT),
    ORDINAL: (("ordinal",), _INT),
    PLACE: (("place",), _TEXT),
    REPAIRED: (("parse_repaired",), pa.bool_()),
    MOCK: (("mock",), pa.bool_()),
    POSSIBLY_BILLED_USD: (("possibly_billed_usd",), _FLOAT),
    UNBOUNDED: (("unbounded",), _SMALL),
    UNREPORTED_USD: (("unreported_usd",), _FLOAT),
    **{name: (("retries", kind), _SMALL) for kind, name in RETRIES.items()},
}
"""Where a record has the value of each column, and the column's type."""
TYPES: dict[str, Any] = {**{name: dtype for name, (_, dtype) in _PATHS.items()}, FINISHED_S: _FLOAT}
"""The columns, with their types."""


def columns_of_lines(lines: bytes, count: int) -> Columns:
    """The columns of `count` intact lines, each with its newline, of rows that orjson wrote."""
    if not count:
        return {}
    values = read_json_lines(lines, count, _line_schema(), "ignore")
    if values is None:
        return columns_of_records([lossless_json.loads(line) for line in lines.split(b"\n")[:-1]])
    return _compacted({name: values[path] for name, (path, _) in _PATHS.items()})


def columns_of_records(rows: Sequence[RowRecord]) -> Columns:
    """The columns of `rows`."""
    arrays: dict[str, Any] = {}
    for name, (path, dtype) in _PATHS.items():
        values: list[Any] = list(rows)
        for part in path:
            values = [None if value is None else value.get(part) for value in values]
        arrays[name] = _array(values, dtype)
    return _compacted(arrays)


def id_bytes(ids: Sequence[str]) -> Any:
    """A column of ids, of which no two become one: a lone surrogate is kept."""
    return bytes_array([id_.encode("utf-8", "surrogatepass") for id_ in ids], pa.binary())


def id_text(data: bytes) -> str:
    """The id that `id_bytes` made `data` of."""
    return data.decode("utf-8", "surrogatepass")


def texts_of_ids(ids: Any) -> Any:
    """The column `id` of the ids in bytes; lone surrogates, which no text in Arrow can hold, are U+FFFD in it."""
    try:
        return ids.cast(_TEXT)
    except pa.ArrowInvalid:
        return cells.decode([lossless_json.scrub(id_text(data)) for data in ids.to_pylist()], _TEXT)


def _line_schema() -> pa.Schema:
    fields: dict[str, Any] = {}
    for path, dtype in _PATHS.values():
        if len(path) > 1:
            fields.setdefault(path[0], []).append((path[1], _type_in_line(dtype)))
        else:
            fields[path[0]] = _type_in_line(dtype)
    return pa.schema([(name, pa.struct(dtype) if isinstance(dtype, list) else dtype) for name, dtype in fields.items()])


def _type_in_line(dtype: Any) -> Any:
    if dtype == _TIME:
        return _FLOAT
    return _TEXT if dtype == _FEW or pt.is_binary(dtype) else dtype


def _array(values: Sequence[Any], dtype: Any) -> Any:
    if pt.is_binary(dtype):
        return id_bytes(values)
    if _type_in_line(dtype) == _TEXT:
        return cells.decode([None if value is None else lossless_json.scrub(value) for value in values], _TEXT)
    return cells.decode(values, _type_in_line(dtype))


def _compacted(values: Mapping[str, Any]) -> Columns:
    """The columns of the values as they are in the records."""
    columns: dict[str, Any] = dict(values)
    columns["id"] = values["id"].cast(pa.binary())
    columns["re_asks"] = number_array(integers(values["re_asks"]), _SMALL, present(values["attempts"]))
    columns[FINISHED_S] = values["finished_at"]
    for name in ("started_at", "finished_at"):
        columns[name] = _times(values[name])
    for name, dtype in TYPES.items():
        if columns[name].null_count == len(columns[name]):
            columns[name] = None
        elif dtype == _FEW:
            columns[name] = columns[name].dictionary_encode()
    columns[PLACE] = _of_failures(columns[PLACE], columns["status"])
    return columns


def _times(seconds: Any) -> Any:
    micros = np.rint(np.nan_to_num(floats(seconds)) * 1e6).astype(np.int64)
    return number_array(micros, _TIME, present(seconds))


def _of_failures(places: Any, statuses: Any) -> Any:
    """`places`, of rows without an answer alone: of no other is it ever shown, and each is another text."""
    names = statuses.dictionary.to_pylist()
    if names == [_ANSWERED]:
        return None
    failed = integers(statuses.indices) != (names.index(_ANSWERED) if _ANSWERED in names else -1)
    texts = places.to_pylist()
    return cells.decode(
        [text if is_shown else None for text, is_shown in zip(texts, failed.tolist(), strict=True)], _TEXT
    )
