"""What happens at an endpoint: its ceiling, its outages; and which one, where a job has several."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

__all__ = [
    "CeilingLowered",
    "CeilingRaised",
    "EndpointDown",
    "EndpointProgress",
    "EndpointRetired",
    "EndpointUp",
    "EndpointsChanged",
    "OfEndpoint",
]


class CeilingLowered(NamedTuple):
    """The ceiling of requests in flight went down after `refusals` in `span_s` seconds.

    Or after `cut_offs`: requests that a gateway, or our own timeout, ended while they waited for the endpoint.
    """

    before: int
    after: int
    refusals: int
    span_s: float
    cut_offs: int = 0


class CeilingRaised(NamedTuple):
    """The ceiling of requests in flight went up."""

    before: int
    after: int


class EndpointDown(NamedTuple):
    """The endpoint has answered nothing since `since` (epoch) for the reason `why`. Repeated once a minute.

    The run stops at `stops_at` (epoch) if that lasts. `is_first_contact`: it has never answered.
    """

    since: float
    why: str
    probe_in_s: float
    left: int | None
    stops_at: float | None = None
    is_first_contact: bool = False


class EndpointUp(NamedTuple):
    """The endpoint responds again; it was down from `since` to `until` (epoch), while `probes` requests were sent."""

    since: float
    until: float
    lasted_s: float
    probes: int


class EndpointRetired(NamedTuple):
    """Nothing more is sent to an endpoint for the reason `why`, while others of the job go on.

    `reason` is the same without what the endpoint said; `in_use` endpoints are left.
    """

    why: str
    reason: str
    in_use: int


class EndpointsChanged(NamedTuple):
    """The `file` of endpoints says something else: the names of those that `joined` and `left`, and what is wrong.

    `in_use` endpoints it has now.
    """

    file: str
    joined: tuple[str, ...]
    left: tuple[str, ...]
    problems: tuple[str, ...]
    in_use: int


class OfEndpoint(NamedTuple):
    """`event` happened at the endpoint of this name, one of several."""

    endpoint: str
    event: Any


class EndpointProgress(NamedTuple):
    """The state of one of several endpoints: `working`, `down`, `held` (it asks for a wait) or `retired`.

    `rows` were answered by it in this run for `cost_usd`, None where the cost of none is known. `waiting_for` says what
    it waits for, or why it was retired; `down_since` is in seconds since the epoch.
    """

    name: str
    state: str
    in_flight: int
    ceiling: int
    rows: int
    rows_per_s: float
    cost_usd: Decimal | None
    waiting_for: str | None = None
    down_since: float | None = None
