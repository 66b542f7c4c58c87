"""What a policy may answer, and what it is: pure computation over what was sent and settled; the clock is an argument.

All policies of a gate must let a request go before any of them holds it.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from batchchat.core.attempt import Ask, Exchange

__all__ = ["GO", "Decision", "Go", "Policy", "Stop", "Wait"]


@dataclass(frozen=True, slots=True)
class Go:
    """Send it."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Not yet: ask again after `seconds`, or, where that is None, when the next request has settled."""

    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """Send nothing more in this run.

    `exchange` is the one that showed why, where one did; `since` is when that began, in seconds since the epoch; `usd`
    is what the next request might have cost, where that was too much.
    """

    reason: str
    exchange: Exchange | None = None
    since: float | None = None
    usd: Decimal | None = None


Decision = Go | Wait | Stop
GO = Go()


class Policy(Protocol):
    """One rule on sending."""

    def admit(self, now: float, ask: Ask) -> Decision:
        """Whether a request that may use `ask` can go at `now`; changes nothing."""

    def hold(self, now: float, ask: Ask) -> None:
        """It goes."""

    def settle(self, now: float, ask: Ask, exchange: Exchange | None) -> None:
        """It ended with `exchange`, or, where that is None, was cut off by us."""
