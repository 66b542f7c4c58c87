"""What requests to one endpoint go through, wired once and never changed: a run has one engine per endpoint."""

from __future__ import annotations

from dataclasses import dataclass, field

from batchchat.dispatch.work import Sending
from batchchat.execution.anomaly_detector import AnomalyDetector
from batchchat.execution.endpoint_limits import EndpointLimits
from batchchat.execution.spending import Spending
from batchchat.policy.format_ladder import FormatLadder

__all__ = ["Engine"]


@dataclass(frozen=True, slots=True)
class Engine:
    """`sending` is what the dispatcher needs; `limits` and `spending` are those of its policies that say more.

    Times in seconds: `drain_s` is what requests in flight get after a signal, no attempt takes longer than `attempt_s`,
    and `stop_at` is when the run is to end, since the epoch. `formats` are what requests for JSON begin with.
    """

    sending: Sending
    limits: EndpointLimits
    spending: Spending
    observer: AnomalyDetector
    drain_s: float
    attempt_s: float
    stop_at: float | None = None
    formats: FormatLadder = field(default_factory=FormatLadder)
