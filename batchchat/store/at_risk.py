"""Requests that were, or may have been, in flight when a session was killed: how many, and what they cost at most.

A session's last `hold` record that was not released covers them; where several processes write, the last of each. Its
bound is in USD at the price it names; a session without a price, or with a row without a bound, noted none.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

__all__ = ["AtRisk"]

_NO_USD = Decimal(0)


class AtRisk:
    """`requests` of killed sessions, `usd` by the price it was computed at, and the `unpriced` ones among them."""

    def __init__(self) -> None:
        self.requests = 0
        self.usd: dict[str, Decimal] = {}
        self.unpriced = 0
        self._holds: dict[int, Mapping[str, Any]] = {}

    def state(self) -> dict[str, Any]:
        """All of it as JSON values, money as exact decimal text."""
        usd = {price: str(amount) for price, amount in self.usd.items()}
        holds = [[writer, dict(hold)] for writer, hold in self._holds.items()]
        return {"requests": self.requests, "usd": usd, "unpriced": self.unpriced, "holds": holds}

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> AtRisk:
        """The inverse of `state`."""
        at_risk = cls()
        at_risk.requests, at_risk.unpriced = state["requests"], state["unpriced"]
        at_risk._holds = dict(state["holds"])
        at_risk.usd = {price: Decimal(amount) for price, amount in state["usd"].items()}
        return at_risk

    @property
    def is_open(self) -> bool:
        """Whether a hold covers requests, so that the end of the session changes something."""
        return any(hold["requests"] for hold in self._holds.values())

    def hold(self, record: Mapping[str, Any]) -> None:
        """From this `hold` record on it says what its writer has outstanding."""
        self._holds[record.get("writer", 0)] = record

    def end_session(self) -> None:
        """A session's journal ends here: requests that the last hold of each writer covers may have been billed."""
        holds, self._holds = self._holds, {}
        for hold in holds.values():
            self._end(hold)

    def _end(self, hold: Mapping[str, Any]) -> None:
        self.requests += hold["requests"]
        if (usd := hold.get("usd")) is None:
            self.unpriced += hold["requests"]
        else:
            self._add(hold.get("price", ""), Decimal(usd))

    def set_bound_for_unpriced(self, price: str, max_usd: Decimal) -> None:
        """Count each unpriced request at `max_usd` of `price`: a cap that is set only now must include them."""
        if self.unpriced:
            self._add(price, self.unpriced * max_usd)
            self.unpriced = 0

    def _add(self, price: str, usd: Decimal) -> None:
        if usd:
            self.usd[price] = self.usd.get(price, _NO_USD) + usd
