"""Attempts, rows and scripts, made by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from batchchat.core.attempt import (
    Action,
    Attempt,
    Billed,
    Cost,
    Failure,
    MaxUsage,
    Outcome,
    Reply,
    Request,
    Scope,
    Verdict,
)
from batchchat.core.conversation import ErrorKind, Key, Row, Status
from batchchat.dispatch.work import Work


def request(name: str = "1", model: str = "m") -> Request:
    return Request(Key(name), 0, model, [{"role": "user", "content": name}], b"{}", 1)


def accepted(asked: Request, cost: str | None = None) -> Attempt:
    paid = None if cost is None else Cost(Decimal(cost), "reported")
    return Attempt(asked, Verdict(Action.ACCEPT, billed=Billed.YES), 0, 0, 0.1, 200, Reply("hi"), cost=paid)


def failed(
    asked: Request,
    kind: ErrorKind = ErrorKind.SERVER_ERROR,
    action: Action = Action.RETRY,
    *,
    status: int | None = 500,
    cost: str | None = None,
    latency_s: float = 0.1,
    **verdict: Any,
) -> Attempt:
    paid = None if cost is None else Cost(Decimal(cost), "reported")
    judged = Verdict(action, kind=kind, **verdict)
    return Attempt(asked, judged, 0, 0, latency_s, status, failure=Failure(kind, "no"), cost=paid)


def refused(asked: Request, **given: Any) -> Attempt:
    """A failure that is the endpoint's."""
    return failed(asked, ErrorKind.RATE_LIMIT, scope=Scope.ENDPOINT, **{"status": 429, **given})


@dataclass(frozen=True)
class Steps:
    """A script of so many requests, one after the other, each of which may cost `usd`."""

    row: Row
    steps: int = 1
    model: str = "m"
    usd: str | None = None

    @property
    def params(self) -> Mapping[str, Any]:
        return {}

    @property
    def identity(self) -> int:
        return hash((self.row.key, self.steps, self.model)) & (1 << 64) - 1

    @property
    def request_count(self) -> int:
        return self.steps

    @property
    def bound(self) -> MaxUsage:
        return MaxUsage(cost_usd=None if self.usd is None else Decimal(self.usd) * self.steps)

    @property
    def preview(self) -> Sequence[Request]:
        return [self._request(0)]

    def _request(self, step: int) -> Request:
        max_usage = MaxUsage(cost_usd=None if self.usd is None else Decimal(self.usd))
        return request(self.row.key.id, self.model)._replace(step=step, max_usage=max_usage)

    def next(self, attempts: Sequence[Attempt]) -> Request | Outcome:
        last = attempts[-1] if attempts else None
        if last is not None and last.verdict.action is not Action.ACCEPT:
            return Outcome(self.row, Status.FAILED, [], last)
        if last is not None and len(attempts) == self.steps:
            return Outcome(self.row, Status.ANSWERED, [], last)
        return self._request(len(attempts))


def work(name: str, steps: int = 1, model: str = "m", usd: str | None = None) -> Work:
    return Work(Steps(Row(Key(name), 0, f"f:{name}", []), steps, model, usd), 0.0)
