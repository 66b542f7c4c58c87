"""How many requests may be in flight: a fixed ceiling."""

from __future__ import annotations

from batchchat.exchange import Ask, Exchange
from batchchat.policy.decision import GO, Decision, Wait

__all__ = ["Concurrency"]

_FULL = Wait()


class Concurrency:
    """At most `ceiling` requests in flight."""

    def __init__(self, ceiling: int) -> None:
        self.ceiling = ceiling
        self.in_flight = 0

    def admit(self, now: float, ask: Ask) -> Decision:  # noqa: ARG002
        return GO if self.in_flight < self.ceiling else _FULL

    def hold(self, now: float, ask: Ask) -> None:  # noqa: ARG002
        self.in_flight += 1

    def settle(self, now: float, ask: Ask, exchange: Exchange | None) -> None:  # noqa: ARG002
        self.in_flight -= 1
