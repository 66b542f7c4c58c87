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
from heapq import heappop, heappush
from typing import Any

from batchchat.cluster.messages import Ask

__all__ = ["SlotLessor", "fair_shares"]

_NEVER = float("inf")
_CLOCK_DRIFT = 1.01  # by which two machines' clocks may run at different speeds


@dataclass(slots=True)
class _SlotAccount:
    """Of one incarnation: what it reported last, and the grants that it has not confirmed, as (number, slots).

    `counted` and `lost` are its part of the lessor's sums; the lessor looks at it again at `due_at`.
    """

    wanted: int = 0
    held: int = 0
    ends_at: float = 0.0
    unheard: deque[tuple[int, int]] = field(default_factory=deque)
    counted: int = 0
    lost: int = 0
    due_at: float = _NEVER

    @property
    def claim(self) -> int:
        """The most that may be in flight, while the lease lasts and until what was sent under it has ended."""
        return max(self.held, self.unheard[0][1]) if self.unheard else self.held


class SlotLessor:
    """Leases slots for `lease_s` at a time; a request takes at most `attempt_s`. Both in seconds.

    An ask takes the same time however many workers there are: sums over them are kept, and changed where one changes.
    Fair shares are worked out anew only where somebody wants more or less than before.
    """

    def __init__(self, lease_s: float, attempt_s: float) -> None:
        self._lease_s = lease_s * _CLOCK_DRIFT
        self._attempt_s = attempt_s * _CLOCK_DRIFT
        self._accounts: dict[str, _SlotAccount] = {}
        self._lingering: list[tuple[int, float]] = []  # slots of ended processes, and when they are free
        self._claimed = self._lost = 0  # slots of all workers, and of those whose lease has ended
        self._wanted: dict[str, int] = {}  # of those whose lease lasts
        self._shares: dict[str, int] = {}
        self._shared: int | None = None  # what the shares are of, None where they are to be worked out
        self._due: list[tuple[float, str]] = []  # a heap: when to look at a worker again

    def report(self, now: float, ask: Ask) -> None:
        """Take over what a worker holds and wants."""
        account = self._accounts.setdefault(ask.worker, _SlotAccount())
        account.wanted, account.held, account.ends_at = ask.slots_wanted, ask.slots_held, now + self._lease_s
        while account.unheard and account.unheard[0][0] <= ask.heard:
            account.unheard.popleft()
        self._count(now, ask.worker, account)

    def grant(self, now: float, worker: str, number: int, total: int) -> int:
        """How many of `total` slots `worker` may use by the grant `number`: its fair share, as far as that is free."""
        self._count_due(now)
        account, lingering = self._accounts[worker], self._still_lingering(now)
        share = self._share(total - self._lost - lingering, worker)
        free = total - lingering - self._claimed + account.counted
        slots = max(0, min(share, free))
        unheard = account.unheard
        while unheard and unheard[-1][1] <= slots:  # only the highest of those not heard of matters
            unheard.pop()
        unheard.append((number, slots))
        self._count(now, worker, account)
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
            self._accounts[name] = _SlotAccount(int(wanted), int(held), float(ends_at), grants, due_at=-_NEVER)
            heappush(self._due, (-_NEVER, name))
        self._lingering = [(int(slots), float(free_at)) for slots, free_at in state["lingering"]]

    def has_ended(self, now: float, worker: str) -> bool:
        """Whether the worker's lease has ended: it sends nothing until it is granted a new one."""
        return worker not in self._accounts or now >= self._accounts[worker].ends_at

    def forget(self, now: float, worker: str, linger_s: float | None) -> None:
        """The worker's process has ended; what it had in flight may take `linger_s` more to end, None is unknown."""
        account = self._accounts.pop(worker, None)
        if account is not None:
            self._uncount(worker, account)
            free_at = account.ends_at + self._attempt_s
            if linger_s is not None:
                free_at = min(free_at, now + linger_s)
            self._lingering.append((account.claim, free_at))

    def _share(self, capacity: int, worker: str) -> int:
        """The worker's fair share of `capacity`."""
        if self._shared != capacity:
            self._shares, self._shared = fair_shares(capacity, self._wanted), capacity
        return self._shares[worker]

    def _count_due(self, now: float) -> None:
        """Look at the workers whose lease may have ended, or what they sent under it."""
        while self._due and self._due[0][0] <= now:
            due_at, worker = heappop(self._due)
            account = self._accounts.get(worker)
            if account is not None and account.due_at == due_at:  # else there is an earlier one, or was
                account.due_at = _NEVER
                self._count(now, worker, account)

    def _count(self, now: float, worker: str, account: _SlotAccount) -> None:
        """Make the sums those of what is known of the worker at `now`."""
        lasts, free_at = now < account.ends_at, account.ends_at + self._attempt_s
        claim = account.claim if now < free_at else 0
        lost = 0 if lasts else claim
        self._claimed += claim - account.counted
        self._lost += lost - account.lost
        account.counted, account.lost = claim, lost
        if (account.wanted if lasts else None) != self._wanted.get(worker):
            self._shared = None
            if lasts:
                self._wanted[worker] = account.wanted
            else:
                del self._wanted[worker]
        due_at = account.ends_at if lasts else free_at if claim else _NEVER
        if due_at < account.due_at:
            account.due_at = due_at
            heappush(self._due, (due_at, worker))

    def _uncount(self, worker: str, account: _SlotAccount) -> None:
        self._claimed -= account.counted
        self._lost -= account.lost
        if self._wanted.pop(worker, None) is not None:
            self._shared = None

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
