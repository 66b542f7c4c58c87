"""What was billed and how requests ended: the mock's own accounts, to compare a client's with.

Three sums of money, each exact: all that was billed; what was reported in whole answers (a stream's too,
whether it asked for its usage or not); and of that what was reported in answers with text. Per billed request
only 8 bytes of its identity are stored.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from batchchat.mock.usage import plain_usd

__all__ = ["CLIENT_GONE", "DROPPED", "BillingLedger"]

DROPPED = "dropped"
CLIENT_GONE = "client_gone"


class BillingLedger:
    """`requests` is the sum of `statuses` and of what is still being handled."""

    def __init__(self) -> None:
        self._requests = 0
        self._statuses: Counter[str] = Counter()
        self._billed: set[int] = set()
        self._billings = 0
        self._answered = 0
        self._billed_nano_usd = 0
        self._reported_nano_usd = 0
        self._answered_nano_usd = 0

    @property
    def arrivals(self) -> int:
        """How many requests have arrived."""
        return self._requests

    def arrive(self) -> int:
        """Count a request; its number, from 0."""
        self._requests += 1
        return self._requests - 1

    def bill(self, identity: bytes, nano_usd: int) -> None:
        """Bill an answer to the request of this identity."""
        self._billed.add(int.from_bytes(identity[:8], "big"))
        self._billings += 1
        self._billed_nano_usd += nano_usd

    def report(self, nano_usd: int, *, has_text: bool) -> None:
        """Note that a whole valid answer went out, with this cost in it."""
        self._reported_nano_usd += nano_usd
        if has_text:
            self._answered += 1
            self._answered_nano_usd += nano_usd

    def end(self, outcome: str) -> None:
        """Count how a request ended: its status, `DROPPED` or `CLIENT_GONE`."""
        self._statuses[outcome] += 1

    def figures(self) -> dict[str, Any]:
        """The accounts as /stats shows them, without the requests in flight."""
        return {
            "requests": self._requests,
            "answered": self._answered,
            "billed_rows": len(self._billed),
            "billed_twice": self._billings - len(self._billed),
            "cost_usd": plain_usd(self._billed_nano_usd),
            "reported_cost_usd": plain_usd(self._reported_nano_usd),
            "answered_cost_usd": plain_usd(self._answered_nano_usd),
            "statuses": dict(sorted(self._statuses.items())),
        }
