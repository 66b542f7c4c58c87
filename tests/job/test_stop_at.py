"""`budget.stop_at`: its three forms."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from batchchat.job.diagnostics import RefusedError, SourceLocation
from batchchat.job.stop_at import StopAt, stop_at
from batchchat.job.yaml_parser import plain_scalar


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The time zone of the tests, which has summer time."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def read(text: str) -> StopAt:
    moment = stop_at().read("budget.stop_at", plain_scalar(text, SourceLocation("job.yaml"), {}))
    assert isinstance(moment, StopAt)
    return moment


def utc(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "start", "then"),
    [
        ("07:30", "2026-06-01T16:00", "2026-06-02T05:30"),  # begun at 18:00 of the day before
        ("7:30", "2026-06-02T05:29", "2026-06-02T05:30"),
        ("07:30", "2026-06-02T05:30", "2026-06-03T05:30"),  # the next one, and never now
        ("17:30", "2026-01-05T12:00", "2026-01-05T16:30"),
        ("07:30", "2026-03-28T17:00", "2026-03-29T05:30"),  # the night of the change is an hour shorter
        ("07:30", "2026-10-24T16:00", "2026-10-25T06:30"),
        ("02:30", "2026-10-24T16:00", "2026-10-25T00:30"),  # that night has 02:30 twice
        ("02:30", "2026-10-25T00:40", "2026-10-25T01:30"),
        ("02:30", "2026-10-25T01:20", "2026-10-25T01:30"),
        ("02:30", "2026-10-25T01:40", "2026-10-26T01:30"),
        ("02:30", "2026-03-28T17:00", "2026-03-29T01:30"),  # and that one none: 03:30
        ("2026-06-02T07:30", "2026-06-01T16:00", "2026-06-02T05:30"),
        ("2026-06-02 07:30", "2026-06-01T16:00", "2026-06-02T05:30"),
        ("2026-06-02T07:30Z", "2026-06-01T16:00", "2026-06-02T07:30"),
        ("2026-06-02T07:30+05:00", "2026-06-03T16:00", "2026-06-02T02:30"),  # it may have passed
        ("6h", "2026-06-01T16:00", "2026-06-01T22:00"),
        ("90m", "2026-06-01T16:00", "2026-06-01T17:30"),
        ("1h30m", "2026-06-01T16:00", "2026-06-01T17:30"),
        ("1.5h", "2026-06-01T16:00", "2026-06-01T17:30"),
        ("1d 2h", "2026-06-01T16:00", "2026-06-02T18:00"),
        ("45s", "2026-06-01T16:00", "2026-06-01T16:00:45"),
    ],
)
def test_each_form_is_a_moment(text: str, start: str, then: str) -> None:
    """A time of day is the next local one, a date and time is local if it has no zone, a duration adds to the start."""
    assert read(text).on(utc(start)) == utc(then)
    assert read(text).written == text


@pytest.mark.parametrize(
    "text", ["", "6", "730", "25:00", "07:60", "0h", "h", "6 hours", "tomorrow", "2026-06-02", "-6h", "9999d", "true"]
)
def test_anything_else_is_refused(text: str) -> None:
    """The message names the three forms; a bare number or a date alone is ambiguous."""
    with pytest.raises(RefusedError) as refused:
        read(text)
    (diagnostic,) = refused.value.diagnostics
    assert diagnostic.sentence.endswith(
        "It takes a time of day (07:30), a date and time (2026-03-01T07:30) or a duration (6h, 90m)."
    )
