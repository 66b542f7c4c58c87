"""Points in time as text."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.text.times import iso_utc, local_time, parse_iso


def test_times_in_files_are_utc() -> None:
    """ISO 8601 with a Z, cut to the precision asked for."""
    assert iso_utc(1.25) == "1970-01-01T00:00:01.250Z"
    assert iso_utc(1.25, "seconds") == "1970-01-01T00:00:01Z"
    assert iso_utc(1.25, "microseconds") == "1970-01-01T00:00:01.250000Z"


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01T00:00:00Z"])
def test_what_is_no_time_is_none(text: str) -> None:
    """A broken file is no defect."""
    assert parse_iso(text) is None


@given(st.integers(0, 4 * 10**12))
def test_a_written_time_is_read_back(milliseconds: int) -> None:
    """To the millisecond it was written with."""
    read = parse_iso(iso_utc(milliseconds / 1000))
    assert read is not None
    assert abs(read * 1000 - milliseconds) <= 1


def test_local_time_has_date_and_time() -> None:
    """A person reads the clock on the wall."""
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", local_time(1_800_000_000))
