"""The parent's side of a rate: one bucket for all workers, and what each holds of it. Pure.

The bucket is drawn from as workers report what they have spent; what they hold and have not spent stays in it, and is
not granted twice. So what all hold together and the bucket's level never pass the bucket's size, one second's worth,
and however credits are kept and then spent at once, no minute has more than the rate and that burst.
"""

from __future__ import annotations

from dataclasses import dataclass

from batchchat.cluster.messages import CreditReport
from batchchat.cluster.waiting_line import WaitingLine
from batchchat.policy.token_bucket import Bucket

__all__ = ["CreditLessor"]

_NOTHING = 1e-3  # of a request or a token: sums of a long run are that exact


@dataclass(slots=True)
class _CreditAccount:
    """Of one incarnation: what it has spent by its last report, and may hold besides, with what is on its way to it.

    `needed` and `wanted` are what it lacks beyond that; `granted` is the total.
    """

    spent: float = 0.0
    held: float = 0.0
    needed: float = 0.0
    wanted: float = 0.0
    granted: float = 0.0


class CreditLessor:
    """Leases the requests or tokens of `per_minute`."""

    def __init__(self, per_minute: float) -> None:
        self._bucket = Bucket(per_minute)
        self._accounts: dict[str, _CreditAccount] = {}
        self._line = WaitingLine()

    def report(self, now: float, worker: str, report: CreditReport) -> None:
        """Take over what a worker has spent, and what it and the grants on the way to it hold."""
        account = self._accounts.setdefault(worker, _CreditAccount())
        self._bucket.take(now, report.spent - account.spent)
        on_the_way = account.granted - report.heard
        account.spent = report.spent
        account.held = report.held + on_the_way
        account.needed = max(0.0, report.needed - on_the_way)
        account.wanted = max(0.0, report.wanted - on_the_way)

    def grant(self, now: float, worker: str, sharers: int) -> float:
        """The total granted to `worker` from its start. Beyond its need it gets one of `sharers` parts of what is left."""
        account = self._accounts[worker]
        free = self._bucket.level(now) - sum(holder.held for holder in self._accounts.values())
        if not self._line.is_turn_of(now, worker) or account.needed > free + _NOTHING:
            if account.needed > _NOTHING:
                self._line.wait(now, worker)
            return account.granted
        self._line.leave(worker)
        amount = account.needed
        amount += max(0.0, min(account.wanted - amount, (free - amount) / sharers))
        account.granted += amount
        account.held += amount
        return account.granted

    def write_off(self, now: float, worker: str) -> None:
        """The worker's lease has ended, or its process: what it held it may have spent, and no longer can."""
        account = self._accounts.get(worker)
        if account is not None:
            self._bucket.take(now, max(0.0, account.held))
            account.spent += max(0.0, account.held)
            account.held = min(0.0, account.held)

    def forget(self, now: float, worker: str) -> None:
        """The worker's process has ended."""
        self.write_off(now, worker)
        self._accounts.pop(worker, None)
        self._line.leave(worker)
