"""What a circuit breaker tells of an outage."""

from __future__ import annotations

from typing import NamedTuple

from batchchat.core.attempt import Attempt

__all__ = ["CameBack", "WentDown"]


class WentDown(NamedTuple):
    """Down since `since` (epoch); `last` is the latest failure. The next probe is due in `probe_in_s`.

    The run stops at `stops_at` (epoch) if it is not back by then. `is_first_contact`: it has never answered.
    """

    since: float
    last: Attempt
    probe_in_s: float
    stops_at: float
    is_first_contact: bool = False


class CameBack(NamedTuple):
    """Answering again, after `lasted_s` seconds and `probes` requests; down from `since` to `until` (epoch)."""

    since: float
    until: float
    lasted_s: float
    probes: int
