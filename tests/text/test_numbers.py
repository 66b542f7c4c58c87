"""Figures as people read them."""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.text.numbers import (
    clock,
    compact,
    count,
    duration,
    money,
    per_hour,
    quantity,
    rows,
    seconds,
    shorten,
    shown_path,
    size,
    time_of_day,
)


@pytest.mark.parametrize(
    ("usd", "text"), [(1.2, "$1.20/h"), (1234.5, "$1,234.50/h"), (0.0313, "$0.0313/h"), (0.00001, "<$0.0001/h")]
)
def test_what_an_hour_costs(usd: float, text: str) -> None:
    """In cents, and below a dollar in four places, never rounded to nothing."""
    assert per_hour(usd) == text


@pytest.mark.parametrize(
    ("write", "value", "text"),
    [
        (count, 12_480, "12,480"),
        (count, 0, "0"),
        (compact, 0, "0"),
        (compact, 412, "412"),
        (compact, 999.4, "999"),
        (compact, 999.6, "1.0k"),
        (compact, 1_000, "1.0k"),
        (compact, 9_960, "10k"),
        (compact, 31_400, "31k"),
        (compact, 999_499, "999k"),
        (compact, 999_999, "1.0 M"),
        (compact, 8_100_000, "8.1 M"),
        (compact, 412_000_000, "412 M"),
        (money, None, "unknown"),
        (money, 0, "$0.0000"),
        (money, 0.00001, "<$0.0001"),
        (money, 6.2841, "$6.2841"),
        (money, Decimal("123456.789"), "$123,456.79"),
        (clock, None, "?"),
        (clock, 0.4, "00:00"),
        (clock, 59.6, "01:00"),
        (clock, 3_723, "1:02:03"),
        (clock, 90_000, "25:00:00"),
        (duration, None, "unknown"),
        (duration, 0, "0.0s"),
        (duration, 4.1, "4.1s"),
        (duration, 59.4, "59s"),
        (duration, 59.6, "1m 00s"),
        (duration, 591, "9m 51s"),
        (duration, 3599.6, "1h 00m"),
        (duration, 7_500, "2h 05m"),
        (duration, 86_399.9, "1d 0h"),
        (duration, 273_600, "3d 4h"),
        (seconds, None, "unknown"),
        (seconds, 0, "0 s"),
        (seconds, 0.0000004, "<0.001 s"),
        (seconds, 0.0123, "0.012 s"),
        (seconds, 4.1, "4.10 s"),
        (seconds, 41.26, "41.3 s"),
        (seconds, 1234.5, "1,234 s"),
        (size, 0, "0 bytes"),
        (size, 999, "999 bytes"),
        (size, 3_100, "3.1 kB"),
        (size, 31_000_000, "31 MB"),
        (size, 5_000_000_000_000, "5,000 GB"),
    ],
)
def test_how_figures_are_written(write: Callable[[Any], str], value: Any, text: str) -> None:
    """Units always; unknown is a word; nothing above 0 is written as 0."""
    assert write(value) == text


@given(st.floats(1e-9, 1e12))
def test_no_figure_above_nothing_reads_as_nothing(value: float) -> None:
    """A small cost or latency is told to be small."""
    for text in (money(value), seconds(value)):
        assert "<" in text or any(digit in text for digit in "123456789")


@given(st.text(), st.integers(0, 30))
def test_a_shortened_text_is_one_line_of_its_width(text: str, width: int) -> None:
    """Never longer, whole where it fits, and marked where it was cut."""
    line = shorten(text, width)
    assert len(line) <= width
    assert "\n" not in line
    whole = " ".join(text.split())
    assert line == whole or width == 0 or (line.endswith("…") and whole.startswith(line[:-1]))


def test_a_time_of_day_says_where_it_is_of() -> None:
    """UTC is marked, the local one is not."""
    assert time_of_day(18_134.6, utc=True) == "05:02:14Z"
    assert time_of_day(18_134.6) == time.strftime("%H:%M:%S", time.localtime(18_134.6))


def test_paths_are_shown_as_one_would_type_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below the working directory a path is relative, elsewhere whole; `..` is kept where it leaves a link."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere" / "jobs").mkdir(parents=True)
    (tmp_path / "jobs").mkdir()
    (tmp_path / "link").symlink_to("elsewhere/jobs")
    assert shown_path(tmp_path / "jobs" / ".." / "out" / "x.parquet") == "out/x.parquet"
    assert shown_path(tmp_path / "link" / ".." / "out" / "x.parquet") == "link/../out/x.parquet"
    assert shown_path(tmp_path.parent / "x.parquet") == str(tmp_path.parent / "x.parquet")


def test_a_count_agrees_with_its_noun() -> None:
    """One is singular; none and many are plural."""
    assert [rows(number) for number in (0, 1, 12_480)] == ["0 rows", "1 row", "12,480 rows"]
    assert [quantity(number, "attempt") for number in (1, 2)] == ["1 attempt", "2 attempts"]
