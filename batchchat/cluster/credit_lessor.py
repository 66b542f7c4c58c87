"""The parent's side of a rate: one bucket for all workers, and what each holds of it. Pure.

The bucket is drawn from as workers report what they have spent; what they hold and have not spent stays in it, and is
not granted twice. So what all hold together and the bucket's level never pass the bucket's size, one second's worth,
and however credits are kept and then spent at once, no minute has more than the rate and that burst.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from batchchat.cluster.messages import CreditReport
from batchchat.policy.token_bucket import Bucket

__all__ = ["CreditLessor"]

_NOTHING = 1e-3  # of a request or a token: sums of a long run are that exact


@dataclass(slots=True)
class _CreditAccount:
    """Of one incarnation: what it has spent by its last report, and may hold besides, with what is on its way to it.

    `needed` and `wanted` are what it lacks beyond that; `granted` is the total. `is_void`: its lease has ended, and
    with it all that it held and that was on the way.
    """

    spent: float = 0.0
    held: float = 0.0
    needed: float = 0.0
    wanted: float = 0.0
    granted: float = 0.0
    is_void: bool = False


class CreditLessor:
    """Leases the requests or tokens of `per_minute`."""

    def __init__(self, per_minute: float) -> None:
        self._bucket = Bucket(per_minute)
        self._accounts: dict[str, _CreditAccount] = {}
        self._held = 0.0  # by all accounts

    def report(self, now: float, worker: str, report: CreditReport) -> None:
        """Take over what a worker has spent, and what it and the grants on the way to it hold."""
        account = self._accounts.setdefault(worker, _CreditAccount())
        spent = report.spent - account.spent
        if account.is_void:
            # Time has passed since it was written off: it is not given back, nor granted again without being counted.
            account.is_void, account.granted, spent = False, report.heard, max(0.0, spent)
        self._bucket.take(now, spent)
        on_the_way = account.granted - report.heard
        account.spent = report.spent
        self._hold(account, report.held + on_the_way)
        account.needed = max(0.0, report.needed - on_the_way)
        account.wanted = max(0.0, report.wanted - on_the_way)

    def state(self, now: float) -> dict[str, Any]:
        """All it knows at `now`, as JSON."""
        accounts = {name: asdict(account) for name, account in self._accounts.items()}
        return {"level": self._bucket.level(now), "at": now, "accounts": accounts}

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` said before. Raises `LookupError`, `TypeError` or `ValueError` where it did not."""
        at = float(state["at"])
        self._bucket.take(at, self._bucket.level(at) - float(state["level"]))
        for name, account in state["accounts"].items():
            self._accounts[name] = _CreditAccount(**account)
        self._held = sum(account.held for account in self._accounts.values())

    def lacks(self, now: float, worker: str) -> bool:
        """Whether `worker` needs more than is free."""
        return self._accounts[worker].needed > self._free(now) + _NOTHING

    def grant(self, now: float, worker: str, sharers: int) -> None:
        """Grant `worker` its need, which is free, and up to one of `sharers` parts of what is left."""
        account = self._accounts[worker]
        amount = account.needed
        amount += max(0.0, min(account.wanted - amount, (self._free(now) - amount) / sharers))
        account.granted += amount
        self._hold(account, account.held + amount)

    def granted(self, worker: str) -> float:
        """The total granted to `worker` since its start."""
        return self._accounts[worker].granted

    def write_off(self, now: float, worker: str) -> None:
        """The worker's lease has ended, or its process: what it held it may have spent, and no longer can."""
        account = self._accounts.get(worker)
        if account is not None and not account.is_void:
            self._bucket.take(now, account.held)
            account.spent += account.held
            account.is_void = True
            self._hold(account, 0.0)

    def forget(self, now: float, worker: str) -> None:
        """The worker's process has ended."""
        self.write_off(now, worker)
        self._accounts.pop(worker, None)

    def _free(self, now: float) -> float:
        return self._bucket.level(now) - self._held

    def _hold(self, account: _CreditAccount, held: float) -> None:
        self._held += held - account.held
        account.held = held
