"""`budget.stop_at`: when a run is to end: a time of day, a date and time, or a duration from the run's start."""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta
from typing import NamedTuple

from batchchat.job.tree import Node, Scalar, wrong_type, wrong_value
from batchchat.job.value_types import ValueType

__all__ = ["StopAt", "duration_s", "moment", "stop_at", "time_of_day"]

_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)d)? ?(?:(\d+(?:\.\d+)?)h)? ?(?:(\d+(?:\.\d+)?)m)? ?(?:(\d+(?:\.\d+)?)s)?")
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
_UNITS_S = (86_400, 3_600, 60, 1)
_MAX_DURATION_S = 366 * 86_400


class StopAt(NamedTuple):
    """One of three: `clock`, the next such time of day; `moment`, local time if it has no zone; `after_s` seconds."""

    written: str
    clock: time | None = None
    moment: datetime | None = None
    after_s: float | None = None

    def on(self, start: float) -> float:
        """When a run begun at `start` is to end, both in seconds since the epoch; a `moment` may be in the past."""
        if self.after_s is not None:
            return start + self.after_s
        if self.moment is not None:
            return self.moment.timestamp()
        assert self.clock is not None
        # A naive datetime is local time with that day's UTC offset, so a night may be an hour longer or shorter.
        today = datetime.fromtimestamp(start).date()  # noqa: DTZ006
        for day in (today, today + timedelta(days=1)):
            end = datetime.combine(day, self.clock)
            first, again = end.timestamp(), end.replace(fold=1).timestamp()
            # In the hour that a night has twice the time comes again; in the one it lacks `again` is the earlier.
            for moment in (first, again) if again > first else (first,):
                if moment > start:
                    return moment
        raise AssertionError("tomorrow's time of day is in the future")


def stop_at() -> ValueType:
    """A time of day, an ISO date and time, or a duration."""
    takes = "a time of day (07:30), a date and time (2026-03-01T07:30) or a duration (6h, 90m)"

    def read(name: str, node: Node) -> StopAt:
        if not isinstance(node, Scalar) or node.value is None:
            raise wrong_type(name, node, takes)
        text = node.text.strip()
        if (clock := time_of_day(text)) is not None:
            return StopAt(text, clock=clock)
        if isinstance(node.value, str):
            if (seconds := duration_s(text)) is not None:
                return StopAt(text, after_s=seconds)
            if (date_and_time := moment(text)) is not None:
                return StopAt(text, moment=date_and_time)
        raise wrong_value(name, node, takes)

    return ValueType(takes, {"type": "string", "minLength": 1}, read)


def time_of_day(text: str) -> time | None:
    """`text` as a time of day (`07:30`)."""
    match = _CLOCK.fullmatch(text)
    return time(int(match[1]), int(match[2])) if match else None


def duration_s(text: str) -> float | None:
    """`text` as a duration (`6h`, `1d 12h`), in seconds."""
    match = _DURATION.fullmatch(text)
    if match is None:
        return None
    seconds = sum(float(part or 0) * unit for part, unit in zip(match.groups(), _UNITS_S, strict=True))
    return seconds if 0 < seconds <= _MAX_DURATION_S else None


def moment(text: str, *, or_date: bool = False) -> datetime | None:
    """`text` as an ISO date and time, local time if it has no zone.

    A date alone need not mean midnight; it does where the caller takes one (`or_date`).
    """
    try:
        return datetime.fromisoformat(text) if or_date or ":" in text else None
    except ValueError:
        return None
