"""When a run that has an hour to end by stops sending: early enough for what is in flight to end; pure."""

from __future__ import annotations

__all__ = ["TIME_UP", "is_due"]

TIME_UP = "stop_at"


def is_due(now: float, stop_at: float, typical_s: float | None, attempt_s: float) -> bool:
    """Whether nothing more should be sent at `now`, both in seconds since the epoch.

    `typical_s` is how long most answers take, as far as it is known; no attempt takes longer than `attempt_s`.
    """
    return now >= stop_at - min(typical_s or 0.0, attempt_s)
