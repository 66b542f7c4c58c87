"""One type for a column of several Parquet files, and columns where there is none."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.arrow.cells import encode
from batchchat.sources.unify import cast, common_type

if TYPE_CHECKING:
    from tests.sources.folder import Folder

STRUCT = pa.struct([("a", pa.int8())])
WIDER = pa.struct([("a", pa.int16()), ("b", pa.string())])


@pytest.mark.parametrize(
    ("one", "other", "common"),
    [
        (pa.int32(), pa.int64(), pa.int64()),
        (pa.int64(), pa.float64(), pa.float64()),
        (pa.null(), pa.string(), pa.string()),
        (pa.timestamp("ms"), pa.timestamp("ns"), pa.timestamp("ns")),
        (pa.date32(), pa.date64(), pa.date64()),
        (pa.string(), pa.large_string(), pa.large_string()),
        (pa.decimal128(5, 2), pa.decimal128(9, 4), pa.decimal128(9, 4)),
        (pa.decimal128(15, 2), pa.float64(), pa.float64()),
        (pa.list_(pa.int32()), pa.list_(pa.int64()), pa.list_(pa.int64())),
        (STRUCT, WIDER, WIDER),
        (pa.uint32(), pa.uint64(), pa.uint64()),
        # What Arrow would do at the price of values, or can't do.
        (pa.int64(), pa.uint64(), None),
        (pa.string(), pa.binary(), None),
        (pa.decimal128(30, 2), pa.float64(), None),
        (pa.string(), pa.int64(), None),
        (pa.timestamp("us"), pa.timestamp("us", "UTC"), None),
        (pa.date32(), pa.timestamp("us"), None),
        (pa.bool_(), pa.int8(), None),
    ],
)
def test_types_are_unified(one: Any, other: Any, common: Any) -> None:
    """The order of the files plays no part, and a type alone stays itself."""
    assert common_type([one, other]) == common_type([other, one]) == common
    assert common_type([one, one]) == one


_whole = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
_times = [pa.timestamp(unit) for unit in ("s", "ms", "us", "ns")]
_numbers = [*_whole, pa.float32(), pa.float64(), pa.decimal128(9, 3), pa.decimal128(20, 0)]


@given(st.integers(0, 100), st.sampled_from(_numbers), st.sampled_from(_numbers))
def test_numbers_keep_their_value(number: int, one: Any, other: Any) -> None:
    """Whatever two types of numbers are common_type, a number is the same before and after."""
    common = common_type([one, other])
    if common is not None:
        for kind in (one, other):
            array: Any = pa.array([Decimal(number) if pa.types.is_decimal(kind) else number, None], kind)
            value, absent = encode(cast(array, common))
            assert (Decimal(value), absent) == (Decimal(number), None)


@given(st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1)), st.sampled_from(_times), st.sampled_from(_times))  # noqa: DTZ001
def test_times_keep_their_moment(moment: dt.datetime, one: Any, other: Any) -> None:
    """Whatever two units are common_type, it is the same moment before and after."""
    common: Any = common_type([one, other])
    assert common in (one, other)
    array: Any = pa.array([moment.replace(microsecond=0)], one)
    assert cast(array, common).cast(pa.timestamp("s")).to_pylist() == [moment.replace(microsecond=0)]


NOON = dt.datetime(2024, 2, 29, 12)  # noqa: DTZ001
ROW = {"prompt": ["hi"]}


def parquet(folder: Folder, name: str, **columns: Any) -> None:
    folder.write(name, pa.table({**ROW, **columns}))


def carried(folder: Folder, *names: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    source = folder.open(*names)
    return {name: str(kind) for name, kind in source.column_types.items()}, [row.passthrough for row in source.read()]


def test_parquet_files_whose_types_differ(folder: Folder) -> None:
    """Cells are cast where a type holds them all; else they are text that says what it is. What is missing is null."""
    parquet(folder, "a.parquet", t=pa.array([NOON], pa.timestamp("ms")), n=pa.array([1], pa.int32()), d=[NOON.date()])
    parquet(folder, "b.parquet", t=pa.array([NOON], pa.timestamp("us")), n=[2.5], d=pa.array([NOON], pa.timestamp("s")))
    parquet(folder, "c.parquet", x=[Decimal("1.10")])
    micros = int(NOON.replace(tzinfo=dt.UTC).timestamp() * 1e6)
    assert carried(folder, "a.parquet", "b.parquet", "c.parquet") == (
        {"t": "timestamp[us]", "n": "double", "x": "decimal128(3, 2)"},
        [
            {"t": micros, "n": 1.0, "d": "2024-02-29"},
            {"t": micros, "n": 2.5, "d": "2024-02-29T12:00:00"},
            {"x": "1.10"},
        ],
    )


def test_parquet_among_others(folder: Folder) -> None:
    """In a list of many kinds of files each cell is what a person would write, and no type is declared."""
    parquet(folder, "a.parquet", t=[NOON], x=[Decimal("1.10")], b=[b"\xff"], l=[[NOON]])
    folder.write("b.jsonl", [{"prompt": "hi", "t": "today"}])
    folder.write("c.csv", b"prompt,t,x\nhi,12,\n")
    folder.write("d.json", json.dumps([{"prompt": "hi", "x": 1.5}]).encode())
    assert carried(folder, "a.parquet", "b.jsonl", "c.csv", "d.json") == (
        {},
        [
            {"t": "2024-02-29T12:00:00", "x": "1.10", "b": "/w==", "l": ["2024-02-29T12:00:00"]},
            {"t": "today"},
            {"t": "12", "x": ""},
            {"x": 1.5},
        ],
    )


def test_parquet_alone_keeps_its_types(folder: Folder) -> None:
    """One kind of type, one reading: nothing is cast, nothing is text."""
    parquet(folder, "a.parquet", t=pa.array([NOON], pa.timestamp("ns", "UTC")))
    kinds, (row,) = carried(folder, "a.parquet")
    assert kinds == {"t": "timestamp[ns, tz=UTC]"}
    assert row == {"t": int(NOON.replace(tzinfo=dt.UTC).timestamp()) * 10**9}
