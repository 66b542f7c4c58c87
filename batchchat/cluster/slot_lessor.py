"""The parent's side of the slots: how many requests each worker may have in flight, and for how long. Pure.

What a worker may have in flight is at most what it reported to hold, or what a grant allows that it had not heard of by
then. It can be given to another once a later report says that it is free, or when the lease has ended and what was sent
under it has ended too. A worker's report of how many it holds counts from when it was sent, so the end of a lease,
which the parent counts from when the ask came, is never too early; clocks need only run alike.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from batchchat.cluster.messages import Ask

__all__ = ["SlotLessor", "fair_shares"]

_CLOCK_DRIFT = 1.01  # by which two machines' clocks may run at different speeds


@dataclass(slots=True)
class _SlotAccount:
    """Of one incarnation: what it reported last, and the grants that it has not confirmed, as (number, slots)."""

    wanted: int = 0
    held: int = 0
    ends_at: float = 0.0
    unheard: deque[tuple[int, int]] = field(default_factory=deque)

    @property
    def claim(self) -> int:
        """The most that may be in flight, while the lease lasts and until what was sent under it has ended."""
        return max(self.held, self.unheard[0][1]) if self.unheard else self.held


class SlotLessor:
    """Leases slots for `lease_s` at a time; a request takes at most `attempt_s`. Both in seconds."""

    def __init__(self, lease_s: float, attempt_s: float) -> None:
        self._lease_s = lease_s * _CLOCK_DRIFT
        self._attempt_s = attempt_s * _CLOCK_DRIFT
        self._accounts: dict[str, _SlotAccount] = {}
        self._lingering: list[tuple[int, float]] = []  # slots of ended processes, and when they are free

    def report(self, now: float, ask: Ask) -> None:
        """Take over what a worker holds and wants."""
        account = self._accounts.setdefault(ask.worker, _SlotAccount())
        account.wanted, account.held, account.ends_at = ask.slots_wanted, ask.slots_held, now + self._lease_s
        while account.unheard and account.unheard[0][0] <= ask.heard:
            account.unheard.popleft()

    def grant(self, now: float, worker: str, number: int, total: int) -> int:
        """How many of `total` slots `worker` may use by the grant `number`: its fair share, as far as that is free."""
        claimed, lost, wanted = 0, 0, {}
        for name, account in self._accounts.items():
            claim = self._claim(now, account)
            claimed += claim
            if now < account.ends_at:
                wanted[name] = account.wanted
            else:
                lost += claim
        lingering = self._still_lingering(now)
        share = fair_shares(total - lost - lingering, wanted)[worker]
        free = total - lingering - claimed + self._claim(now, self._accounts[worker])
        slots = max(0, min(share, free))
        unheard = self._accounts[worker].unheard
        while unheard and unheard[-1][1] <= slots:  # only the highest of those not heard of matters
            unheard.pop()
        unheard.append((number, slots))
        return slots

    def withhold(self, now: float, slots: int) -> None:
        """Lend `slots` to nobody for the time of a lease."""
        self._lingering.append((slots, now + self._lease_s))

    def state(self) -> dict[str, Any]:
        """All it knows, as JSON."""
        accounts = {
            name: [account.wanted, account.held, account.ends_at, [*account.unheard]]
            for name, account in self._accounts.items()
        }
        return {"accounts": accounts, "lingering": self._lingering}

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` said before. Raises `LookupError`, `TypeError` or `ValueError` where it did not."""
        for name, (wanted, held, ends_at, unheard) in state["accounts"].items():
            grants = deque((int(number), int(slots)) for number, slots in unheard)
            self._accounts[name] = _SlotAccount(int(wanted), int(held), float(ends_at), grants)
        self._lingering = [(int(slots), float(free_at)) for slots, free_at in state["lingering"]]

    def has_ended(self, now: float, worker: str) -> bool:
        """Whether the worker's lease has ended: it sends nothing until it is granted a new one."""
        return worker not in self._accounts or now >= self._accounts[worker].ends_at

    def forget(self, now: float, worker: str, linger_s: float | None) -> None:
        """The worker's process has ended; what it had in flight may take `linger_s` more to end, None is unknown."""
        account = self._accounts.pop(worker, None)
        if account is not None:
            free_at = account.ends_at + self._attempt_s
            if linger_s is not None:
                free_at = min(free_at, now + linger_s)
            self._lingering.append((account.claim, free_at))

    def _claim(self, now: float, account: _SlotAccount) -> int:
        return account.claim if now < account.ends_at + self._attempt_s else 0

    def _still_lingering(self, now: float) -> int:
        self._lingering = [(slots, free_at) for slots, free_at in self._lingering if now < free_at]
        return sum(slots for slots, _ in self._lingering)


def fair_shares(capacity: int, wanted: Mapping[str, int]) -> dict[str, int]:
    """`capacity` shared so that who wants less than the others' share has all it wants; whole numbers.

    What cannot be shared evenly goes to those who want most.
    """
    shares, left, sharers = {}, max(0, capacity), len(wanted)
    for want, worker in sorted((want, worker) for worker, want in wanted.items()):
        shares[worker] = share = min(want, left // sharers)
        left -= share
        sharers -= 1
    return shares
