"""What a policy decides, and what a policy is: pure computation over requests sent and ended; the clock is an argument.

A gate asks all its policies; only when all of them admit a request does each acquire its permit.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple, Protocol

from batchchat.core.attempt import Attempt, MaxUsage

__all__ = ["ADMIT", "Admit", "Decision", "Delay", "Halt", "Policy"]


@dataclass(frozen=True, slots=True)
class Admit:
    """The request may be sent."""


class Delay(NamedTuple):
    """Not yet: check again after `seconds`, or, where that is None, when the next request has ended."""

    seconds: float | None = None


class Halt(NamedTuple):
    """Send nothing more in this run.

    `attempt` is the one that showed the reason, where one did; `since` is when the reason began, in seconds since the
    epoch; `usd` is what the next request might have cost, where that was too much. Of several endpoints `endpoint` is
    the one that showed it, by name, and `others` are the reasons of those that were given up before.
    """

    reason: str
    attempt: Attempt | None = None
    since: float | None = None
    usd: Decimal | None = None
    endpoint: str = ""
    others: tuple[Halt, ...] = ()


Decision = Admit | Delay | Halt
ADMIT = Admit()


class Policy(Protocol):
    """One rule on sending."""

    def check(self, now: float, max_usage: MaxUsage) -> Decision:
        """Whether a request that may use `max_usage` can be sent at `now`; changes nothing."""

    def acquire(self, now: float, max_usage: MaxUsage) -> None:
        """Called once, when all policies admitted the request: take the permit."""

    def release(self, now: float, max_usage: MaxUsage, attempt: Attempt | None, record: int | None = None) -> None:
        """The request ended with `attempt`, or, where that is None, was cancelled by us.

        `record` is the number of the journal's record that tells of it, None where it cost nothing and has no record.
        """
