"""One endpoint of a run, as the gate and the dispatcher see it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from batchchat.core.attempt import Attempt, Request
from batchchat.policy.decision import Halt, Policy
from batchchat.policy.failure_streak import FailureStreak
from batchchat.policy.refusal_judge import RefusalJudge
from batchchat.policy.refused_rows import RefusedRows

__all__ = ["EndpointLane", "Lane", "Send"]

Send = Callable[[Request], Awaitable[Attempt]]


@dataclass(slots=True, eq=False)
class Lane:
    """What requests to one endpoint are admitted by: `policies` of its own.

    `name` is "" where the run has no other. `weight` is its share while several have room. `in_flight` counts its
    requests; `halt` is why nothing more is sent there, None while it is in use.
    """

    policies: Sequence[Policy] = ()
    name: str = ""
    weight: float = 1.0
    in_flight: int = 0
    halt: Halt | None = None

    @property
    def load(self) -> float:
        """Requests in flight, the next one included, by weight."""
        return (self.in_flight + 1) / self.weight


@dataclass(slots=True, eq=False, kw_only=True)
class EndpointLane(Lane):
    """A lane with what sends there, and with what its refusals are judged by.

    `streak` counts rows that this endpoint failed while others may serve them; None where there is no other.
    """

    send: Send
    judge: RefusalJudge
    refused_rows: RefusedRows = field(default_factory=RefusedRows)
    streak: FailureStreak | None = None

    def __post_init__(self) -> None:
        self.policies = (*self.policies, self.judge)
