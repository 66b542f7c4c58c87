"""When the endpoint's own failures end a run: it was never there, or it has been away for too long.

Refusals, overload and an endpoint that is down use up no row; without this bound they would be tried for ever.
"""

from __future__ import annotations

from batchchat.exchange import Action, Ask, Exchange, Scope
from batchchat.policy.decision import GO, Decision, Stop

__all__ = ["NEVER_REACHED", "OUTAGE", "Outage"]

NEVER_REACHED = "never reached"
OUTAGE = "outage"

FIRST_CONTACT_S = 5.0
"""A wrong host or port is told after this long, not after an hour. Many connections opened at once may see a few
refusals from a server that is well, so the first one is not enough."""


class Outage:
    """Stops the run when nothing but endpoint failures came for `max_outage_s`, or for 5 s at the very start."""

    def __init__(self, max_outage_s: float) -> None:
        self._max_outage_s = max_outage_s
        self._reached = False
        self._in_flight = 0
        self._since: float | None = None
        self._stop: Stop | None = None

    def admit(self, now: float, ask: Ask) -> Decision:  # noqa: ARG002
        return self._stop or GO

    def hold(self, now: float, ask: Ask) -> None:  # noqa: ARG002
        self._in_flight += 1

    def settle(self, now: float, ask: Ask, exchange: Exchange | None) -> None:  # noqa: ARG002
        self._in_flight -= 1
        if exchange is None:
            return
        if exchange.http_status is not None:
            self._reached = True
        if exchange.verdict.scope is not Scope.ENDPOINT or exchange.verdict.action is not Action.RETRY:
            self._since = None
            return
        if self._since is None:
            self._since = now
        away_s = now - self._since
        # A request that is still in flight has reached it: a slow model, with a few connections refused beside it.
        if not self._reached and away_s >= FIRST_CONTACT_S and not self._in_flight:
            self._stop = Stop(NEVER_REACHED, exchange)
        elif away_s >= self._max_outage_s:
            self._stop = Stop(OUTAGE, exchange)
