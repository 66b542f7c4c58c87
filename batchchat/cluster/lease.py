"""A worker's side of the lease: what it asks for, and what it was granted.

Past the end of the lease there are no slots and no credits, so a worker that hears nothing sends nothing new. The USD
that it was granted stay its own: they may be reserved for requests in flight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from batchchat.cluster.leased_policies import LeasedBudget, LeasedCredits, LeasedSlots
from batchchat.cluster.messages import Ask, Grant
from batchchat.policy.budget import PriceRatio
from batchchat.policy.decision import Policy
from batchchat.policy.token_bucket import RequestRate, TokenRate

__all__ = ["Lease"]

_STEADY_S = 0.25  # between asks, while nothing is lacked
_SHORT_S = 0.05  # where the same is lacked still
_AT_ONCE_S = 0.005  # where something else is
_MAX_UNANSWERED = 1000  # asks: what would answer an older one comes too late
_MIN_ROOM = 2  # slots for rows that come before the next ask


def _nobody_waits() -> None:
    """Until somebody waits for the time of the next ask."""


class Lease:
    """What `worker`, in its start number `incarnation`, has of its job's limits. A rate or budget of None has no limit.

    All times are seconds of one clock, which neither jumps nor stands still while the machine sleeps.
    """

    def __init__(
        self,
        worker: str,
        incarnation: int,
        *,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        budget: LeasedBudget | None = None,
    ) -> None:
        self._worker = worker
        self._incarnation = incarnation
        self.wake: Callable[[], None] = _nobody_waits
        """Called where `ask_in_s` has become less than it was: a request is held up for want of what can be granted."""
        self.slots = LeasedSlots(partial(self._lack, "slots"))
        self.policies: list[Policy] = [self.slots]
        """The slots and the rates, for the gate, behind the worker's own `Concurrency`; not the budget."""
        self._requests = self._tokens = None
        if requests_per_minute is not None:
            self._requests = LeasedCredits(requests_per_minute, partial(self._lack, "requests"))
            self.policies.append(RequestRate(requests_per_minute, self._requests))
        if tokens_per_minute is not None:
            self._tokens = LeasedCredits(tokens_per_minute, partial(self._lack, "tokens"))
            self.policies.append(TokenRate(tokens_per_minute, self._tokens))
        self._budget = budget
        if budget is not None:
            budget.lack = partial(self._lack, "usd")
        self._number = self._heard = 0
        self._sent_at: dict[int, float] = {}
        self._asked_at = self._ask_at = float("-inf")
        self._short: set[str] = set()
        self._short_before: set[str] = set()

    def ask_in_s(self, now: float) -> float:
        """Seconds until the next ask is to be sent; 0 where that is now."""
        return max(0.0, self._ask_at - now)

    def ask(self, now: float, waiting: int, ceiling: int) -> Ask:
        """The next ask, to be sent at `now`. `waiting` requests are in line; at most `ceiling` are sent at a time."""
        self._expire(now)
        slots = self.slots
        is_short = any(holder.is_short for holder in self._holders())
        if not (slots.started or slots.is_short or is_short):
            waiting = 0  # what waits is held up by another policy of the worker
        room = max(_MIN_ROOM, slots.in_flight // 8)
        free = max(0, slots.slots - slots.in_flight)
        # About as many as will be sent before the next ask. Without a free slot nothing else is needed now.
        count = max(slots.started, min(waiting, free)) if ceiling else 0
        is_short = is_short and count > 0 and free > 0
        wanted = min(ceiling, slots.in_flight + waiting + room)
        slots.slots = min(slots.slots, max(slots.in_flight, wanted))
        slots.started = 0
        self._number += 1
        self._sent_at[self._number] = now
        self._sent_at.pop(self._number - _MAX_UNANSWERED, None)
        self._asked_at, self._ask_at = now, now + _STEADY_S
        self._short_before, self._short = self._short, set()
        return Ask(
            self._worker,
            self._incarnation,
            self._number,
            self._heard,
            slots_held=max(slots.slots, slots.in_flight),
            slots_wanted=wanted,
            requests=None if self._requests is None else self._requests.report(count, is_short=is_short),
            tokens=None if self._tokens is None else self._tokens.report(count, is_short=is_short),
            usd=None if self._budget is None else self._budget.report(count, is_short=is_short),
        )

    def last_ask(self, now: float) -> Ask:
        """Gives back all that is not in flight: the worker sends nothing more. Repeat it until it is answered."""
        return self.ask(now, waiting=0, ceiling=0)

    def hear(self, now: float, grant: Grant) -> bool:
        """Apply a grant; False for one that is not newer than the last, or is for another start of the worker.

        The gate is to check again after it.
        """
        if (grant.worker, grant.incarnation) != (self._worker, self._incarnation) or grant.number <= self._heard:
            return False
        self._expire(now)
        self._heard = grant.number
        self.slots.until = self._sent_at.get(grant.ask_number, float("-inf")) + grant.lasts_s
        expired = now >= self.slots.until
        self.slots.slots = 0 if expired else grant.slots
        self._sent_at = {number: at for number, at in self._sent_at.items() if number > grant.ask_number}
        if self._requests is not None:
            self._requests.apply(grant.requests, expired=expired)
        if self._tokens is not None:
            self._tokens.apply(grant.tokens, expired=expired)
        if self._budget is not None:
            learned = PriceRatio("", grant.answers, grant.max_ratio)
            self._budget.apply(grant.usd, learned, is_spent_up=grant.is_spent_up)
        self.slots.is_short = False
        for holder in self._holders():  # the gate's next check shows what is lacked now
            holder.is_short = False
        return True

    def _holders(self) -> Iterator[LeasedCredits | LeasedBudget]:
        """What is leased of each limit that the job has, but for the slots."""
        for holder in (self._requests, self._tokens, self._budget):
            if holder is not None:
                yield holder

    def _expire(self, now: float) -> None:
        """Past the end of the lease there is nothing left of it."""
        if now >= self.slots.until:
            self.slots.slots = 0
            for rate in (self._requests, self._tokens):
                if rate is not None:
                    rate.expire()

    def _lack(self, limit: str) -> None:
        """A request waits for what the lessor may have: ask at once, or soon where that was asked for just now."""
        if limit in self._short:
            return
        self._short.add(limit)
        ask_at = self._asked_at + (_SHORT_S if limit in self._short_before else _AT_ONCE_S)
        if ask_at < self._ask_at:
            self._ask_at = ask_at
            self.wake()
