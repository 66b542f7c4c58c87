"""The budget: a cap on what a job may cost over all its resumes. It reserves before sending and settles after.

What counts against the cap: all that is paid; the most that may have been paid beside it (attempts that broke off,
replies without usage, what was in flight when a run was killed); and a reservation for each request in flight. A
request goes when its reservation still fits. So the cap holds as long as no answer costs more than its reservation.

A reservation is the request's worst case at the job's price, times the dearest ratio of reported to computed cost seen
so far, and never less than the price itself. Prices on pages are not always what is billed (1.5 to 1.8 times as much
was seen), so until 20 answers have settled at most 8 are in flight, reserved at twice the price. The first answer that
costs more all the same raises the ratio, and is told with what it cost too much.

The run stops when the next request in order does not fit while nothing in flight could still free money. It does not
look for a smaller one behind it: that would leave the long conversations of an input for last and make of a cap a
choice of rows, and the most there is to gain is one reservation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from batchchat.core.attempt import Attempt, Billed, MaxUsage, Usage
from batchchat.core.uncertain_cost import UncertainCost
from batchchat.policy.decision import ADMIT, Decision, Delay, Halt

__all__ = ["SPENT", "Budget", "PriceRatio", "enough_usd"]

SPENT = "budget"

LEARNING_ANSWERS = 20
LEARNING_IN_FLIGHT = 8
LEARNING_RATIO = Decimal(2)

_NO_USD = Decimal(0)
_ONE = Decimal(1)
_FINEST_RATIO = Decimal("0.0001")
_UNBOUNDED = Decimal("Infinity")
_FULL = Delay()
_NOTHING_UNSURE = UncertainCost()


@dataclass(frozen=True, slots=True)
class PriceRatio:
    """How many answers have settled at a price, and the dearest ratio of reported to computed cost among them.

    `price` names it, with the endpoint and the model.
    """

    price: str = ""
    answers: int = 0
    max_ratio: Decimal = _NO_USD


class Budget:
    """At most `max_cost_usd`, of which `paid_usd` is gone and what is `unsure` may be.

    `computed` gives the cost of a usage at the price its model is reckoned with.
    """

    def __init__(
        self,
        max_cost_usd: Decimal,
        computed: Callable[[str, Usage], Decimal | None],
        *,
        paid_usd: Decimal = _NO_USD,
        unsure: UncertainCost = _NOTHING_UNSURE,
        learned: PriceRatio = PriceRatio(),
    ) -> None:
        self.max_cost_usd = max_cost_usd
        self.overruns = 0
        self.overrun_usd = _NO_USD
        """What answers cost beyond their reservations."""
        self._computed = computed
        self._price = learned.price
        self._answers = learned.answers
        self._max_ratio = learned.max_ratio
        self._paid_usd = paid_usd
        self._unsure_before = unsure
        self._unsure_usd = _NO_USD
        self._reserved_usd = _NO_USD
        # Each request's ask, and what is reserved for it. An ask is its request's own object, and one attempt at it is
        # in flight at a time; where equal requests share one, it stands here as often.
        self._held: dict[int, list[tuple[MaxUsage, Decimal]]] = {}
        self._in_flight = 0
        self._learn()

    @property
    def learned(self) -> PriceRatio:
        """What is known of the price by now."""
        return PriceRatio(self._price, self._answers, self._max_ratio)

    @property
    def is_learning(self) -> bool:
        """Whether too few answers have settled to know what they really cost."""
        return self._answers < LEARNING_ANSWERS

    @property
    def counted_usd(self) -> Decimal:
        """All that counts against the cap by now."""
        return self._settled_usd + self._reserved_usd

    def check(self, now: float, max_usage: MaxUsage) -> Decision:  # noqa: ARG002
        if self._in_flight >= LEARNING_IN_FLIGHT and self.is_learning:
            return _FULL
        need = self._reservation(max_usage)
        if self._settled_usd + self._reserved_usd + need <= self.max_cost_usd:
            return ADMIT
        return _FULL if self._in_flight else Halt(SPENT, usd=need)

    def acquire(self, now: float, max_usage: MaxUsage) -> None:  # noqa: ARG002
        need = self._reservation(max_usage)
        self._held.setdefault(id(max_usage), []).append((max_usage, need))
        self._reserved_usd += need
        self._in_flight += 1

    def release(self, now: float, max_usage: MaxUsage, attempt: Attempt | None, record: int | None = None) -> None:  # noqa: ARG002
        reserved = self._release(max_usage)
        if attempt is None:
            self._add(unsure_usd=max_usage.cost_usd or _NO_USD)
            return
        billed, cost = attempt.verdict.billed, attempt.cost
        if billed is Billed.MAYBE or (billed is Billed.YES and cost is None):
            self._add(unsure_usd=max_usage.cost_usd or _NO_USD)
        if cost is not None:
            self._add(paid_usd=cost.usd)
            if cost.usd > reserved:
                self.overruns += 1
                self.overrun_usd += cost.usd - reserved
        if billed is Billed.YES:
            self._answers += 1
            ratio = self._ratio_of(attempt)
            if ratio > self._max_ratio or self._answers == LEARNING_ANSWERS:
                self._max_ratio = max(ratio, self._max_ratio)
                self._learn()

    def _learn(self) -> None:
        """What is known of the price has changed, and with it the worth of all that is not sure."""
        self.ratio = max(self._max_ratio, LEARNING_RATIO if self.is_learning else _ONE)
        """What the job's price is multiplied by."""
        before = self._unsure_before.with_ratio(self._price, self._max_ratio).upper_bound_usd
        self._settled_usd = self._paid_usd + before + self._unsure_usd * self.ratio
        # What is in flight keeps what was reserved, or gets more.
        for held in self._held.values():
            held[:] = [(max_usage, max(need, self._reservation(max_usage))) for max_usage, need in held]
        self._reserved_usd = sum((need for held in self._held.values() for _, need in held), _NO_USD)

    def _add(self, *, paid_usd: Decimal = _NO_USD, unsure_usd: Decimal = _NO_USD) -> None:
        self._paid_usd += paid_usd
        self._unsure_usd += unsure_usd
        self._settled_usd += paid_usd + unsure_usd * self.ratio

    def _reservation(self, max_usage: MaxUsage) -> Decimal:
        return _UNBOUNDED if max_usage.cost_usd is None else max_usage.cost_usd * self.ratio

    def _release(self, max_usage: MaxUsage) -> Decimal:
        held = self._held[id(max_usage)]
        _, reserved = held.pop()
        if not held:
            del self._held[id(max_usage)]
        self._reserved_usd -= reserved
        self._in_flight -= 1
        return reserved

    def _ratio_of(self, attempt: Attempt) -> Decimal:
        """Reported to computed cost; 0 where either is not known, or it is none that would teach anything."""
        if attempt.cost is None or attempt.usage is None:
            return _NO_USD
        computed = self._computed(attempt.request.model, attempt.usage)
        if not computed or attempt.cost.usd <= computed * self._max_ratio:
            return _NO_USD
        return (attempt.cost.usd / computed).quantize(_FINEST_RATIO, ROUND_CEILING)


def enough_usd(max_cost_usd: Decimal, counted_usd: Decimal, next_usd: Decimal, *, answered: int, left: int) -> Decimal:
    """A cap that `left` more rows will probably fit in, rounded up to two digits; always more than the old one.

    By the mean of what `answered` rows came to, and a fifth more: the rows that are left may be longer.
    """
    rest = counted_usd / answered * left * Decimal("1.2") if answered else max_cost_usd
    need = max(counted_usd + next_usd + rest, max_cost_usd * Decimal("1.05"))
    step = _ONE.scaleb(need.adjusted() - 1)
    return (need / step).to_integral_value(ROUND_CEILING) * step
