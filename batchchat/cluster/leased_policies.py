"""Policies of a worker's gate whose ceilings are leased: slots, a rate's credits, and the budget's cap."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from batchchat.cluster.messages import CreditReport, UsdReport
from batchchat.core.attempt import Attempt, MaxUsage, Usage
from batchchat.core.uncertain_cost import UncertainCost
from batchchat.policy.budget import Budget, PriceRatio
from batchchat.policy.decision import ADMIT, Admit, Decision, Delay, Halt
from batchchat.policy.token_bucket import Bucket

__all__ = ["LeasedBudget", "LeasedCredits", "LeasedSlots"]

_NO_USD = Decimal(0)
_NOTHING_UNCERTAIN = UncertainCost()
_NOTHING_LEARNED = PriceRatio()
_FULL = Delay()
_NOTHING = 1e-3  # of a request or a token: sums of a long run are that exact
_CHECK_AGAIN_S = 1.0
"""Longer than a grant takes to come; the gate checks again with each grant."""
_KEPT = 2  # times what is wanted may be kept by a worker that does not lack more


def _ignore() -> None:
    """Until a lease listens."""


class LeasedSlots:
    """At most `slots` in flight until `until`, none afterwards. `lack` is called when a request has to wait for one."""

    def __init__(self, lack: Callable[[], None]) -> None:
        self._lack = lack
        self.slots = 0
        self.until = float("-inf")
        self.in_flight = 0
        self.started = 0
        """Requests since the last ask."""
        self.is_short = False
        """Whether the request that was checked last has to wait for a slot."""

    def check(self, now: float, max_usage: MaxUsage) -> Decision:  # noqa: ARG002
        self.is_short = self.in_flight >= self.slots or now >= self.until
        if not self.is_short:
            return ADMIT
        self._lack()
        return _FULL

    def acquire(self, now: float, max_usage: MaxUsage) -> None:  # noqa: ARG002
        self.in_flight += 1
        self.started += 1

    def release(self, now: float, max_usage: MaxUsage, attempt: Attempt | None, record: int | None = None) -> None:  # noqa: ARG002
        self.in_flight -= 1


class LeasedCredits:
    """A `CreditSource` of a rate of `per_minute`, filled by grants. `lack` is called when it has too little."""

    def __init__(self, per_minute: float, lack: Callable[[], None]) -> None:
        self.size = Bucket(per_minute).size
        self._lack = lack
        self._spent = self._held = self._heard = 0.0
        self._amount = self._recent = 0.0
        self.is_short = False
        """Whether the request that was checked last has to wait for credits."""

    def level(self, now: float) -> float:  # noqa: ARG002
        return self._held

    def wait_s(self, now: float, amount: float) -> float:  # noqa: ARG002
        self._amount = min(amount, self.size)
        self.is_short = self._held < self._amount - _NOTHING
        if not self.is_short:
            return 0.0
        self._lack()
        return _CHECK_AGAIN_S

    def take(self, now: float, amount: float) -> None:  # noqa: ARG002
        """Take `amount`, which may be more than is held: the parent's bucket is then in debt.

        A negative one goes back to the parent, whose bucket alone knows whether it still fits.
        """
        self._spent += amount
        if amount > 0:
            self._held = max(0.0, self._held - amount)
            self._recent += amount

    def report(self, count: int, *, is_short: bool) -> CreditReport:
        """What to ask for, where `count` requests may be sent before the next ask; gives back what is too much.

        Who `is_short` of anything gives back all: two that each hold a part of what they need would wait for ever.
        """
        target = min(self.size, max(self._recent, self._amount * count)) if count else 0.0
        self._recent = needed = 0.0
        if is_short:
            self._held, needed = 0.0, self._amount
        elif self._held > _KEPT * target:
            self._held = target
        return CreditReport(self._spent, self._held, self._heard, needed, max(needed, target - self._held, 0.0))

    def apply(self, total: float, *, expired: bool) -> None:
        """`total` is granted by now; what came too late counts as spent, as its lessor counts it."""
        credit, self._heard = total - self._heard, total
        self._held += credit
        if expired:
            self.expire()

    def expire(self) -> None:
        """The lease has ended: what is held counts as spent."""
        self._spent += self._held
        self._held = 0.0


class LeasedBudget(Budget):
    """A budget whose cap is raised by grants, and lowered by what is given back.

    It begins with the cap at what its journal says is spent. It halts once the lessor has said that no more will come;
    until then a request that does not fit waits.
    """

    def __init__(
        self,
        computed: Callable[[str, Usage], Decimal | None],
        *,
        paid_usd: Decimal = _NO_USD,
        uncertain: UncertainCost = _NOTHING_UNCERTAIN,
        learned: PriceRatio = _NOTHING_LEARNED,
    ) -> None:
        super().__init__(_NO_USD, computed, paid_usd=paid_usd, uncertain=uncertain, learned=learned)
        self.max_cost_usd = self.settled_usd
        self.lack: Callable[[], None] = _ignore
        self._heard_usd = self._next_usd = self._recent_usd = _NO_USD
        self._is_spent_up = False
        self.is_short = False
        """Whether the request that was checked last has to wait for USD."""

    def check(self, now: float, max_usage: MaxUsage) -> Decision:
        decision = super().check(now, max_usage)
        if isinstance(decision, Admit):
            self.is_short = False
            return decision
        self._next_usd = self._reservation(max_usage)
        self.is_short = self.counted_usd + self._next_usd > self.max_cost_usd
        if self.is_short and not self._is_spent_up:
            self.lack()
        return decision if isinstance(decision, Halt) and self._is_spent_up else _FULL

    def acquire(self, now: float, max_usage: MaxUsage) -> None:
        before_usd = self.counted_usd
        super().acquire(now, max_usage)
        self._next_usd = self.counted_usd - before_usd
        self._recent_usd += self._next_usd

    def report(self, count: int, *, is_short: bool) -> UsdReport:
        """What to ask for, where `count` requests may be sent before the next ask; gives back what is too much."""
        counted_usd = self.counted_usd
        target_usd = max(self._recent_usd, self._next_usd * count) if count else _NO_USD
        self._recent_usd = needed_usd = _NO_USD
        if is_short:
            self.max_cost_usd = min(self.max_cost_usd, counted_usd)
            needed_usd = counted_usd + self._next_usd - self.max_cost_usd
        elif self.max_cost_usd - counted_usd > _KEPT * target_usd:
            self.max_cost_usd = counted_usd + target_usd
        return UsdReport(
            cap=self.max_cost_usd,
            heard=self._heard_usd,
            settled=self.settled_usd,
            reserved=counted_usd - self.settled_usd,
            needed=needed_usd,
            wanted=max(needed_usd, counted_usd + target_usd - self.max_cost_usd, _NO_USD),
            answers=self.learned.answers,
            max_ratio=self.learned.max_ratio,
            outlier=self.outlier,
        )

    def apply(self, total_usd: Decimal, learned: PriceRatio, *, is_spent_up: bool) -> None:
        """`total_usd` is granted by now, and all workers' answers have shown what is `learned`."""
        self.max_cost_usd += total_usd - self._heard_usd
        self._heard_usd = total_usd
        self._is_spent_up = is_spent_up
        self.learn(learned)
