"""Arrow cells as a person would write them in JSON."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.arrow.cell_text import as_written
from batchchat.arrow.cells import encode


def written(values: list[Any], kind: Any) -> list[Any]:
    array: Any = pa.array(values, kind)
    return as_written(encode(array), kind)


@given(st.datetimes(), st.sampled_from(["us", "ms", "s"]))
def test_moments_are_iso_8601(value: dt.datetime, unit: str) -> None:
    """A time reads back as what it was; an instant says that it is one of UTC."""
    cut = {"us": 1, "ms": 1000, "s": 1_000_000}[unit]
    value = value.replace(microsecond=value.microsecond // cut * cut)
    (text,) = written([value], pa.timestamp(unit))
    assert dt.datetime.fromisoformat(text) == value
    (zoned,) = written([value.replace(tzinfo=dt.UTC)], pa.timestamp(unit, "Europe/Berlin"))
    assert zoned == f"{text}Z"


@given(st.dates(), st.times())
def test_dates_and_times_of_day(day: dt.date, time: dt.time) -> None:
    """Both widths of each are the same text."""
    for kind in (pa.date32(), pa.date64()):
        assert written([day, None], kind) == [day.isoformat(), None]
    (text,) = written([time], pa.time64("us"))
    assert dt.time.fromisoformat(text) == time
    assert written([time.replace(microsecond=0)], pa.time32("s")) == [time.replace(microsecond=0).isoformat()]


@given(st.timedeltas(min_value=dt.timedelta(days=-10_000), max_value=dt.timedelta(days=10_000)))
def test_durations(value: dt.timedelta) -> None:
    """Seconds with their fraction, to the last digit, with a sign before the whole."""
    (text,) = written([value], pa.duration("us"))
    sign, _, seconds = text.partition("PT")
    assert Decimal(f"{sign}{seconds.removesuffix('S')}") == Decimal(value // dt.timedelta(microseconds=1)) / 10**6


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([1], pa.timestamp("ns"), ["1970-01-01T00:00:00.000000001"]),
        ([-1], pa.timestamp("ns", "UTC"), ["1969-12-31T23:59:59.999999999Z"]),
        ([0], pa.timestamp("ns"), ["1970-01-01T00:00:00"]),
        ([2**62], pa.timestamp("s"), ["+146138514283-06-19T07:45:04"]),
        ([-(2**31)], pa.date32(), ["-5877641-06-23"]),
        ([-719529], pa.date32(), ["-0001-12-31"]),
        ([-719528], pa.date32(), ["0000-01-01"]),
        ([1500], pa.duration("ms"), ["PT1.5S"]),
        ([Decimal("1.10")], pa.decimal128(5, 2), ["1.10"]),
        ([b"\xff"], pa.binary(), ["/w=="]),
        ([float("-inf"), 0.5], pa.float64(), [float("-inf"), 0.5]),
        ([1, None], pa.int8(), [1, None]),
        ([[0, None], None], pa.list_(pa.date32()), [["1970-01-01", None], None]),
        ([[0]], pa.list_(pa.date32(), 1), [["1970-01-01"]]),
        ([{"a": 0, "b": "x"}, None], pa.struct([("a", pa.date32()), ("b", pa.string())]),
         [{"a": "1970-01-01", "b": "x"}, None]),
        ([{"a": None}], pa.struct([("a", pa.date32())]), [{"a": None}]),
        ([[("k", 0)], None], pa.map_(pa.string(), pa.date32()), [{"k": "1970-01-01"}, None]),
        ([[("k", 1), ("k", 2)]], pa.map_(pa.string(), pa.int8()), [[["k", 1], ["k", 2]]]),
        ([[(1, 2)]], pa.map_(pa.int8(), pa.int8()), [[[1, 2]]]),
    ],
)  # fmt: skip
def test_what_a_person_would_write(values: list[Any], kind: Any, expected: list[Any]) -> None:
    """Years of any length, the finest units, decimals, bytes and nested values."""
    assert written(values, kind) == expected


def test_words_of_a_dictionary_and_doubled_fields() -> None:
    """A dictionary is its values; a struct whose fields share a name is a list."""
    days: Any = pa.array([0, 1, 0], pa.date32())
    words = days.dictionary_encode()
    assert as_written(encode(words), words.type) == ["1970-01-01", "1970-01-02", "1970-01-01"]
    doubled: Any = pa.StructArray.from_arrays([days, days], ["a", "a"])
    assert as_written(encode(doubled), doubled.type)[1] == ["1970-01-02", "1970-01-02"]
