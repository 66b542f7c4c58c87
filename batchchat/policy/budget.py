"""The budget: a cap on what a job may cost over all its resumes. It reserves before sending and settles after.

Counted against the cap: all costs paid; the upper bound of what may have been paid besides (attempts that broke off,
replies without usage, requests in flight when a run was killed); and a reservation for each request in flight. A
request is admitted when its reservation still fits, so the cap holds as long as no answer costs more than its own.

A reservation is the request's worst case at the job's price, times the ratio of real to expected cost that answers
have shown, and never less than the price itself. Listed prices are not always what is billed (1.5 to 1.8 times as much
was measured), so until 20 answers have settled at most 8 are in flight, reserved at twice the price. The ratio of an
answer is that of its reported to its computed cost; where it used more tokens than it could, and so cost more than its
worst case, that of its cost to the worst case.

One answer that is dearer than all others does not raise the ratio, or a single fee of a cent would reserve hundreds of
times too much for each request and end the job far below its cap: of the last 200 answers the ratio is the second
highest, or, of all 200, the third. It never falls. What an answer costs beyond its reservation is reported, as is a
ratio that stands alone.

The run stops when the next request in order does not fit while nothing in flight could still free money. It does not
look for a smaller request behind it: that would leave the long conversations of an input for last and turn a cap into a
choice of rows, and the most there is to gain is one reservation.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from decimal import ROUND_CEILING, Decimal
from typing import NamedTuple

from batchchat.core.attempt import Attempt, Billed, MaxUsage, Usage
from batchchat.core.uncertain_cost import UncertainCost
from batchchat.policy.decision import ADMIT, Decision, Delay, Halt

__all__ = ["LEARNING_ANSWERS", "LEARNING_IN_FLIGHT", "SPENT", "Budget", "PriceRatio", "enough_usd"]

SPENT = "budget"

LEARNING_ANSWERS = 20
LEARNING_IN_FLIGHT = 8
LEARNING_RATIO = Decimal(2)

_MAX_RATIOS = 200
_ANSWERS_AN_OUTLIER = 200

_MAYBE, _YES = Billed.MAYBE, Billed.YES  # a member of an enum takes 0.1 µs to look up in Python 3.11
_NO_USD = Decimal(0)
_ONE = Decimal(1)
_RATIO_STEP = Decimal("0.0001")
_UNBOUNDED = Decimal("Infinity")
_FULL = Delay()
_NOTHING_UNCERTAIN = UncertainCost()


class PriceRatio(NamedTuple):
    """How many answers have settled at a price, and the ratio of their real to their expected cost.

    `price` names the price, with the endpoint and the model.
    """

    price: str = ""
    answers: int = 0
    max_ratio: Decimal = _NO_USD


_NOTHING_LEARNED = PriceRatio()


class _Shown:
    """What so many `answers` have shown of the price: the `ratio` that is reserved for, and an `outlier` above it."""

    def __init__(self, answers: int, ratio: Decimal) -> None:
        self.answers = answers
        self.ratio = ratio
        self.outlier = _NO_USD
        self._ratios: deque[Decimal] = deque(maxlen=_MAX_RATIOS)

    def add(self, ratio: Decimal) -> bool:
        """Count an answer of this `ratio`, 0 where it is not above the one in use; True where it raises that."""
        self.answers += 1
        self._ratios.append(ratio)
        if ratio <= self.ratio:
            return False
        self.outlier = max(self.outlier, ratio)
        rank = 2 + len(self._ratios) // _ANSWERS_AN_OUTLIER
        shown = sorted(self._ratios)[-rank] if len(self._ratios) >= rank else _NO_USD
        if shown <= self.ratio:
            return False
        self.ratio = shown
        return True


class Budget:
    """At most `max_cost_usd`. Earlier runs paid `paid_usd`, and may have paid what is `uncertain`.

    `computed(model, usage)` is the cost in USD at the model's price, None where that is unknown.
    """

    def __init__(
        self,
        max_cost_usd: Decimal,
        computed: Callable[[str, Usage], Decimal | None],
        *,
        paid_usd: Decimal = _NO_USD,
        uncertain: UncertainCost = _NOTHING_UNCERTAIN,
        learned: PriceRatio = _NOTHING_LEARNED,
    ) -> None:
        self.max_cost_usd = max_cost_usd
        self.overruns = 0
        self.overrun_usd = _NO_USD
        """What answers have cost beyond their reservations."""
        self._computed = computed
        self._price = learned.price
        self._shown = _Shown(learned.answers, learned.max_ratio)
        self._paid_usd = paid_usd
        self._uncertain_before = uncertain
        self._uncertain_usd = _NO_USD
        self._reserved_usd = _NO_USD
        # By the id of a request's `max_usage`: that object, and what is reserved for it. It is the request's own, and
        # one attempt at it is in flight at a time; where equal requests share one, it is listed as often.
        self._reserved: dict[int, list[tuple[MaxUsage, Decimal]]] = {}
        self._in_flight = 0
        self._learn()

    @property
    def learned(self) -> PriceRatio:
        """What the answers so far have shown of the price."""
        return PriceRatio(self._price, self._shown.answers, self._shown.ratio)

    @property
    def outlier(self) -> Decimal:
        """The highest ratio of an answer that is not reserved for, since it stands alone."""
        return self._shown.outlier

    @property
    def is_learning(self) -> bool:
        """Whether too few answers have settled to know their real cost."""
        return self._is_learning

    @property
    def counted_usd(self) -> Decimal:
        """The sum in USD that counts against the cap now."""
        return self._settled_usd + self._reserved_usd

    @property
    def settled_usd(self) -> Decimal:
        """The part of it that is paid, or may have been paid, and reserved for no request in flight."""
        return self._settled_usd

    def learn(self, learned: PriceRatio) -> None:
        """Take over what others' answers have shown at the same price, where it is more than these have."""
        answers, ratio = max(learned.answers, self._shown.answers), max(learned.max_ratio, self._shown.ratio)
        if ratio > self._shown.ratio or (self.is_learning and answers >= LEARNING_ANSWERS):
            self._shown.answers, self._shown.ratio = answers, ratio
            self._learn()

    def check(self, now: float, max_usage: MaxUsage) -> Decision:  # noqa: ARG002
        if self._is_learning and self._in_flight >= LEARNING_IN_FLIGHT:
            return _FULL
        needed_usd = self._reservation(max_usage)
        if self._settled_usd + self._reserved_usd + needed_usd <= self.max_cost_usd:
            return ADMIT
        return _FULL if self._in_flight else Halt(SPENT, usd=needed_usd)

    def acquire(self, now: float, max_usage: MaxUsage) -> None:  # noqa: ARG002
        needed_usd = self._reservation(max_usage)
        self._reserved.setdefault(id(max_usage), []).append((max_usage, needed_usd))
        self._reserved_usd += needed_usd
        self._in_flight += 1

    def release(self, now: float, max_usage: MaxUsage, attempt: Attempt | None, record: int | None = None) -> None:  # noqa: ARG002
        reserved = self._release(max_usage)
        if attempt is None:
            self._add_uncertain(max_usage)
            return
        billed, cost = attempt.verdict.billed, attempt.cost
        if billed is _MAYBE or (billed is _YES and cost is None):
            self._add_uncertain(max_usage)
        if cost is not None:
            self._paid_usd += cost.usd
            self._settled_usd += cost.usd
            if cost.usd > reserved:
                self.overruns += 1
                self.overrun_usd += cost.usd - reserved
        if billed is _YES:
            is_raised = self._shown.add(self._ratio_of(attempt))
            if is_raised or self._shown.answers == LEARNING_ANSWERS:
                self._learn()

    def _learn(self) -> None:
        """Apply what answers have shown to all that is uncertain or reserved."""
        self._is_learning = self._shown.answers < LEARNING_ANSWERS
        self.ratio = max(self._shown.ratio, LEARNING_RATIO if self._is_learning else _ONE)
        """What the job's price is multiplied by."""
        before = self._uncertain_before.with_ratio(self._price, self._shown.ratio).upper_bound_usd
        self._settled_usd = self._paid_usd + before + self._uncertain_usd * self.ratio
        # Reservations of requests in flight are raised, never lowered.
        for reservations in self._reserved.values():
            reservations[:] = [(max_usage, max(usd, self._reservation(max_usage))) for max_usage, usd in reservations]
        self._reserved_usd = sum((usd for reservations in self._reserved.values() for _, usd in reservations), _NO_USD)

    def _add_uncertain(self, max_usage: MaxUsage) -> None:
        if max_usage.cost_usd is not None:
            self._uncertain_usd += max_usage.cost_usd
            self._settled_usd += max_usage.cost_usd * self.ratio

    def _reservation(self, max_usage: MaxUsage) -> Decimal:
        return _UNBOUNDED if max_usage.cost_usd is None else max_usage.cost_usd * self.ratio

    def _release(self, max_usage: MaxUsage) -> Decimal:
        reservations = self._reserved[id(max_usage)]
        _, reserved = reservations.pop()
        if not reservations:
            del self._reserved[id(max_usage)]
        self._reserved_usd -= reserved
        self._in_flight -= 1
        return reserved

    def _ratio_of(self, attempt: Attempt) -> Decimal:
        """The ratio of real to expected cost; 0 where either is unknown, or the ratio is not above the one in use."""
        if attempt.cost is None:
            return _NO_USD
        usd, ratio = attempt.cost.usd, self._shown.ratio
        computed = None if attempt.usage is None else self._computed(attempt.request.model, attempt.usage)
        if computed and usd > computed * ratio:
            ratio = usd / computed
        max_usd = attempt.request.max_usage.cost_usd
        if max_usd and usd > max_usd * ratio:
            ratio = usd / max_usd
        return ratio.quantize(_RATIO_STEP, ROUND_CEILING) if ratio > self._shown.ratio else _NO_USD


def enough_usd(max_cost_usd: Decimal, counted_usd: Decimal, next_usd: Decimal, *, answered: int, left: int) -> Decimal:
    """A cap in USD that `left` more rows will probably fit in, rounded up to two digits; more than `max_cost_usd`.

    By the mean cost of the `answered` rows, and a fifth more: the remaining rows may be longer.
    """
    remaining_usd = counted_usd / answered * left * Decimal("1.2") if answered else max_cost_usd
    needed_usd = max(counted_usd + next_usd + remaining_usd, max_cost_usd * Decimal("1.05"))
    step = _ONE.scaleb(needed_usd.adjusted() - 1)
    return (needed_usd / step).to_integral_value(ROUND_CEILING) * step
