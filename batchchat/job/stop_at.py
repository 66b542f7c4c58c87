"""`budget.stop_at`: when a run is to end. A time of day, a moment, or a duration from the start of the run."""

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
_LONGEST_S = 366 * 86_400


@dataclass(frozen=True, slots=True)
class StopAt:
    """One of the three: `clock`, the next such time of day; `moment`, local where it names no zone; `after_s`."""

    written: str
    clock: time | None = None
    moment: datetime | None = None
    after_s: float | None = None

    def on(self, start: float) -> float:
        """When that is for a run begun at `start`, both in seconds since the epoch; a moment may have passed."""
        if self.after_s is not None:
            return start + self.after_s
        if self.moment is not None:
            return self.moment.timestamp()
        assert self.clock is not None
        # A naive datetime is local time, with the offset that day has: a night may be an hour longer or shorter.
        here = datetime.fromtimestamp(start)  # noqa: DTZ006
        then = datetime.combine(here.date(), self.clock)
        if then <= here:
            then += timedelta(days=1)
        return then.timestamp()


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
    found = _DURATION.fullmatch(text)
    if found is None:
        return None
    seconds = sum(float(part or 0) * unit for part, unit in zip(found.groups(), _UNITS_S, strict=True))
    return seconds if 0 < seconds <= _LONGEST_S else None


def _moment(text: str) -> datetime | None:
    """A date alone is no moment: nobody means midnight by it for sure."""
    try:
        return datetime.fromisoformat(text) if ":" in text else None
    except ValueError:
        return None
