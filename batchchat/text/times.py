"""Points in time as text: ISO 8601 in UTC for files and JSON, local time for people."""

from __future__ import annotations

import time
from datetime import UTC, datetime

__all__ = ["iso_utc", "local_moment", "local_time", "parse_iso"]


def iso_utc(epoch_s: float, timespec: str = "milliseconds") -> str:
    """`2026-11-25T18:02:00.000Z`, cut to `timespec` as `datetime.isoformat` does.

    Raises `ValueError`, `OverflowError` or `OSError` for a number that is no time.
    """
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


def parse_iso(text: str) -> float | None:
    """Seconds since the epoch of a time in ISO 8601; None where `text` is none."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def local_time(epoch_s: float) -> str:
    """`2026-11-25 19:02:00`, in this machine's time zone."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(epoch_s))


def local_moment(text: str) -> str:
    """The local time of `text` in ISO 8601; `text` itself where it is none."""
    at = parse_iso(text)
    return text if at is None else local_time(at)
