"""Admission: a maximum of requests at once, and per minute.

The rate is a bucket that holds one minute's requests and refills evenly; a refused request takes nothing from
it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from batchchat.mock.faults import OVERLOADED
from batchchat.mock.request import RefusedRequest

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SlotGate"]

MINUTE_S = 60.0


class SlotGate:
    """Counts requests inside. Each `enter` that returns needs one `leave`."""

    def __init__(self, max_concurrent: int | None, rate_per_minute: float | None, clock: Callable[[], float]) -> None:
        self.in_flight = 0
        self.max_in_flight = 0
        self._max_concurrent = max_concurrent
        self._rate = rate_per_minute
        self._clock = clock
        self._tokens = self._capacity = max(1.0, rate_per_minute or 0.0)
        self._filled_at = clock()

    def enter(self) -> None:
        """Take a slot.

        Raises `RefusedRequest` with a 429: overloaded, or over the rate, with a Retry-After.
        """
        if self._max_concurrent is not None and self.in_flight >= self._max_concurrent:
            raise RefusedRequest(429, OVERLOADED)
        if self._rate is not None:
            self._take(self._rate)
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)

    def leave(self) -> None:
        """Release the slot."""
        self.in_flight -= 1

    def _take(self, rate: float) -> None:
        now = self._clock()
        self._tokens = min(self._capacity, self._tokens + (now - self._filled_at) * rate / MINUTE_S)
        self._filled_at = now
        if self._tokens < 1:
            wait_s = math.ceil((1 - self._tokens) * MINUTE_S / rate)
            error = {
                "message": f"Rate limit of {rate:g} requests per minute exceeded",
                "type": "rate_limit_error",
                "code": "rate_limit_exceeded",
            }
            raise RefusedRequest(429, {"error": error}, {"Retry-After": str(max(1, wait_s))})
        self._tokens -= 1
