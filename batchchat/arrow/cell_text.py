"""The JSON form of an Arrow cell that a person would write, for columns whose Arrow type is not kept with them.

Instants (in UTC, with a Z), dates and times of day are ISO 8601, durations `PT1.5S`; decimals are text, binary is
base64, maps with text keys are objects; NaN and the infinities are numbers, not the text that `encode` gives. Such
values explain themselves, unlike an integer whose unit is only in the type.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.types as pt

from batchchat.lossless_json import NonFinite

__all__ = ["as_written", "is_rewritten"]

_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_DIGITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}
_DAY_S = 86_400
_DAY_MS = _DAY_S * 1_000
_ERA_DAYS = 146_097  # of 400 years, after which the calendar repeats
_EPOCH = date(1970, 1, 1).toordinal()
_LARGEST_YEAR = 9999


def as_written(values: list[Any], kind: pa.DataType) -> list[Any]:
    """Cells of `kind` in the JSON form of `cells.encode`, as a person would write them."""
    if (number := _numbers_of(kind)) is not None:
        values = [None if value is None else number(value) for value in values]
    write = _writer_of(kind)
    return values if write is None else [None if value is None else write(value) for value in values]


def is_rewritten(kind: pa.DataType) -> bool:
    """True if `as_written` changes cells of `kind`: `cells.decode` can't read them back without the type."""
    return _writer_of(kind) is not None


def _writer_of(kind: Any) -> Callable[[Any], Any] | None:
    """The function that rewrites a non-null cell of `kind`; None if its JSON form is readable already."""
    if isinstance(kind, pa.BaseExtensionType):
        return _writer_of(kind.storage_type)
    if pt.is_dictionary(kind):
        return _writer_of(kind.value_type)
    make = next((make for is_such, make in _WRITERS if is_such(kind)), None)
    return None if make is None else make(kind)


def _numbers_of(kind: Any) -> Callable[[Any], Any] | None:
    """The function that makes numbers of the texts for NaN and infinities in a non-null cell of `kind`, if it may."""
    if isinstance(kind, pa.BaseExtensionType):
        return _numbers_of(kind.storage_type)
    if pt.is_dictionary(kind):
        return _numbers_of(kind.value_type)
    if pt.is_floating(kind):
        return lambda value: NonFinite(value) if type(value) is str else value
    if pt.is_struct(kind):
        fields = list(kind)
        numbers = {field.name: number for field in fields if (number := _numbers_of(field.type)) is not None}
        if not numbers or len({field.name for field in fields}) < len(fields):
            return None
        return lambda value: {
            name: numbers[name](v) if name in numbers and v is not None else v for name, v in value.items()
        }
    if pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind):
        number = _numbers_of(kind.value_type)
        return None if number is None else lambda values: [None if v is None else number(v) for v in values]
    if pt.is_map(kind):
        item = _numbers_of(kind.item_type)
        return None if item is None else lambda entries: [[key, None if v is None else item(v)] for key, v in entries]
    return None


def _timestamp_writer(kind: Any) -> Callable[[Any], Any]:
    unit, zone = kind.unit, "" if kind.tz is None else "Z"
    return lambda value: _timestamp(value, unit) + zone


def _list_writer(kind: Any) -> Callable[[Any], Any] | None:
    inner = kind.value_type
    return None if _writer_of(inner) is None else lambda values: as_written(values, inner)


def _struct_writer(kind: Any) -> Callable[[Any], Any] | None:
    fields = list(kind)
    writers = {field.name: write for field in fields if (write := _writer_of(field.type)) is not None}
    if not writers:
        return None
    if len({field.name for field in fields}) < len(fields):  # `encode` makes a list of such a struct
        return lambda values: [as_written([v], f.type)[0] for v, f in zip(values, fields, strict=True)]
    return lambda value: {
        name: writers[name](v) if name in writers and v is not None else v for name, v in value.items()
    }


def _map_writer(kind: Any) -> Callable[[Any], Any]:
    def write(entries: list[list[Any]]) -> Any:
        keys = as_written([key for key, _ in entries], kind.key_type)
        items = as_written([item for _, item in entries], kind.item_type)
        if all(type(key) is str for key in keys) and len(set(keys)) == len(keys):
            return dict(zip(keys, items, strict=True))
        return [list(entry) for entry in zip(keys, items, strict=True)]

    return write


def _date(days: int) -> str:
    """Days since 1970 as `2024-02-29`; a year of another length than four digits has its sign, as ISO 8601 requires."""
    era, day = divmod(days + _EPOCH - 1, _ERA_DAYS)
    in_first_era = date.fromordinal(day + 1)
    year = in_first_era.year + 400 * era
    year_text = f"{year:04}" if 0 <= year <= _LARGEST_YEAR else f"{year:+05}"
    return f"{year_text}-{in_first_era.month:02}-{in_first_era.day:02}"


def _time(value: int, unit: str) -> str:
    seconds, part = divmod(value, _PER_SECOND[unit])
    text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{text}.{part:0{_DIGITS[unit]}}" if part else text


def _timestamp(value: int, unit: str) -> str:
    days, time_of_day = divmod(value, _DAY_S * _PER_SECOND[unit])
    return f"{_date(days)}T{_time(time_of_day, unit)}"


def _duration(value: int, unit: str) -> str:
    seconds, part = divmod(abs(value), _PER_SECOND[unit])
    fraction = f".{part:0{_DIGITS[unit]}}".rstrip("0") if part else ""
    return f"{'-' if value < 0 else ''}PT{seconds}{fraction}S"


_Writer = Callable[[Any], Any]
_WRITERS: tuple[tuple[Callable[[Any], bool], Callable[[Any], _Writer | None]], ...] = (
    (pt.is_timestamp, _timestamp_writer),
    (pt.is_date32, lambda _: _date),
    (pt.is_date64, lambda _: lambda value: _date(value // _DAY_MS)),
    (pt.is_time, lambda kind: lambda value: _time(value, kind.unit)),
    (pt.is_duration, lambda kind: lambda value: _duration(value, kind.unit)),
    (pt.is_struct, _struct_writer),
    (pt.is_map, _map_writer),
    (pt.is_list, _list_writer),
    (pt.is_large_list, _list_writer),
    (pt.is_fixed_size_list, _list_writer),
)
