"""When a run that is to end at a given time stops sending: early enough for requests in flight to be answered; pure."""

from __future__ import annotations

__all__ = ["TIME_UP", "is_due"]

TIME_UP = "stop_at"


def is_due(now: float, stop_at: float, typical_s: float | None, attempt_s: float) -> bool:
    """Whether sending should stop at `now` in order to end at `stop_at`, both in seconds since the epoch.

    `typical_s` is how long most answers take, None where that is unknown; no attempt takes longer than `attempt_s`.
    """
    return now >= stop_at - min(typical_s or 0.0, attempt_s)
