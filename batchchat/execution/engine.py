"""What the requests of a run go through, wired once and never changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batchchat.dispatch.work import Observer, Sending
from batchchat.execution.endpoints_of_run import Membership
from batchchat.execution.spending import Spending
from batchchat.policy.format_ladder import FormatLadder

if TYPE_CHECKING:
    from batchchat.execution.endpoint_group import Limits

__all__ = ["Engine"]


@dataclass(frozen=True, slots=True)
class Engine:
    """`sending` is what the dispatcher needs; `limits` and `spending` are those of its policies that say more.

    Where the job has several endpoints, `sending` has a lane for each, and `limits` are those of all of them.

    Times in seconds: `drain_s` is what requests in flight get after a signal, no attempt takes longer than `attempt_s`,
    and `stop_at` is when the run is to end, since the epoch. `formats` are what requests for JSON begin with.
    """

    sending: Sending
    limits: Limits
    spending: Spending
    observer: Observer
    drain_s: float
    attempt_s: float
    stop_at: float | None = None
    formats: FormatLadder = field(default_factory=FormatLadder)
    membership: Membership | None = None
    """Of a job with several endpoints."""
