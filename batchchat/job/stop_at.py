"""`budget.stop_at`: when a run is to end: a time of day, a date and time, or a duration from the run's start."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta

from batchchat.job.tree import Node, Scalar, wrong_type, wrong_value
from batchchat.job.value_types import ValueType

__all__ = ["StopAt", "stop_at"]

_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)d)? ?(?:(\d+(?:\.\d+)?)h)? ?(?:(\d+(?:\.\d+)?)m)? ?(?:(\d+(?:\.\d+)?)s)?")
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
_UNITS_S = (86_400, 3_600, 60, 1)
_MAX_DURATION_S = 366 * 86_400


@dataclass(frozen=True, slots=True)
class StopAt:
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
        if clock := _CLOCK.fullmatch(text):
            return StopAt(text, clock=time(int(clock[1]), int(clock[2])))
        if isinstance(node.value, str):
            if (seconds := _seconds(text)) is not None:
                return StopAt(text, after_s=seconds)
            if (moment := _moment(text)) is not None:
                return StopAt(text, moment=moment)
        raise wrong_value(name, node, takes)

    return ValueType(takes, {"type": "string", "minLength": 1}, read)


def _seconds(text: str) -> float | None:
    match = _DURATION.fullmatch(text)
    if match is None:
        return None
    seconds = sum(float(part or 0) * unit for part, unit in zip(match.groups(), _UNITS_S, strict=True))
    return seconds if 0 < seconds <= _MAX_DURATION_S else None


def _moment(text: str) -> datetime | None:
    """`text` as an ISO date and time. A date alone is refused: it need not mean midnight."""
    try:
        return datetime.fromisoformat(text) if ":" in text else None
    except ValueError:
        return None
