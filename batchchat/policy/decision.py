"""What a policy is, and what it may answer: pure computation over requests sent and ended; the clock is an argument.

All policies of a gate must admit a request before any of them acquires it.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from batchchat.core.attempt import Attempt, MaxUsage

__all__ = ["ADMIT", "Admit", "Decision", "Delay", "Halt", "Policy"]


@dataclass(frozen=True, slots=True)
class Admit:
    """Send it."""


@dataclass(frozen=True, slots=True)
class Delay:
    """Not yet: check again after `seconds`, or, where that is None, when the next request is released."""

    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Halt:
    """Send nothing more in this run.

    `attempt` is the one that showed why, where one did; `since` is when that began, in seconds since the epoch; `usd`
    is what the next request might have cost, where that was too much.
    """

    reason: str
    attempt: Attempt | None = None
    since: float | None = None
    usd: Decimal | None = None


Decision = Admit | Delay | Halt
ADMIT = Admit()


class Policy(Protocol):
    """One rule on sending."""

    def check(self, now: float, max_usage: MaxUsage) -> Decision:
        """Whether a request that may use `max_usage` can go at `now`; changes nothing."""

    def acquire(self, now: float, max_usage: MaxUsage) -> None:
        """Called once when all policies admitted the request: take its permit."""

    def release(self, now: float, max_usage: MaxUsage, attempt: Attempt | None, record: int | None = None) -> None:
        """The request ended with `attempt`, or, where that is None, was cancelled by us.

        `record` is the number of the journal's record of what it cost or may have cost, None where that is nothing.
        """
